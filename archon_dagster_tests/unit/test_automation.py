"""The switch: who, why, until when; damaged means hands off."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from archon_dagster.errors import ConfigurationError
from archon_dagster.platform.automation import duration, path, pause, paused, resume
from archon_dagster_tests.unit.recovery.picture import at

TWO_HOURS = timedelta(hours=2)


def test_a_pause_says_who_and_why_and_expires_by_itself(tmp_path: Path) -> None:
    pause(tmp_path, TWO_HOURS, "disk is\nreplaced", at(0), "ann")
    found = paused(tmp_path, at(7199))
    assert found is not None and (found.who, found.why, found.until) == ("ann", "disk is replaced", at(7200))
    assert paused(tmp_path, at(7200)) is None


def test_it_can_be_resumed_before(tmp_path: Path) -> None:
    pause(tmp_path, TWO_HOURS, "x", at(0), "ann")
    before = resume(tmp_path, at(60))
    assert before is not None and before.who == "ann"
    assert paused(tmp_path, at(61)) is None
    assert resume(tmp_path, at(62)) is None


def test_a_later_pause_replaces_the_first(tmp_path: Path) -> None:
    pause(tmp_path, timedelta(hours=5), "long", at(0), "ann")
    pause(tmp_path, timedelta(minutes=5), "short", at(10), "bob")
    found = paused(tmp_path, at(20))
    assert found is not None and found.who == "bob"
    assert paused(tmp_path, at(400)) is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"until": "tomorrow"}', b"\xff"])
def test_a_switch_that_cannot_be_read_means_hands_off_until_it_is_resumed(tmp_path: Path, content: bytes) -> None:
    path(tmp_path).write_bytes(content)
    found = paused(tmp_path, at(10**9))
    assert found is not None and found.until is None and "archon automation resume" in found.why
    resume(tmp_path, at(0))
    assert paused(tmp_path, at(0)) is None


@pytest.mark.parametrize("seconds", [0, -1, 8 * 86_400])
def test_a_pause_has_an_end_within_a_week(tmp_path: Path, seconds: float) -> None:
    with pytest.raises(ConfigurationError):
        pause(tmp_path, timedelta(seconds=seconds), "x", at(0))
    assert paused(tmp_path, at(0)) is None


def test_a_pause_has_a_reason(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="reason"):
        pause(tmp_path, TWO_HOURS, "  ", at(0))


@pytest.mark.parametrize(
    ("text", "seconds"), [("2h", 7200), ("90m", 5400), ("1h30m", 5400), ("45s", 45), ("1d", 86400), ("1.5h", 5400)]
)
def test_durations(text: str, seconds: float) -> None:
    assert duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "2", "h", "2 hours", "2h3", "-2h", "2w"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ConfigurationError, match="no duration"):
        duration(text)
