"""Who lets writers go that nobody is left to let go; on switches, with a real lock."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from archon_dagster.health.abandoned import let_go
from archon_dagster.platform.quiesce import paused_writers
from archon_dagster.platform.settings import Settings
from archon_dagster.repository.holder import LEASE_SECONDS, LOCK_KEY
from archon_dagster_tests.unit.platform_double import Platform

WRITER = "archon-search"


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    return Platform(tmp_path)


def leave(platform: Platform, ago: float = 0.0) -> Path:
    """As a backup that paused its writer so many seconds ago, and was killed together with its guard."""
    platform.runtime.pause(WRITER)
    note = platform.settings.home / "paused.json"
    note.write_text(json.dumps([WRITER]))
    os.utime(note, (time.time() - ago,) * 2)
    return note


def leave_lock(platform: Platform) -> Path:
    """As a holder in another container, of which nobody here can tell whether it lives, seen last just now."""
    with platform.repository.lock("backup"):
        file = Path(platform.settings.repository) / LOCK_KEY
        held = json.loads(file.read_text())
    file.write_text(json.dumps(held | {"namespace": held["namespace"] + 1, "released": False}))
    return file


def patient(platform: Platform) -> Settings:
    """Writers may be held longer than a lease."""
    return platform.settings.model_copy(update={"pause_limit": 600.0})


def test_with_nothing_left_paused_nothing_is_touched(platform: Platform) -> None:
    platform.runtime.pause(WRITER)  # by an operator, who has his reasons
    assert let_go(platform.settings, platform.context.runtime, time.time()) == ()
    assert platform.runtime.states[WRITER] == "paused"


def test_when_whoever_paused_them_has_given_up_the_lock_or_is_dead_they_go_on(platform: Platform) -> None:
    note = leave(platform)
    assert let_go(platform.settings, platform.context.runtime, time.time()) == (WRITER,)
    assert platform.runtime.states[WRITER] == "running"
    assert not note.exists()


def test_a_backup_that_may_be_alive_keeps_them_until_its_lease_is_over(platform: Platform) -> None:
    leave(platform)
    lock = leave_lock(platform)
    assert let_go(patient(platform), platform.context.runtime, time.time()) == ()
    assert platform.runtime.states[WRITER] == "paused"
    os.utime(lock, (time.time() - LEASE_SECONDS - 1,) * 2)
    assert let_go(patient(platform), platform.context.runtime, time.time()) == (WRITER,)
    assert platform.runtime.states[WRITER] == "running"


def test_nobody_may_hold_them_longer_than_allowed(platform: Platform) -> None:
    leave(platform, ago=platform.settings.pause_limit + 1)
    leave_lock(platform)
    assert let_go(platform.settings, platform.context.runtime, time.time()) == (WRITER,)


def test_without_an_answer_from_the_repository_the_time_decides(platform: Platform) -> None:
    settings = platform.settings.model_copy(update={"repository_setting": str(platform.settings.home / "nowhere")})
    leave(platform)
    assert let_go(settings, platform.context.runtime, time.time()) == ()
    leave(platform, ago=settings.pause_limit + 1)
    assert let_go(settings, platform.context.runtime, time.time()) == (WRITER,)


def test_a_clock_that_was_set_back_does_not_keep_them(platform: Platform) -> None:
    leave(platform, ago=-3600.0)
    assert let_go(platform.settings, platform.context.runtime, time.time()) == (WRITER,)


def test_a_living_backup_is_not_disturbed(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARCHON_RUNTIME", "elsewhere")  # for the guard, which has nothing to hold
    with platform.repository.lock("backup"), paused_writers(platform.settings, platform.context.runtime) as pause:
        assert pause.paused == (WRITER,)
        assert let_go(platform.settings, platform.context.runtime, time.time()) == ()
        assert platform.runtime.states[WRITER] == "paused"
    assert platform.runtime.states[WRITER] == "running"
