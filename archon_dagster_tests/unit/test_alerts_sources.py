"""Which alerts failed runs, failed checks and old backups are worth."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from archon_dagster.alerts import recovery_points
from archon_dagster.alerts.failures import SEVERITY_TAG, FailedCheck, FailedRun, check_failed, run_failed, run_page
from archon_dagster.alerts.recovery_points import DAILY_LIMIT, FASTER_SCHEDULE, Newest, breaches, limits, newest_backups
from archon_dagster.backup.backup import BackupRequest, take_backup
from archon_dagster.backup.schedules import SCHEDULES
from archon_dagster.cli.webserver import note_webserver
from archon_dagster.errors import StoreUnavailable
from archon_dagster.platform.objectives import RPO
from archon_dagster.platform.settings import load_settings
from archon_dagster.stores.base import STORES
from archon_dagster_tests.unit.platform_double import Platform

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def failed_run(error: str = "it broke", job: str = "backup", **tags: str) -> FailedRun:
    return FailedRun(job, "abcdef", error, NOW, {SEVERITY_TAG: tags["tag"]} if tags else {}, "http://ui/runs/abcdef")


def test_a_notice_about_an_old_backup_tells_the_objective_from_what_the_schedule_can_keep() -> None:
    taken = NOW - timedelta(hours=30)
    daily = breaches({"vectors": ("B", taken), "configuration": ("B", taken)}, limits(()), NOW, taken)
    assert [alert.what.partition("; ")[2] for alert in daily] == [
        f"26 h 0 min by the schedule; the objective (RPO) is {hours} h 0 min: what has changed since would be lost"
        for hours in (4, 1)
    ]
    (hourly,) = breaches({"vectors": ("B", taken)}, limits({FASTER_SCHEDULE["vectors"]}), NOW, taken)
    assert "4 h 0 min are allowed (RPO)" in hourly.what


def test_a_failed_run_says_the_first_line_what_was_tried_and_what_to_do() -> None:
    error = StoreUnavailable("memgraph does not answer", where="bolt://h:7687", tried="3 times", todo="start it")
    alert = run_failed(failed_run(str(error)))
    assert alert is not None
    assert (alert.title, alert.what) == ("the job backup failed", "memgraph does not answer (bolt://h:7687)")
    assert (alert.tried, alert.todo, alert.link) == (("3 times",), ("start it",), "http://ui/runs/abcdef")


def test_an_error_that_lists_others_says_the_first_of_them() -> None:
    alert = run_failed(failed_run("not every store answers:\ngraph: refused\nwhat to do: start it\nvectors: refused"))
    assert alert is not None
    assert (alert.what, alert.todo) == ("not every store answers: graph: refused", ("start it",))


def test_an_error_that_says_nothing_still_makes_an_alert() -> None:
    alert = run_failed(failed_run("  \n "))
    assert alert is not None
    assert alert.what == "it gives no reason"
    assert alert.todo


@pytest.mark.parametrize(
    ("job", "tag", "severity"),
    [("backup", "", "warning"), ("restore", "", "critical"), ("x", "critical", "critical"), ("x", "none", None)],
)
def test_how_severe_a_failed_run_is(job: str, tag: str, severity: str | None) -> None:
    alert = run_failed(failed_run(job=job, tag=tag))
    assert (alert.severity if alert else None) == severity


def test_a_failed_check_names_the_backup_and_what_to_type() -> None:
    check = FailedCheck(
        "backup/sealed", "digests", "error", "chunk 3f2 is wrong", NOW, 2, "20261124T030000Z-7f3a", None
    )
    alert = check_failed(check)
    assert alert.title == "the check digests of backup 20261124T030000Z-7f3a failed"
    assert (alert.severity, alert.what) == ("critical", "chunk 3f2 is wrong")
    assert "archon backups show 20261124T030000Z-7f3a" in alert.todo[0]
    assert "2 times in a row" in alert.tried[0]


def test_the_link_is_that_of_the_webserver_that_was_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_page(load_settings(), "r") is None
    note_webserver(load_settings(), "http://127.0.0.1:3000")
    assert run_page(load_settings(), "r") == "http://127.0.0.1:3000/runs/r"
    monkeypatch.setenv("ARCHON_WEBSERVER_URL", "https://dagster.example.org/")
    assert run_page(load_settings(), "r") == "https://dagster.example.org/runs/r"


def test_an_objective_counts_only_where_a_schedule_that_can_meet_it_is_on() -> None:
    assert set(limits([]).values()) == {DAILY_LIMIT}
    on = limits(["daily_backup", "hourly_backup"])
    assert on["vectors"] == on["graph"] == RPO["vectors"].maximum
    assert on["relational"] == on["configuration"] == DAILY_LIMIT
    assert limits(["quarter_hourly_backup"])["relational"] == RPO["relational"].maximum


def test_the_schedules_named_here_back_up_these_stores() -> None:
    covers = {}
    for schedule in SCHEDULES:
        with dg.instance_for_test() as instance:
            tick = schedule.evaluate_tick(dg.build_schedule_context(instance=instance, scheduled_execution_time=NOW))
        assert tick.run_requests
        covers[schedule.name] = tick.run_requests[0].run_config["ops"]["take_backup"]["config"]["stores"]
    assert all(store in covers[schedule] for store, schedule in FASTER_SCHEDULE.items())


def test_a_store_whose_backup_is_too_old_is_a_breach_since_it_became_too_old() -> None:
    newest: Newest = {
        "vectors": ("20261123T220000Z-7f3a", NOW - 5 * HOUR),
        "graph": ("20261124T020000Z-0001", NOW - HOUR),
    }
    (alert,) = breaches(newest, limits(["hourly_backup"]), NOW, NOW - 100 * HOUR)
    assert (alert.title, alert.severity, alert.since) == (
        "no backup of vectors within 4 h 0 min",
        "critical",
        NOW - HOUR,
    )
    assert alert.what.startswith("the newest good backup of vectors is 20261123T220000Z-7f3a, 5 h 0 min old; 4 h 0 min")
    assert alert.todo[0] == "take one now: archon backup --only vectors"


def test_a_new_platform_is_given_time_for_its_first_backup() -> None:
    newest = dict.fromkeys(STORES)
    assert breaches(newest, limits([]), NOW, NOW - 25 * HOUR) == ()
    found = breaches(newest, limits([]), NOW, NOW - 27 * HOUR)
    assert [alert.incident for alert in found] == [f"rpo/{store}" for store in STORES]
    assert "there is no good backup of vectors" in found[0].what


def test_the_repository_says_how_old_the_backups_are(tmp_path: Path) -> None:
    platform = Platform(tmp_path / "home")
    assert newest_backups(platform.settings) == dict.fromkeys(STORES)
    backup = take_backup(platform.context, BackupRequest(quiesce=False, stores=("graph",))).manifest
    assert newest_backups(platform.settings) == {**dict.fromkeys(STORES), "graph": (backup.id, backup.window.start)}


def test_a_repository_that_cannot_be_read_is_an_alert_of_its_own() -> None:
    alert = recovery_points.repository_unreadable("no such bucket (s3://b)\nwhat to do: see the region", NOW)
    assert alert.what.startswith("no such bucket (s3://b); ")
    assert alert.todo == ("see the region",)
