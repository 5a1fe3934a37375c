"""A restore or a backup while the whole platform is down: it says what to start and how, and touches nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from archon_dagster.backup.backup import BackupRequest, take_backup
from archon_dagster.context import open_context
from archon_dagster.sandbox import lifecycle
from archon_dagster.sandbox.seed import seed

pytestmark = [pytest.mark.sandbox, pytest.mark.long, pytest.mark.timeout(300)]


@dataclass(frozen=True)
class Shell:
    home: Path

    def archon(self, *words: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "ARCHON_HOME": str(self.home)}
        command = [sys.executable, "-m", "archon_dagster.cli", *words]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, check=False)


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A sandbox that was backed up and taken down."""
    home = tmp_path_factory.mktemp("down")
    platform = lifecycle.up(home, owner_pid=os.getpid())
    seed(platform.settings, platform.runtime, limit=6, max_points=20)
    take_backup(open_context(platform.settings), BackupRequest())
    lifecycle.down(home)
    yield Shell(home)
    lifecycle.down(home)


@pytest.mark.parametrize("way", [("--direct",), ()], ids=["direct", "through Dagster"])
@pytest.mark.parametrize(
    "what", [("restore", "latest", "--confirm", "RESTORE"), ("backup",)], ids=["restore", "backup"]
)
def test_it_names_the_servers_and_the_command_that_starts_them(
    shell: Shell, what: tuple[str, ...], way: tuple[str, ...]
) -> None:
    done = shell.archon(*what, *way)
    assert done.returncode == 6, done.stderr
    assert "not running: qdrant, memgraph, postgres; nothing was touched" in done.stderr
    assert "what to do: archon sandbox up; then type the same again" in done.stderr
    assert not (shell.home / "restore.json").exists()


def test_its_plan_says_what_to_start_first(shell: Shell) -> None:
    done = shell.archon("restore", "latest", "--plan")
    assert done.returncode == 0, done.stderr
    assert "start first: qdrant, memgraph, postgres: archon sandbox up" in done.stdout
    assert "comes back" not in done.stdout


def test_what_it_says_to_type_helps(shell: Shell) -> None:
    lifecycle.up(shell.home, owner_pid=os.getpid())
    done = shell.archon("restore", "latest", "--confirm", "RESTORE", "--direct")
    assert done.returncode == 0, done.stderr
    assert "✗" not in done.stderr
