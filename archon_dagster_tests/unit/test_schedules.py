"""A paused automation launches nothing on time but backups, and each skipped tick says who wants that and why."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from archon_dagster.definitions import defs
from archon_dagster.platform import automation
from archon_dagster_tests.unit.configuration.test_shell import Shell

SCHEDULES = {schedule.name: schedule for schedule in defs.get_repository_def().schedule_defs}
BACKUPS = {name for name, schedule in SCHEDULES.items() if schedule.job_name == "backup"}


def tick(name: str) -> dg.ScheduleExecutionData:
    now = datetime.now(UTC)
    with dg.instance_for_test() as instance:
        return SCHEDULES[name].evaluate_tick(dg.build_schedule_context(instance=instance, scheduled_execution_time=now))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ARCHON_HOME", str(tmp_path))
    return tmp_path


def pause(home: Path) -> None:
    automation.pause(home, timedelta(hours=2), "disk is replaced", datetime.now(UTC), "ann")


def test_there_are_schedules_of_both_kinds() -> None:
    assert {"weekly_maintenance", "retention"} <= SCHEDULES.keys() - BACKUPS and "daily_backup" in BACKUPS


@pytest.mark.parametrize("name", sorted(SCHEDULES.keys() - BACKUPS))
def test_while_paused_nothing_is_launched_and_the_tick_says_why(home: Path, name: str) -> None:
    before = tick(name)
    pause(home)
    skipped = tick(name)
    assert not skipped.run_requests
    if before.run_requests:  # else it has a reason of its own
        assert "paused until" in str(skipped.skip_message) and "by ann: disk is replaced" in str(skipped.skip_message)
    automation.resume(home, datetime.now(UTC))
    assert bool(tick(name).run_requests) is bool(before.run_requests)


@pytest.mark.parametrize("name", sorted(BACKUPS))
def test_a_pause_costs_no_recovery_point(home: Path, name: str) -> None:
    pause(home)
    assert tick(name).run_requests


def test_a_configuration_that_was_changed_while_paused_is_copied_all_the_same(tmp_path: Path) -> None:
    with dg.instance_for_test() as instance:
        shell = Shell(tmp_path / "home", instance)
        shell.look()
        pause(shell.platform.settings.home)
        shell.platform.env_file.write_bytes(shell.platform.env_file.read_bytes() + b"BATCH_SIZE=10\n")
        came = shell.look()
    assert isinstance(came, dg.SensorResult) and came.run_requests
