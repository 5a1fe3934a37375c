"""Maintenance windows."""

from __future__ import annotations

import logging
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from archon_dagster.errors import ConfigurationError
from archon_dagster.health import windows
from archon_dagster.platform import cron
from archon_dagster.platform.settings import Settings, load_settings

SUNDAY = datetime(2026, 11, 29, 2, 30, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "* * * *", "60 * * * *", "* * 0 * *", "a * * * *", "5-1 * * * *", "*/0 * * * *"])
def test_what_is_no_cron_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(text))):
        cron.checked(text)


def test_a_window_keeps_its_length_when_the_clocks_change() -> None:
    """On 25 October 2026 the hour from two to three comes twice in Paris."""
    paris, daily = ZoneInfo("Europe/Paris"), "30 1 * * *"
    start = datetime(2026, 10, 25, 1, 30, tzinfo=paris)
    within = timedelta(hours=2)
    inside = datetime.fromtimestamp(start.timestamp() + 7199, paris)
    outside = datetime.fromtimestamp(start.timestamp() + 7200, paris)
    assert cron.last_start(daily, inside, within) == start
    assert cron.last_start(daily, outside, within) is None


def settings(tmp_path: Path, **more: object) -> Settings:
    return load_settings(ARCHON_HOME=tmp_path, **more)


def test_a_planned_window_covers_its_services_for_its_minutes(tmp_path: Path) -> None:
    planned = [{"cron": "0 2 * * sun", "minutes": 60, "services": ["qdrant"], "why": "compaction"}]
    ours = settings(tmp_path, ARCHON_HEALTH_WINDOWS=planned)
    at = SUNDAY.timestamp()
    assert windows.reasons(["qdrant", "memgraph"], ours, at) == {
        "qdrant": "maintenance until 2026-11-29 03:00 UTC: compaction"
    }
    assert windows.reasons(["qdrant"], ours, at + 1800) == {}
    assert windows.reasons(["qdrant"], ours, at - 1801) == {}


def test_a_window_opened_by_hand_ends_by_itself(tmp_path: Path) -> None:
    windows.open_window(tmp_path, 600.0, "disk", 1000.0, ["qdrant"], who="ada")
    ours = settings(tmp_path)
    assert "(ada): disk" in windows.reasons(["qdrant", "memgraph"], ours, 1599.0)["qdrant"]
    assert windows.reasons(["memgraph"], ours, 1599.0) == {}
    assert windows.reasons(["qdrant"], ours, 1600.0) == {}
    assert windows.ad_hoc(tmp_path, 1600.0) == []


def test_windows_opened_by_hand_can_be_ended(tmp_path: Path) -> None:
    first = windows.open_window(tmp_path, 600.0, "disk", 1000.0)
    windows.open_window(tmp_path, 600.0, "network", 1000.0)
    assert windows.close_windows(tmp_path, 1001.0, first.id) == [first]
    assert [one.why for one in windows.ad_hoc(tmp_path, 1001.0)] == ["network"]


@pytest.mark.parametrize(("seconds", "why"), [(0, "x"), (8 * 86_400, "x"), (60, " ")])
def test_a_window_without_end_or_reason_is_refused(tmp_path: Path, seconds: float, why: str) -> None:
    with pytest.raises(ConfigurationError):
        windows.open_window(tmp_path, seconds, why, 1000.0)


def test_a_damaged_file_is_set_aside_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    windows.open_window(tmp_path, 600.0, "disk", 1000.0)
    windows.path(tmp_path).write_text('[{"id": ')
    with caplog.at_level(logging.WARNING):
        assert windows.ad_hoc(tmp_path, 1001.0) == []
    assert "damaged" in caplog.text
    assert (tmp_path / "health" / "maintenance.json.damaged").read_text() == '[{"id": '


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("ARCHON_HEALTH_WINDOWS", '[{"cron": "0 2 * * x", "minutes": 60}]', "Bad day-of-week"),
        ("ARCHON_HEALTH_WINDOWS", '[{"cron": "0 2 * * 0", "minutes": 60, "services": ["qdrnt"]}]', "no such service"),
        ("ARCHON_HEALTH_WATCHED", '["qdrnt"]', "no such service: qdrnt"),
        ("ARCHON_HEALTH_POLICIES", '{"qdrant": {"failures": 0}}', "greater than or equal to 1"),
        ("ARCHON_HEALTH_POLICIES", "qdrant", "health_policies"),
        ("ARCHON_HEALTH_ROUND_LIMIT", "3", "less than 3"),
    ],
)
def test_wrong_settings_are_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=said):
        load_settings()
