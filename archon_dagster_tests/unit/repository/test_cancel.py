"""A cancel is heard between any two steps on a slow disk, and nothing half-written is left."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from archon_dagster.errors import Cancelled
from archon_dagster.repository.backends.base import StoredObject
from archon_dagster.repository.backends.filesystem import FilesystemBackend
from archon_dagster.repository.repository import Repository
from archon_dagster.stores.base import Work
from archon_dagster_tests.unit.repository.conftest import Clock, back_up, read_back, window

PROMPT = 2.0  # seconds
SLOW = 0.02  # seconds that each step takes
CONTENT = {"a": os.urandom(40 << 20)}


class SlowDisk:
    """A repository on a slow disk; a cancel comes when the disk gets to a chosen step."""

    def __init__(self, root: Path):
        self.root, self.cancel, self.cancelled_at = root, threading.Event(), 0.0
        self.awaited = ("", "")
        self.repository = Repository.on(_SlowReads(root, self._on_step, threads=1), check=self.check)

    def check(self) -> None:
        if self.cancel.is_set():
            raise Cancelled("cancelled on request")

    def stop(self) -> None:
        if not self.cancel.is_set():
            self.cancelled_at = time.monotonic()
            self.cancel.set()

    def _on_step(self, name: str, path: Path) -> None:
        step, part = self.awaited
        if step == name and part in str(path):
            self.stop()
        threading.Event().wait(SLOW)

    def cancelled(self, action: Callable[[], object], step: str = "", part: str = "") -> float:
        """Seconds from the cancel, which comes at that step, to the end of the action."""
        self.awaited = (step, part)
        with pytest.raises(Cancelled):
            action()
        assert self.cancelled_at
        return time.monotonic() - self.cancelled_at


class _SlowReads(FilesystemBackend):
    def __init__(self, root: Path, on_step: Callable[[str, Path], None], threads: int):
        super().__init__(root, on_step=on_step, threads=threads)
        self._told = on_step

    def get(self, key: str, *, limit: int | None = None) -> StoredObject:
        self._told("read", self.root / key)
        return super().get(key, limit=limit)


@pytest.fixture
def disk(root: Path, repository: Repository) -> SlowDisk:
    return SlowDisk(root)


@pytest.mark.parametrize(
    ("step", "part"),
    [
        ("link", "incomplete"),
        ("create", "chunks"),
        ("write", "chunks"),
        ("sync", "chunks"),
        ("rename", "chunks"),
        ("sync directory", "chunks"),
        ("touch", "platform.json"),
        ("write", "backups/2026"),
        ("link", "backups/2026"),
        ("sync directory", "backups"),
    ],
)
def test_a_backup_stops_at_any_step_and_leaves_nothing(disk: SlowDisk, work: Work, step: str, part: str) -> None:
    kept = back_up(Repository.open(str(disk.root)), {"b": b"kept"}, clock=Clock())

    def backup() -> None:
        with disk.repository.begin("manual", clock=Clock()) as pending:
            with pending.artifact("vectors", "a", "k", media_type="x/y", cut="content") as artifact:
                artifact.write(CONTENT["a"])
            pending.seal(window=window(), versions={})

    assert disk.cancelled(backup, step, part) < PROMPT
    again = Repository.open(str(disk.root))
    assert [(entry.id, entry.state) for entry in again.backups()] == [(kept.id, "complete")]
    assert again.holder() is None
    assert [path for path in disk.root.rglob("*") if path.name.endswith((".tmp", ".incomplete"))] == []
    assert again.verify(back_up(again, CONTENT, clock=Clock()).id, work).passed


def test_reading_stops_too(disk: SlowDisk, work: Work, tmp_path: Path) -> None:
    manifest = back_up(Repository.open(str(disk.root)), CONTENT, clock=Clock())
    actions: list[Callable[[], object]] = [
        lambda: disk.repository.verify(manifest.id, work),
        lambda: read_back(disk.repository, manifest),
        lambda: disk.repository.export(manifest, tmp_path / "out", work),
    ]
    for action in actions:
        disk.cancel.clear()
        assert disk.cancelled(action, "read", "chunks") < PROMPT
    assert list(tmp_path.glob("*out*")) == []


def test_waiting_for_the_lock_stops(disk: SlowDisk) -> None:
    with Repository.open(str(disk.root)).lock("somebody else"):
        threading.Timer(0.3, disk.stop).start()

        def wait() -> None:
            with disk.repository.lock("me", wait=60):
                pytest.fail("two holders")

        assert disk.cancelled(wait) < PROMPT


def test_waiting_for_a_process_that_is_stopped_in_the_middle_of_a_swap_stops(disk: SlowDisk) -> None:
    back_up(Repository.open(str(disk.root)), {"b": b"kept"}, clock=Clock())
    with (disk.root / "locks/.guard").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        threading.Timer(0.3, disk.stop).start()
        assert disk.cancelled(lambda: back_up(disk.repository, {"c": b"new"})) < PROMPT
