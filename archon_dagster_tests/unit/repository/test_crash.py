"""kill -9 at every step of a backup: earlier ones survive, no half one is taken for whole, no hand is needed.

The backend announces each system call that changes something before it makes it; the process under test kills itself
at the first, the second, the third … until one run gets to its end.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import random
import signal
from pathlib import Path

import pytest

from archon_dagster.errors import BackupNotFound
from archon_dagster.repository.backends.filesystem import FilesystemBackend
from archon_dagster.repository.repository import Repository
from archon_dagster.stores.base import Work
from archon_dagster_tests.unit.repository.conftest import NOON, Clock, back_up, read_back, window

processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload([__name__])

KEPT = {"a": b"precious" * 1000, "b": random.Random(1).randbytes(300_000)}
NEW = {"a": b"precious" * 1000, "b": random.Random(2).randbytes(300_000), "c": b"INSERT INTO files;\n" * 9000}


def back_up_until(root: Path, last_step: int) -> None:
    """Make a backup and die, as by kill -9, before the given step."""
    steps = itertools.count(1)

    def on_step(_name: str, _path: Path) -> None:
        if next(steps) == last_step:
            os.kill(os.getpid(), signal.SIGKILL)

    back_up(Repository.on(FilesystemBackend(root, on_step=on_step)), NEW, clock=Clock(NOON.replace(hour=13)))


def create_until(root: Path, last_step: int) -> None:
    steps = itertools.count(1)

    def on_step(_name: str, _path: Path) -> None:
        if next(steps) == last_step:
            os.kill(os.getpid(), signal.SIGKILL)

    Repository.on(FilesystemBackend(root, on_step=on_step), create=True)


def back_up_for_ever(root: Path, started: object) -> None:
    repository = Repository.open(str(root))
    for number in itertools.count():
        with repository.begin("manual") as pending:
            started.set()  # type: ignore[attr-defined]
            for name in ("one", "two"):
                with pending.artifact("vectors", name, "k", media_type="x/y", cut="content") as a:
                    for block in range(8):
                        a.write(random.Random(f"{number}{name}{block}").randbytes(1 << 20))
            pending.seal(window=window(), versions={})


def died(target: object, *arguments: object) -> bool:
    """Run in a process of its own; whether it was killed before it was done."""
    process = processes.Process(target=target, args=arguments)  # type: ignore[arg-type]
    process.start()
    process.join(60)
    exit_code = process.exitcode
    process.close()
    assert exit_code in (0, -signal.SIGKILL)
    return exit_code != 0


def assert_nothing_is_left(root: Path) -> None:
    left = [path for path in root.rglob("*") if path.name.endswith((".tmp", ".incomplete"))]
    assert left == []


@pytest.mark.timeout(240)
def test_a_backup_killed_at_any_step_harms_nothing_and_needs_no_hand(
    root: Path, repository: Repository, work: Work
) -> None:
    kept = back_up(repository, KEPT, clock=Clock())
    outcomes: list[str] = []
    for step in itertools.count(1):
        killed = died(back_up_until, root, step)
        after = Repository.open(str(root))
        seen = {entry.id: entry.state for entry in after.backups()}
        assert set(seen.values()) <= {"complete", "incomplete"}
        outcomes += set(seen.values())
        for backup_id in [backup_id for backup_id, state in seen.items() if state == "complete"]:
            assert read_back(after, after.resolve(backup_id)) == (KEPT if backup_id == kept.id else NEW)
        for backup_id in [backup_id for backup_id, state in seen.items() if state == "incomplete"]:
            with pytest.raises(BackupNotFound):
                after.resolve(backup_id)
        assert seen[kept.id] == "complete"
        if not killed:
            break
        following = back_up(after, NEW, clock=Clock(NOON.replace(hour=14)))
        assert after.verify(following.id, work, record=False).passed
        assert_nothing_is_left(root)
        remove_all_but(root, kept.id)
    assert step > 30
    assert set(outcomes) == {"complete", "incomplete"}


def remove_all_but(root: Path, backup_id: str) -> None:
    """As if the killed backup had been the first to bring its chunks."""
    repository = Repository.open(str(root))
    needed = {chunk.sha256 for artifact in repository.resolve(backup_id).artifacts for chunk in artifact.chunks}
    for path in (root / "backups").iterdir():
        if path.stem != backup_id:
            path.unlink()
    for path in (root / "chunks").rglob("*"):
        if path.is_file() and path.name not in needed:
            path.unlink()


def test_a_repository_whose_creation_was_killed_can_be_created_again(tmp_path: Path) -> None:
    for step in itertools.count(1):
        root = tmp_path / str(step)
        root.mkdir()
        killed = died(create_until, root, step)
        again = Repository.open(str(root), create=True)
        assert read_back(again, back_up(again, KEPT)) == KEPT
        assert (root / "extract.py").read_bytes()
        if not killed:
            break
    assert step > 8


@pytest.mark.timeout(120)
def test_backups_killed_at_random_instants_leave_only_whole_ones(
    root: Path, repository: Repository, work: Work
) -> None:
    for turn in range(6):
        started = processes.Event()
        process = processes.Process(target=back_up_for_ever, args=(root, started))
        process.start()
        assert started.wait(30)
        process.join(random.Random(turn).uniform(0.0, 0.4))  # the instant of death
        process.kill()
        process.join(30)
        process.close()
        after = Repository.open(str(root))
        for entry in after.backups():
            if entry.state == "complete":
                assert after.verify(entry.id, work, record=False).passed
        back_up(after, KEPT, clock=Clock())
        assert_nothing_is_left(root)
