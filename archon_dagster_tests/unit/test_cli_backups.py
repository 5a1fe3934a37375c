"""`archon backups` and `archon verify` as a user types them, on a repository alone: words and exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from archon_dagster.cli.main import run
from archon_dagster.repository import manifest_file
from archon_dagster.repository.manifest import Manifest
from archon_dagster.repository.repository import Repository
from archon_dagster.repository.verification import CheckRecord
from archon_dagster_tests.unit.repository.conftest import NOON, Clock, back_up, chunk_path


@dataclass(frozen=True)
class Done:
    """What a command has printed, and its exit code."""

    returncode: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Shell:
    """A shell in which ``archon`` has one repository and no platform."""

    home: Path
    repository: Repository
    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]

    @property
    def root(self) -> Path:
        return self.home / "repository"

    def run(self, *words: str) -> Done:
        """The program's entry point in this process: starting one takes longer than all the rest."""
        self.monkeypatch.setenv("ARCHON_HOME", str(self.home))
        self.monkeypatch.setenv("ARCHON_PROJECT_DIR", str(self.home))
        self.monkeypatch.setattr(sys, "argv", ["archon", *words])
        self.capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            run()
        out, err = self.capsys.readouterr()
        return Done(int(ended.value.code or 0), out, err)

    def manifest_path(self, backup: Manifest) -> Path:
        return self.root / "backups" / f"{backup.id}.json"


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(tmp_path, Repository.open(str(tmp_path / "repository"), create=True), monkeypatch, capsys)


@pytest.fixture
def backup(shell: Shell) -> Manifest:
    return back_up(shell.repository, {"a": b"x" * 1000, "b": b"y"})


Damage = Callable[[Shell, Manifest], object]


def lose_chunk(shell: Shell, backup: Manifest) -> None:
    chunk_path(shell.root, backup.artifacts[0].chunks[0].sha256).unlink()


def garble(shell: Shell, backup: Manifest) -> None:
    shell.manifest_path(backup).write_text("garbage")


def age(shell: Shell, backup: Manifest) -> None:
    shell.manifest_path(backup).write_bytes(manifest_file.encode(backup.model_copy(update={"format": 2})))


def leave(shell: Shell, backup: Manifest) -> None: ...


@pytest.mark.parametrize(
    ("words", "damage", "code"),
    [
        ("backups", leave, 0),
        ("backups", garble, 0),
        ("backups show {id}", leave, 0),
        ("backups show nothing", leave, 3),
        ("backups show {id}", garble, 4),
        ("backups show {id}", age, 1),
        ("backups export {id} {tmp}/new", leave, 0),
        ("backups export {id} {tmp}", leave, 2),
        ("backups export {id} {tmp}/repository/config.json", leave, 2),
        ("backups export nothing {tmp}/new", leave, 3),
        ("backups export {id} {tmp}/new", lose_chunk, 4),
        ("backups export {id}", leave, 2),
        ("backups --nonsense", leave, 2),
        ("verify nothing", leave, 3),
        ("verify 19990101", leave, 3),
        ("verify {id}", lose_chunk, 4),
        ("verify {id}", garble, 4),
        ("verify {id}", age, 1),
    ],
)
def test_exit_codes(shell: Shell, backup: Manifest, words: str, damage: Damage, code: int) -> None:
    damage(shell, backup)
    done = shell.run(*words.format(id=backup.id, tmp=shell.home).split())
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    if code:
        assert "what to do: " in done.stderr or "Usage" in done.stderr


@pytest.mark.parametrize("words", ["backups", "backups show latest", "backups export latest new", "verify latest"])
def test_a_repository_that_is_not_there_has_one_exit_code_and_is_not_made(shell: Shell, words: str) -> None:
    """A repository that somebody has named: its disk is not mounted, perhaps."""
    empty = replace(shell, home=shell.home / "other")
    shell.monkeypatch.setenv("ARCHON_REPOSITORY", str(empty.root))
    done = empty.run(*words.split())
    assert (done.returncode, "no backup repository here" in done.stderr) == (1, True)
    assert not empty.root.exists()


@pytest.mark.parametrize("made", [False, True], ids=["empty home", "empty repository"])
@pytest.mark.parametrize(
    "words",
    ["backups", "backups show latest", "backups export latest new", "verify latest", "restore latest",
     "restore latest --plan", "restore latest --confirm RESTORE", "restore latest --confirm RESTORE --direct"],
)  # fmt: skip
def test_before_the_first_backup_everybody_says_so(shell: Shell, words: str, made: bool) -> None:
    empty = replace(shell, home=shell.home / "other")
    if made:
        Repository.open(str(empty.root), create=True)
    done = empty.run(*words.split())
    assert done.returncode == 3, done
    assert "error: no backups yet" in done.stderr and str(empty.home) in done.stderr
    assert empty.root.exists() is made


def test_before_the_first_backup_the_json_list_is_empty(shell: Shell) -> None:
    done = replace(shell, home=shell.home / "other").run("backups", "--json")
    assert (done.returncode, json.loads(done.stdout)) == (3, [])


def test_as_many_checks_are_said_to_have_passed_as_are_shown(shell: Shell, backup: Manifest) -> None:
    for name in ("digests", "readable", "checks_finished", "digests"):
        shell.repository.record(backup.id, CheckRecord(name=name, passed=True, time=NOON))
    said = shell.run("backups", "show", backup.id).stdout
    assert sum(line.startswith("passed") for line in said.splitlines()) == 3
    assert "every check passed (3)" in said


def test_where_no_platform_is_the_error_names_the_home(shell: Shell) -> None:
    done = shell.run("fingerprint")
    assert done.returncode == 2 and f"ARCHON_HOME {shell.home}" in " ".join(done.stderr.split())


def test_a_damaged_backup_is_shown_artifact_by_artifact(shell: Shell, backup: Manifest) -> None:
    lose_chunk(shell, backup)
    done = shell.run("verify", backup.id)
    chunk = backup.artifacts[0].chunks[0].sha256[:12]
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert "a damaged 1 of 1 chunk; see below" in lines
    assert f"damaged artifact a: chunk {chunk} is missing" in lines
    assert any(line.startswith("b as written") for line in lines)
    assert f"backup {backup.id} is damaged" in done.stderr
    assert "failed check digests" in shell.run("backups").stdout


def test_the_json_list_has_every_kind_with_its_note_its_times_and_its_checks(shell: Shell) -> None:
    clock = Clock(datetime.now(UTC) - timedelta(hours=1))
    good, bad, half, safety = (
        back_up(shell.repository, {"a": b"x"}, clock=clock, kind=kind)
        for kind in ("manual", "scheduled", "manual", "safety")
    )
    for one, name, passed in ((good, "digests", True), (bad, "digests", False), (half, "checks_finished", False)):
        shell.repository.record(one.id, CheckRecord(name=name, passed=passed, time=NOON))
    found: list[dict[str, Any]] = json.loads(shell.run("backups", "--json").stdout)
    assert [(one["id"], one["summary"]["kind"], one["checks"]["state"]) for one in found] == [
        (safety.id, "safety", "not_checked"),
        (half.id, "manual", "not_finished"),
        (bad.id, "scheduled", "failed"),
        (good.id, "manual", "passed"),
    ]
    assert found[2]["checks"]["failed"] == ["digests"]
    assert datetime.fromisoformat(found[3]["created"]) == good.created
    assert found[3]["summary"]["note"] == ""
    text = shell.run("backups").stdout
    assert safety.id not in text
    assert "1 safety backup, taken before a restore, is not shown" in text
    assert safety.id in shell.run("backups", "--safety").stdout


def test_foreign_files_are_noted_beside_the_list(shell: Shell, backup: Manifest) -> None:
    (shell.root / "backups" / "notes.txt").write_text("mine")
    done = shell.run("backups", "--json")
    assert [one["id"] for one in json.loads(done.stdout)] == [backup.id]
    assert "not of this program: backups/notes.txt" in done.stderr


def test_latest_tells_the_terminal_what_it_passed_over(shell: Shell, backup: Manifest) -> None:
    newer = back_up(shell.repository, {"a": b"x"}, clock=Clock(NOON + timedelta(hours=1)))
    garble(shell, newer)
    command = [sys.executable, "-m", "archon_dagster.cli", "backups", "show", "latest"]
    environment = {**os.environ, "ARCHON_HOME": str(shell.home), "ARCHON_PROJECT_DIR": str(shell.home)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert backup.id in done.stdout
    assert f"passed over: {newer.id}: damaged" in done.stderr
