"""A drill's result beside the backup: what it does to `latest`, and how the last one is found."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from archon_dagster.alerts.failures import FailedRun, run_failed
from archon_dagster.backup.backup import BackupRequest, take_backup
from archon_dagster.errors import BackupNotFound, DamagedBackup
from archon_dagster.repository.check_state import state_of
from archon_dagster.repository.verification import CheckRecord
from archon_dagster.restore_drill import record
from archon_dagster.restore_drill.drill import raise_for_failure
from archon_dagster.restore_drill.result import DrillResult, State, StoreDrill
from archon_dagster.restore_drill.summary import headline, numbers, page
from archon_dagster.stores.base import StoreName
from archon_dagster_tests.unit.platform_double import Platform

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    return Platform(tmp_path)


def backed_up(platform: Platform) -> str:
    result = take_backup(platform.context, BackupRequest(quiesce=False))
    assert result.good
    return result.manifest.id


def drilled(backup: str, after: float = 0.0, **states: State) -> DrillResult:
    """A result for the stores named, ``after`` seconds after noon in a year when no backup here was taken yet."""
    stores = [
        StoreDrill(store=name, server="folder 1", size=1000, restored=0.5, compared=0.1, state=state,  # type: ignore[arg-type]
                   detail="2 records more" if state == "different" else "")
        for name, state in states.items()
    ]  # fmt: skip
    at = datetime.now(UTC) + timedelta(seconds=after)
    return DrillResult(id="0123abcd", backup=backup, at=at, stores=tuple(stores), rto=4.2)


def newest(platform: Platform, backup: str) -> CheckRecord:
    return [check for check in platform.context.repository.checks(backup) if check.name == record.CHECK][-1]


def test_a_good_drill_is_a_passed_check_with_the_measured_time(platform: Platform) -> None:
    backup = backed_up(platform)
    assert record.record(platform.context.repository, drilled(backup, vectors="identical", graph="identical"))
    check = newest(platform, backup)
    assert (check.passed, check.seconds) == (True, 4.2)
    assert "of vectors, graph: 4.2 s, objective for complete system failure 3600 s" in check.detail
    assert "vectors 1000 B in 0.500 s" in check.detail
    assert "on folder 1" in check.detail
    assert platform.context.repository.resolve("latest").id == backup


def test_a_difference_keeps_the_backup_out_of_latest_until_it_is_drilled_well(platform: Platform) -> None:
    repository, backup = platform.context.repository, backed_up(platform)
    bad = drilled(backup, vectors="identical", graph="different")
    assert record.record(repository, bad)
    assert newest(platform, backup).seconds is None
    assert state_of(repository.checks(backup)).failed == ("drill",)
    with pytest.raises(BackupNotFound):
        repository.resolve("latest")
    with pytest.raises(DamagedBackup, match=f"{backup} failed its drill: graph: 2 records more"):
        raise_for_failure(bad)
    assert record.record(repository, drilled(backup, 1, vectors="identical", graph="identical"))
    assert repository.resolve("latest").id == backup


def test_a_drill_of_other_stores_does_not_clear_a_failure(platform: Platform) -> None:
    repository, backup = platform.context.repository, backed_up(platform)
    record.record(repository, drilled(backup, vectors="identical", graph="different"))
    assert not record.record(repository, drilled(backup, 1, vectors="identical"))
    assert not record.record(repository, drilled(backup, 2, vectors="identical", relational="identical"))
    assert not newest(platform, backup).passed
    record.record(repository, drilled(backup, 3, vectors="identical", graph="identical", relational="identical"))
    assert newest(platform, backup).passed


def test_the_last_drill_is_found_among_all_backups(platform: Platform) -> None:
    repository = platform.context.repository
    assert record.last(repository) is None
    first, second = backed_up(platform), backed_up(platform)
    assert record.last(repository) is None
    record.record(repository, drilled(second, vectors="identical"))
    record.record(repository, drilled(first, 1, vectors="identical"))
    found = record.last(repository)
    assert found is not None
    assert (found.backup, found.check.seconds) == (first, 4.2)
    assert found.line == f"vectors of backup {first}: restored and compared in 4.20 s"
    record.record(repository, drilled(second, 2, vectors="different"))
    found = record.last(repository)
    assert found is not None
    assert found.line.startswith(f"backup {second} FAILED its drill: of vectors: vectors: 2 records more")


def test_the_whole_result_is_kept_in_the_home(tmp_path: Path) -> None:
    assert record.load(tmp_path) is None
    result = drilled("20261129T120000Z-0001", vectors="identical")
    record.keep(tmp_path, result)
    assert record.load(tmp_path) == result


@pytest.mark.parametrize("state", ["different", "not tried"])
def test_the_page_and_the_numbers_say_what_is_wrong_and_measure_nothing(state: State) -> None:
    result = drilled("20261129T120000Z-0001", vectors="identical", graph=state)
    assert "FAILED" in headline(result)
    assert "graph" in page(result)
    assert "measured RTO" not in page(result)
    assert "RTO measured (s)" not in numbers(result)


def test_a_late_one_says_that_it_misses_the_objective() -> None:
    late = drilled("20261129T120000Z-0001", graph="identical").model_copy(update={"rto": 1801.0})
    assert late.passed
    assert late.against == "30 min 1 s, objective for database corruption: 30 min 0 s, which it misses"


def test_a_failed_drill_is_told_as_critical_and_one_that_could_not_be_done_as_a_warning() -> None:
    said = "backup 20261129T120000Z-0001 failed its drill: graph: 2 records more\nwhat to do: take another"
    run = FailedRun("restore_drill", "r", said, NOW, {"archon/alert": "critical"}, None)
    alert = run_failed(run)
    assert alert is not None
    assert (alert.severity, alert.what) == ("critical", said.splitlines()[0])
    assert alert.todo == ("take another",)
    could_not = run_failed(FailedRun("restore_drill", "r", "no room", NOW, {}, None))
    assert could_not is not None
    assert could_not.severity == "warning"


def test_every_store_name_is_read_back_from_a_record(platform: Platform) -> None:
    names: tuple[StoreName, ...] = ("vectors", "graph", "relational", "configuration")
    repository, backup = platform.context.repository, backed_up(platform)
    record.record(repository, drilled(backup, **dict.fromkeys(names, "different")))  # type: ignore[arg-type]
    assert record.record(repository, drilled(backup, 1, **dict.fromkeys(names, "identical")))  # type: ignore[arg-type]
