"""Clocks that jump: the lock is neither taken from a living holder nor held for ever, and order stays order.

Setting the storage's clock needs more rights than a test has, and would disturb everybody on the machine. What such a
jump does to the lock is that the time of its record no longer fits: that is done here instead.
"""

from __future__ import annotations

import json
import os
import re
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from archon_dagster.errors import Cancelled, RepositoryBusy
from archon_dagster.repository.backends.filesystem import FilesystemBackend
from archon_dagster.repository.holder import LOCK_KEY
from archon_dagster.repository.lock import lock
from archon_dagster.repository.repository import Repository
from archon_dagster.repository.verification import CheckRecord, failed_checks
from archon_dagster_tests.unit.repository.conftest import back_up

HOUR, YEAR = 3600.0, 365 * 86_400.0
JUMPS = pytest.mark.parametrize("jump", [HOUR, YEAR, -HOUR, -YEAR])


@pytest.fixture
def backend(tmp_path: Path) -> FilesystemBackend:
    return FilesystemBackend(tmp_path)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository.open(str(tmp_path / "repository"), create=True)


def jump_by(backend: FilesystemBackend, seconds: float) -> None:
    """What the storage's clock says is this much later than what it said when the record was written."""
    then = time.time() - seconds
    os.utime(backend.root / LOCK_KEY, (then, then))


def move_elsewhere(backend: FilesystemBackend, **fields: object) -> None:
    """The holder is on another host, where nobody can see whether it lives."""
    path = backend.root / LOCK_KEY
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {"host": "another host"} | fields))


# the storage's clock, and the lock


@JUMPS
def test_a_living_holder_keeps_the_lock_when_the_clock_of_the_storage_jumps(
    backend: FilesystemBackend, jump: float
) -> None:
    with lock(backend, "long restore", lease=3.0) as lease:
        jump_by(backend, jump)
        with pytest.raises(RepositoryBusy, match="long restore"), lock(backend, "thief"):
            pytest.fail("two holders")
        lease.renew()


@JUMPS
def test_a_holder_that_died_elsewhere_before_the_jump_does_not_keep_the_lock(
    backend: FilesystemBackend, jump: float, caplog: pytest.LogCaptureFixture
) -> None:
    with lock(backend, "dead"):
        pass
    move_elsewhere(backend, released=False, lease=1.0)
    jump_by(backend, jump)
    began = time.monotonic()
    with lock(backend, "next"):
        assert 0.4 < time.monotonic() - began < 10
    (said,) = caplog.messages
    assert re.search(r"the lock of 'dead' on another host was .*; watching for [01] s whether it is renewed", said)
    assert ("clock was set back" in said) == (jump < 0)


def test_a_record_that_cannot_be_read_and_lies_in_the_future_is_watched_for_a_lease(
    backend: FilesystemBackend,
) -> None:
    backend.put(LOCK_KEY, b"garbage")
    jump_by(backend, -YEAR)
    looks: list[float] = []

    def stop_after_a_while() -> None:
        looks.append(time.monotonic())
        if looks[-1] - looks[0] > 1.0:
            raise Cancelled("long enough")

    with pytest.raises(Cancelled), lock(backend, "me", check=stop_after_a_while):
        pytest.fail("it may still be held")


def test_watching_can_be_cancelled(backend: FilesystemBackend) -> None:
    with lock(backend, "dead"):
        pass
    move_elsewhere(backend, released=False)
    jump_by(backend, HOUR)
    cancelled = threading.Event()
    threading.Timer(0.3, cancelled.set).start()

    def check() -> None:
        if cancelled.is_set():
            raise Cancelled("stop")

    began = time.monotonic()
    with pytest.raises(Cancelled), lock(backend, "me", check=check):
        pytest.fail("it may still be held")
    assert time.monotonic() - began < 5


# the holder's clock, and the backups


class Wall:
    """A wall clock that somebody sets."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 24, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def set(self, change: timedelta) -> None:
        self.now += change


def chain(repository: Repository, wall: Wall, changes: list[timedelta]) -> list[str]:
    ids = []
    for number, change in enumerate(changes):
        wall.set(change)
        ids.append(back_up(repository, {"a": str(number).encode()}, clock=wall).id)
    return ids


@pytest.mark.parametrize(
    "changes",
    [
        [timedelta(0)] * 4,
        [timedelta(0), timedelta(hours=-1), timedelta(seconds=5), timedelta(days=-400)],
        [timedelta(0), timedelta(days=365), timedelta(days=-365), timedelta(minutes=1), timedelta(days=400)],
    ],
)
def test_ids_are_unique_and_sort_in_the_order_of_the_backups_whatever_the_clock_does(
    repository: Repository, changes: list[timedelta]
) -> None:
    ids = chain(repository, Wall(), changes)
    assert len(set(ids)) == len(ids)
    assert ids == sorted(ids)
    assert [entry.id for entry in repository.backups()] == ids[::-1]


def test_latest_is_the_last_backup_also_after_the_clock_went_back(repository: Repository) -> None:
    *_, last = chain(repository, Wall(), [timedelta(0), timedelta(days=365), timedelta(days=-365), timedelta(hours=1)])
    assert repository.resolve("latest").id == last


def test_a_backup_after_the_clock_went_back_says_so_and_keeps_the_time_the_clock_showed(
    repository: Repository, caplog: pytest.LogCaptureFixture
) -> None:
    wall = Wall()
    first, second = chain(repository, wall, [timedelta(0), timedelta(days=-2)])
    manifest = repository.resolve(second)
    assert manifest.created == wall.now
    assert manifest.note == (
        f"the clock of this host showed 2026-11-22 12:00:00 UTC, which is before the backup {first}: "
        "its id is the next after that one"
    )
    assert any(first in message and "see which clock is wrong" in message for message in caplog.messages)


def test_a_step_of_a_second_is_not_worth_a_word(repository: Repository, caplog: pytest.LogCaptureFixture) -> None:
    _, second = chain(repository, Wall(), [timedelta(0), timedelta(seconds=-1)])
    assert repository.resolve(second).note == ""
    assert caplog.messages == []


def test_a_date_means_the_day_the_clock_showed(repository: Repository) -> None:
    _, second = chain(repository, Wall(), [timedelta(0), timedelta(days=-2)])
    assert repository.resolve("20261122").id == second


@pytest.mark.parametrize("foreign", ["99991231T235959Z-ffff", "99999999T999999Z-ffff"])
def test_an_impossible_id_among_the_backups_does_not_stop_the_next_one(
    repository: Repository, tmp_path: Path, foreign: str
) -> None:
    (tmp_path / "repository" / "backups").mkdir(exist_ok=True)
    (tmp_path / "repository" / "backups" / f"{foreign}.json").write_text("{}")
    backup = back_up(repository, {"a": b"1"})
    assert repository.resolve("latest") == backup


def test_a_clock_that_is_set_back_while_a_backup_runs_makes_no_negative_duration(repository: Repository) -> None:
    wall = Wall()

    def falling() -> datetime:
        wall.set(timedelta(hours=-1))
        return wall.now

    clock: Callable[[], datetime] = falling
    assert back_up(repository, {"a": b"1"}, clock=clock).duration == 0


def check(repository: Repository, backup_id: str, wall: Wall, *, passed: bool) -> None:
    repository.record(backup_id, CheckRecord(name="digests", passed=passed, detail="", time=wall.now))


@pytest.mark.parametrize("passed", [True, False])
def test_what_a_check_found_last_counts_also_after_the_clock_went_back(repository: Repository, passed: bool) -> None:
    wall = Wall()
    backup = back_up(repository, {"a": b"1"}, clock=wall)
    check(repository, backup.id, wall, passed=not passed)
    wall.set(timedelta(days=-365))
    check(repository, backup.id, wall, passed=passed)
    assert [record.passed for record in repository.checks(backup.id)] == [not passed, passed]
    (entry,) = repository.backups(checks=True)
    assert entry.checks is not None
    assert entry.checks.reliable == passed
    check(repository, backup.id, wall, passed=not passed)
    assert len(failed_checks(repository.checks(backup.id))) == passed
