"""Old events without a run go, from wherever Dagster keeps them; what the UI shows of now stays."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecord

from archon_dagster.maintenance import event_store
from archon_dagster.maintenance.jobs import remove_old_events, remove_old_runs, trim_event_log_job
from archon_dagster.platform.settings import Settings, load_settings
from archon_dagster.recovery.assets import KEY as INCIDENTS
from archon_dagster.resources import Operations

DAY = 86_400.0
QDRANT = dg.AssetKey(["health", "qdrant"])
FAST, READY = dg.AssetCheckKey(QDRANT, "fast"), dg.AssetCheckKey(QDRANT, "ready")


class Log:
    """A real instance on SQLite, and what is in its files."""

    def __init__(self, home: Path, instance: dg.DagsterInstance):
        self.home, self.instance = home, instance

    def report(self, times: int, *, passed: bool = True) -> None:
        """What the health monitor writes as a heartbeat of one service."""
        for number in range(times):
            for key in (FAST, READY):
                self.instance.report_runless_asset_event(
                    dg.AssetCheckEvaluation(
                        asset_key=QDRANT, check_name=key.name, passed=passed, metadata={"number": number}
                    )
                )
            self.instance.report_runless_asset_event(dg.AssetObservation(QDRANT, metadata={"number": number}))

    def results(self, key: dg.AssetCheckKey) -> list[AssetCheckExecutionRecord]:
        """Newest first."""
        return list(self.instance.event_log_storage.get_asset_check_execution_history(key, 1000))

    def observations(self) -> int:
        return len(self.instance.fetch_observations(QDRANT, limit=1000).records)

    def rows(self) -> dict[str, int]:
        """Rows without a run, by file and table."""
        found = {}
        for file in (self.home / "history" / "runs").iterdir():
            if file.suffix == ".db" or file.name == ".db":
                with sqlite3.connect(file) as connection:
                    (found[file.name],) = connection.execute(
                        "SELECT count(*) FROM event_logs WHERE run_id = ''"
                    ).fetchone()
        return found


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        yield Log(tmp_path, instance)


def test_the_reports_of_incidents_that_are_gone_go_and_those_of_the_others_stay(log: Log) -> None:
    log.instance.add_dynamic_partitions("incidents", ["there"])
    for partition in ("there", "gone", "gone"):
        log.instance.report_runless_asset_event(dg.AssetMaterialization(INCIDENTS, partition=partition))
    assert remove_old_events(log.instance, 7).startswith("0 events")
    assert remove_old_events(log.instance, 7, now=time.time() + 8 * DAY).startswith("2 events")
    left = log.instance.fetch_materializations(INCIDENTS, limit=10).records
    assert [record.partition_key for record in left] == ["there"]
    assert log.rows() == {".db": 1, "index.db": 1}


def test_old_events_go_and_the_newest_of_each_check_stay(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_store, "BATCH", 4)
    log.report(9)
    log.report(1, passed=False)
    assert log.rows() == {".db": 30, "index.db": 30}
    later = time.time() + 8 * DAY
    assert remove_old_events(log.instance, 9, now=later, kept=3).startswith("0 events without a run")
    assert log.rows() == {".db": 30, "index.db": 30}
    said = remove_old_events(log.instance, 7, now=later, kept=3)
    assert said == "21 events without a run, older than 7 days, were removed"
    for key in (FAST, READY):
        assert [record.status.value for record in log.results(key)] == ["FAILED", "SUCCEEDED", "SUCCEEDED"]
        newest = log.instance.event_log_storage.get_latest_asset_check_execution_by_key([key])[key]
        assert newest.status.value == "FAILED"
    assert log.observations() == 3
    assert log.rows()["index.db"] == 9 and log.rows()[".db"] <= 9
    log.report(1)  # the next ones are numbered on
    assert [record.status.value for record in log.results(FAST)][:2] == ["SUCCEEDED", "FAILED"]
    assert log.observations() == 4


def test_the_job_trims_what_is_older_than_the_history_of_the_monitor(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    class Here(Operations):
        def settings(self) -> Settings:
            return load_settings().model_copy(update={"health_history_days": 1e-9})

    monkeypatch.setattr(event_store, "BATCH", 16)
    log.report(event_store.KEPT + 3)
    loaded = dg.Definitions(jobs=[trim_event_log_job], resources={"operations": Here()})
    done = loaded.resolve_job_def("trim_event_log").execute_in_process(instance=log.instance)
    assert done.success
    assert len(log.results(FAST)) == log.observations() == event_store.KEPT


def test_what_is_young_stays_however_much_it_is(log: Log) -> None:
    log.report(5)
    assert remove_old_events(log.instance, 7, kept=1).startswith("0 events")
    assert log.observations() == 5 and len(log.results(FAST)) == 5


def test_the_events_of_a_run_go_with_the_run_and_so_do_its_results(log: Log) -> None:
    @dg.asset_check(asset=QDRANT)
    def full() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=True)

    job = dg.define_asset_job("look", selection=dg.AssetSelection.all_asset_checks())
    loaded = dg.Definitions(asset_checks=[full], jobs=[job]).resolve_job_def("look")
    key = dg.AssetCheckKey(QDRANT, "full")
    runs = [loaded.execute_in_process(instance=log.instance).run_id for _ in range(4)]
    later = time.time() + 40 * DAY
    remove_old_events(log.instance, 7, now=later, kept=1)
    assert [record.run_id for record in log.results(key)] == runs[::-1]
    assert remove_old_runs(log.instance, 30, now=later, keep=runs[1]).startswith("2 runs")
    remove_old_events(log.instance, 7, now=later, kept=1)
    assert [record.run_id for record in log.results(key)] == [runs[3], runs[1]]


def test_a_materialization_without_a_run_is_no_passing_news_and_stays(log: Log) -> None:
    """Incidents are shown by them."""
    for _ in range(3):
        log.instance.report_runless_asset_event(dg.AssetMaterialization(QDRANT, partition="incident"))
    remove_old_events(log.instance, 7, now=time.time() + 400 * DAY, kept=1)
    assert len(log.instance.fetch_materializations(QDRANT, limit=10).records) == 3
