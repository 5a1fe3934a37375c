"""Which commit of the platform's project directory a backup names."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from archon_dagster.backup.backup import BackupRequest, git_revision, take_backup
from archon_dagster_tests.unit.platform_double import Platform


@pytest.mark.skipif(not shutil.which("git"), reason="needs git")
def test_a_checkout_names_its_commit_and_anything_else_none(tmp_path: Path) -> None:
    assert git_revision(tmp_path) is None
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@localhost"]
    subprocess.run([*git, "init", "--quiet"], check=True, timeout=20)
    assert git_revision(tmp_path) is None  # no commit yet
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "-m", "x"], check=True, timeout=20)
    said = subprocess.run([*git, "rev-parse", "HEAD"], check=True, timeout=20, capture_output=True, text=True)
    assert git_revision(tmp_path) == said.stdout.strip()


@pytest.mark.parametrize("program", [None, "exit 3", "exec sleep 600"])
def test_a_backup_is_made_whatever_becomes_of_git(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str | None
) -> None:
    """The control plane's image has none."""
    platform = Platform(tmp_path / "home")
    (platform.settings.project_dir / ".git").mkdir(parents=True)
    (platform.settings.project_dir / "compose.yaml").touch()
    path = tmp_path / "bin"
    path.mkdir()
    if program:
        (path / "git").write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{program}\n")
        (path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(path))
    monkeypatch.setattr("archon_dagster.backup.backup._GIT_LIMIT", 0.5)
    made = take_backup(platform.context, BackupRequest(quiesce=False))
    assert platform.repository.resolve("latest").id == made.manifest.id
