"""The Dagster objects around backup and restore, on a small platform of folders and a real instance."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

import dagster as dg
import pytest

from archon_dagster.backup.assets import PARTS
from archon_dagster.backup.backup import BackupRequest, back_up_under_lock, take_backup
from archon_dagster.backup.checks import CHECKS
from archon_dagster.context import OperationContext
from archon_dagster.definitions import defs
from archon_dagster.platform.settings import Settings
from archon_dagster.repository.assets import CATALOGUE, PARTITIONS_PAGE, SEALED, catalogue
from archon_dagster.repository.verification import CheckRecord
from archon_dagster.resources import Operations
from archon_dagster.restore.jobs import LAUNCHPAD
from archon_dagster.stores.assets import GRAPH
from archon_dagster_tests.unit.platform_double import Platform, failing


def operations_of(platform: Platform) -> Operations:
    """The resource, with the small platform behind it."""

    class FolderOperations(Operations):
        def open(self, cancel: threading.Event, report: Callable[[Any], None]) -> OperationContext:
            return dataclasses.replace(platform.context, cancel=cancel, report=report)

        def settings(self) -> Settings:
            return platform.settings

    return FolderOperations()


class Shell:
    """A small platform, an instance, and the code location's jobs run on both."""

    def __init__(self, home: Path, instance: dg.DagsterInstance):
        self.platform = Platform(home)
        self.instance = instance
        self.operations = operations_of(self.platform)

    def run(self, job: str, op: str, **config: Any) -> dg.ExecuteInProcessResult:
        return self._job(job).execute_in_process(
            instance=self.instance, run_config={"ops": {op: {"config": config}}}, raise_on_error=False
        )

    def _job(self, name: str) -> dg.JobDefinition:
        resources = {"operations": self.operations}
        loaded = dg.Definitions.merge(*(_without_resources(defs)), dg.Definitions(resources=resources))
        return loaded.resolve_job_def(name)

    def observe(self) -> dg.ExecuteInProcessResult:
        """The stores of the small platform are no servers, so the run fails after the repository was looked at."""
        return self._job("observe_live_data").execute_in_process(instance=self.instance, raise_on_error=False)

    def backup(self, **config: Any) -> dg.ExecuteInProcessResult:
        return self.run("backup", "take_backup", pause_writers=False, **config)


def _without_resources(loaded: dg.Definitions) -> list[dg.Definitions]:
    return [dg.Definitions(assets=loaded.assets, jobs=loaded.jobs, schedules=loaded.schedules)]


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    monkeypatch.setattr("archon_dagster.restore.restore.wait_until_ready", lambda *_, **__: {})
    with dg.instance_for_test() as instance:
        yield Shell(tmp_path / "home", instance)


def test_the_code_location_loads() -> None:
    dg.Definitions.validate_loadable(defs)


def test_a_backup_shows_as_assets_checks_and_a_partition(shell: Shell) -> None:
    result = shell.backup()
    assert result.success
    materialized = {event.asset_key for event in result.get_asset_materialization_events()}
    assert {key for key, _, _ in PARTS.values()} | {SEALED, CATALOGUE} == materialized
    assert {check.check_name for check in result.get_asset_check_evaluations() if check.passed} == set(CHECKS)
    backup = shell.platform.repository.resolve("latest").id
    assert list(shell.instance.get_dynamic_partitions("backups")) == [backup]
    run = shell.instance.get_run_by_id(result.run_id)
    assert run is not None
    assert run.tags["archon/backup"] == backup


def test_the_numbers_of_a_backup_are_those_of_its_manifest(shell: Shell) -> None:
    shell.backup()
    result = shell.backup()
    manifest = shell.platform.repository.resolve("latest")
    told = {
        event.asset_key: {name: value.value for name, value in event.materialization.metadata.items()}
        for event in result.get_asset_materialization_events()
        if event.asset_key is not None
    }
    sealed, graph = told[SEALED], told[PARTS["graph"][0]]
    assert (sealed["size (bytes)"], sealed["added (bytes)"]) == (manifest.bytes_read, 0)
    assert sealed["deduplicated (share)"] == 1.0  # nothing had changed
    assert sealed["duration (s)"] == pytest.approx(manifest.duration, abs=0.001)
    (artifact,) = manifest.of_store("graph")
    assert (graph["size (bytes)"], graph["chunks"]) == (artifact.size, len(artifact.chunks))
    assert {name: graph[name] for name in artifact.counts} == artifact.counts
    assert graph["fingerprint"] == manifest.fingerprint("graph").digest  # type: ignore[union-attr]
    assert 0 <= graph["copying (s)"] <= graph["duration (s)"]  # what its export tells of itself, added up
    assert told[CATALOGUE]["backup"] == manifest.id


def test_a_subset_of_the_stores_materializes_only_its_assets(shell: Shell) -> None:
    result = shell.backup(stores=["graph"])
    materialized = {event.asset_key for event in result.get_asset_materialization_events()}
    assert materialized == {PARTS["graph"][0], SEALED, CATALOGUE}


def empty(shell: Shell) -> None:
    for record in shell.platform.stores["vectors"].folder.iterdir():
        record.unlink()


def page_of(shell: Shell, backup: str) -> dict[str, Any]:
    """What the catalogue says about a backup now."""
    wanted = dg.AssetRecordsFilter(CATALOGUE, asset_partitions=[backup])
    (record,) = shell.instance.fetch_materializations(wanted, limit=1).records
    assert record.asset_materialization is not None
    return {name: value.value for name, value in record.asset_materialization.metadata.items()}


def partitions(shell: Shell) -> set[str]:
    return set(shell.instance.get_dynamic_partitions("backups"))


def test_a_backup_that_lost_everything_is_a_failed_check_and_a_failed_run(shell: Shell) -> None:
    shell.backup()
    empty(shell)
    result = shell.backup()
    failed = [check for check in result.get_asset_check_evaluations() if not check.passed]
    assert [(check.check_name, check.severity) for check in failed] == [
        ("counts_plausible", dg.AssetCheckSeverity.ERROR)
    ]
    backup = shell.platform.repository.backups()[0].id
    assert not result.success
    failure = next(event for event in result.all_events if event.is_step_failure).step_failure_data.user_failure_data
    assert failure is not None
    assert f"backup {backup} was taken and kept, but failed check counts_plausible" in str(failure.description)
    assert "vectors records: 0 now" in str(failure.description)
    assert failure.metadata["kind"].value == "DamagedBackup"


def test_the_page_of_a_backup_that_failed_a_check_warns_beside_the_restore_command(shell: Shell) -> None:
    shell.backup()
    empty(shell)
    shell.backup()
    bad, good = (page_of(shell, entry.id) for entry in shell.platform.repository.backups())
    assert bad["checks"] == "failed check counts_plausible"
    head, _, tail = str(bad["summary"]).partition("**Warning: failed check counts_plausible.**")
    assert "**Not to be relied on: failed check counts_plausible.**" in head
    assert "archon restore" not in head
    assert f"archon restore {bad['backup']} --confirm RESTORE" in tail
    assert good["checks"] == "every check passed"
    assert "Warning" not in str(good["summary"])


def test_a_backup_that_failed_a_check_does_not_count_as_fresh(shell: Shell) -> None:
    shell.backup()
    empty(shell)
    result = shell.backup()
    assert SEALED not in {event.asset_key for event in result.get_asset_materialization_events()}
    observed = [event.asset_observation_data.asset_observation for event in result.get_asset_observation_events()]
    (said,) = [seen for seen in observed if seen.asset_key == SEALED]
    assert said.metadata["checks"].value == "failed check counts_plausible"


def test_backups_taken_without_dagster_appear_with_the_next_run_and_lost_ones_go(shell: Shell) -> None:
    repository, context = shell.platform.repository, shell.platform.context
    direct = take_backup(context, BackupRequest(quiesce=False, note="by hand")).manifest.id
    with repository.lock("a restore") as lease:
        safety = back_up_under_lock(context, BackupRequest("safety", quiesce=False), lease).manifest.id
    shell.instance.add_dynamic_partitions("backups", ["20200101T000000Z-0000"])
    assert shell.backup().success
    assert partitions(shell) == {entry.id for entry in repository.backups()}
    assert len(partitions(shell)) == 3
    assert (page_of(shell, direct)["kind"], page_of(shell, direct)["note"]) == ("manual", "by hand")
    assert page_of(shell, safety)["kind"] == "safety"
    (Path(shell.platform.settings.repository) / "backups" / f"{direct}.json").unlink()
    shell.backup()
    assert direct not in partitions(shell)
    assert partitions(shell) == {entry.id for entry in repository.backups() if entry.state == "complete"}


def test_a_damaged_backup_stays_in_the_catalogue(shell: Shell) -> None:
    shell.backup()
    (backup,) = partitions(shell)
    (Path(shell.platform.settings.repository) / "backups" / f"{backup}.json").write_text("garbage")
    shell.backup()
    assert backup in partitions(shell)


def test_what_a_later_verification_found_reaches_the_page_with_the_next_run(shell: Shell) -> None:
    shell.backup()
    (backup,) = partitions(shell)
    repository = shell.platform.repository
    repository.record(backup, CheckRecord(name="digests", passed=False, detail="rotten", time=datetime.now(UTC)))
    shell.backup()
    assert page_of(shell, backup)["checks"] == "failed check digests"
    assert "rotten" in str(page_of(shell, backup)["summary"])
    pages = shell.instance.fetch_materializations(dg.AssetRecordsFilter(CATALOGUE, asset_partitions=[backup]), 10)
    shell.backup()
    again = shell.instance.fetch_materializations(dg.AssetRecordsFilter(CATALOGUE, asset_partitions=[backup]), 10)
    assert len(pages.records) == len(again.records) == 2


def test_a_run_writes_a_bounded_number_of_pages_and_the_next_one_goes_on(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("archon_dagster.backup.assets.PAGES", 2)
    for _ in range(5):
        take_backup(shell.platform.context, BackupRequest(quiesce=False))
    shell.backup()
    assert len(partitions(shell)) == 6
    assert len(shell.instance.get_materialized_partitions(CATALOGUE)) == 1 + 2
    shell.backup()
    shell.backup()
    assert partitions(shell) == shell.instance.get_materialized_partitions(CATALOGUE)


def test_observing_brings_the_partitions_up_to_date(shell: Shell) -> None:
    take_backup(shell.platform.context, BackupRequest(quiesce=False))
    shell.instance.add_dynamic_partitions("backups", ["20200101T000000Z-0000"])
    shell.observe()
    assert partitions(shell) == {entry.id for entry in shell.platform.repository.backups()}


def test_observing_without_a_repository_removes_no_partition(shell: Shell, tmp_path: Path) -> None:
    shell.instance.add_dynamic_partitions("backups", ["20200101T000000Z-0000"])
    (Path(shell.platform.settings.repository)).rename(tmp_path / "not mounted")
    shell.observe()
    assert partitions(shell) == {"20200101T000000Z-0000"}


def test_a_failed_backup_says_why_and_adds_no_partition(shell: Shell) -> None:
    shell.platform.stores["graph"].fault = failing("copy")
    result = shell.backup()
    assert not result.success
    failure = next(event for event in result.all_events if event.is_step_failure).step_failure_data
    assert failure.user_failure_data is not None
    assert "injected: no answer at copy" in str(failure.user_failure_data.description)
    assert list(shell.instance.get_dynamic_partitions("backups")) == []


def test_a_restore_runs_and_marks_the_live_assets(shell: Shell) -> None:
    shell.backup()
    shell.platform.stores["graph"].put("0", "changed")
    result = shell.run("restore", "put_back", confirm="RESTORE", only=["graph"])
    assert result.success
    assert shell.platform.stores["graph"].records()["0"] == b"graph 0"
    events = result.get_asset_materialization_events()
    assert [event.asset_key for event in events] == [GRAPH]
    manifest = shell.platform.repository.resolve("latest")
    told = {name: value.value for name, value in events[0].materialization.metadata.items()}
    assert (told["backup"], told["stores"], told["catalogue"]) == (manifest.id, "graph", CATALOGUE)
    assert told["RTO measured (s)"] >= 0 and told["RTO objective (s)"] > 0
    assert told["safety backup"] in {entry.id for entry in shell.platform.repository.backups()} - {manifest.id}
    wanted = dg.AssetRecordsFilter(CATALOGUE, asset_partitions=[manifest.id])
    (seen,) = shell.instance.fetch_observations(wanted, limit=1).records
    assert seen.asset_observation is not None
    assert seen.asset_observation.metadata["restored by"].value == result.run_id  # the backup names the run


@pytest.mark.parametrize("config", [{}, {"confirm": "yes"}, {"confirm": "RESTORE", "only": ["everything"]}])
def test_a_restore_without_the_word_is_refused_before_it_is_launched(config: dict[str, Any]) -> None:
    with pytest.raises(dg.DagsterInvalidConfigError):
        dg.validate_run_config(defs.resolve_job_def("restore"), {"ops": {"put_back": {"config": config}}})


def test_the_launchpad_can_begin_with_the_word_left_to_type() -> None:
    """What the link fills in shows where to type it, and launches nothing as it is."""
    job = defs.resolve_job_def("restore")
    assert LAUNCHPAD in (job.description or "")
    (text,) = parse_qs(urlsplit(LAUNCHPAD).query)["config"]
    filled = dg.config_from_yaml_strings([text])
    assert filled["ops"]["put_back"]["config"]["confirm"] == ""
    with pytest.raises(dg.DagsterInvalidConfigError):
        dg.validate_run_config(job, filled)
    filled["ops"]["put_back"]["config"]["confirm"] = "RESTORE"
    assert dg.validate_run_config(job, filled)


def test_the_catalogue_leads_to_its_partitions() -> None:
    assert (
        PARTITIONS_PAGE in (catalogue.description or "") and catalogue.metadata["all backups"].value == PARTITIONS_PAGE
    )


def test_the_defaults_of_a_backup_need_no_config() -> None:
    dg.validate_run_config(defs.resolve_job_def("backup"), {})


def test_everything_that_changes_the_platform_is_in_its_pool() -> None:
    for job, op in (("backup", "take_backup"), ("restore", "put_back")):
        assert defs.resolve_job_def(job).get_node_named(op).definition.pools == {"platform"}


def test_materializing_everything_backs_up_probes_and_measures_and_restores_nothing() -> None:
    graph = defs.resolve_asset_graph()
    groups = {(graph.get(key).group_name, key.path[0]) for key in graph.executable_asset_keys}
    assert groups == {("backup", "backup"), ("health", "health"), ("performance", "performance")}


@pytest.mark.parametrize(
    ("name", "running", "stores"),
    [
        ("daily_backup", True, ["vectors", "graph", "relational", "configuration"]),
        ("hourly_backup", False, ["vectors", "graph"]),
        ("quarter_hourly_backup", False, ["relational"]),
    ],
)
def test_schedules(name: str, running: bool, stores: list[str]) -> None:
    schedule = defs.resolve_schedule_def(name)
    assert (schedule.default_status == dg.DefaultScheduleStatus.RUNNING) == running
    at = datetime(2026, 11, 24, 3, tzinfo=ZoneInfo("UTC"))
    with dg.instance_for_test() as instance:
        tick = schedule.evaluate_tick(dg.build_schedule_context(instance=instance, scheduled_execution_time=at))
    assert tick.run_requests is not None
    config = tick.run_requests[0].run_config["ops"]["take_backup"]["config"]
    assert config == {"kind": "scheduled", "stores": stores, "portable": name == "daily_backup"}


def test_schedules_tick_by_the_clock_of_the_operators() -> None:
    """They are made when they are imported."""
    script = (
        "from archon_dagster.definitions import defs\n"
        "for one in defs.get_repository_def().schedule_defs:\n"
        "    print(one.name, one.cron_schedule, one.execution_timezone, sep='|')"
    )
    environment = {**os.environ, "ARCHON_TIMEZONE": "Europe/Berlin", "ARCHON_RETENTION_CRON": "30 5 * * *"}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.splitlines() == [
        "daily_backup|0 3 * * *|Europe/Berlin",
        "daily_trim|40 5 * * *|Europe/Berlin",
        "hourly_backup|0 * * * *|Europe/Berlin",
        "quarter_hourly_backup|*/15 * * * *|Europe/Berlin",
        "remove_drill_leftovers|41 * * * *|None",  # every hour is the same everywhere
        "restore_drill|0 6 * * 6|Europe/Berlin",
        "retention|30 5 * * *|Europe/Berlin",
        "weekly_maintenance|0 4 * * 0|Europe/Berlin",
    ]


def test_a_tick_is_skipped_while_a_backup_is_under_way() -> None:
    schedule = defs.resolve_schedule_def("daily_backup")
    with dg.instance_for_test() as instance:
        instance.create_run_for_job(defs.resolve_job_def("backup"), status=dg.DagsterRunStatus.STARTED)
        tick = schedule.evaluate_tick(dg.build_schedule_context(instance=instance))
    assert tick.run_requests == []
    assert "already" in str(tick.skip_message)
