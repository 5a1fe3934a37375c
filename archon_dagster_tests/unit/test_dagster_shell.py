"""The Dagster objects around backup and restore, on a small platform of folders and a real instance."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
import pytest

from archon_dagster.backup.assets import PARTS
from archon_dagster.backup.checks import CHECKS
from archon_dagster.context import OperationContext
from archon_dagster.definitions import defs
from archon_dagster.repository.assets import CATALOGUE, SEALED
from archon_dagster.resources import Operations
from archon_dagster.stores.assets import GRAPH
from archon_dagster_tests.unit.platform_double import Platform, failing


def operations_of(platform: Platform) -> Operations:
    """The resource, with the small platform behind it."""

    class FolderOperations(Operations):
        def open(self, cancel: threading.Event, report: Callable[[Any], None]) -> OperationContext:
            return dataclasses.replace(platform.context, cancel=cancel, report=report)

    return FolderOperations()


class Shell:
    """A small platform, an instance, and the code location's jobs run on both."""

    def __init__(self, home: Path, instance: dg.DagsterInstance):
        self.platform = Platform(home)
        self.instance = instance
        self.operations = operations_of(self.platform)

    def run(self, job: str, op: str, **config: Any) -> dg.ExecuteInProcessResult:
        resources = {"operations": self.operations}
        loaded = dg.Definitions.merge(*(_without_resources(defs)), dg.Definitions(resources=resources))
        return loaded.resolve_job_def(job).execute_in_process(
            instance=self.instance, run_config={"ops": {op: {"config": config}}}, raise_on_error=False
        )

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


def test_a_subset_of_the_stores_materializes_only_its_assets(shell: Shell) -> None:
    result = shell.backup(stores=["graph"])
    materialized = {event.asset_key for event in result.get_asset_materialization_events()}
    assert materialized == {PARTS["graph"][0], SEALED, CATALOGUE}


def test_a_backup_that_lost_everything_is_a_failed_check(shell: Shell) -> None:
    shell.backup()
    for record in shell.platform.stores["vectors"].folder.iterdir():
        record.unlink()
    result = shell.backup()
    failed = [check for check in result.get_asset_check_evaluations() if not check.passed]
    assert [(check.check_name, check.severity) for check in failed] == [
        ("counts_plausible", dg.AssetCheckSeverity.ERROR)
    ]


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


@pytest.mark.parametrize("config", [{}, {"confirm": "yes"}, {"confirm": "RESTORE", "only": ["everything"]}])
def test_a_restore_without_the_word_is_refused_before_it_is_launched(config: dict[str, Any]) -> None:
    with pytest.raises(dg.DagsterInvalidConfigError):
        dg.validate_run_config(defs.resolve_job_def("restore"), {"ops": {"put_back": {"config": config}}})


def test_the_defaults_of_a_backup_need_no_config() -> None:
    dg.validate_run_config(defs.resolve_job_def("backup"), {})


def test_everything_that_changes_the_platform_is_in_its_pool() -> None:
    for job, op in (("backup", "take_backup"), ("restore", "put_back")):
        assert defs.resolve_job_def(job).get_node_named(op).definition.pools == {"platform"}


def test_backup_and_restore_share_no_materialize_all_group() -> None:
    for key in defs.resolve_asset_graph().executable_asset_keys:
        assert defs.resolve_asset_graph().get(key).group_name == "backup"


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
    assert config == {"kind": "scheduled", "stores": stores}


def test_a_tick_is_skipped_while_a_backup_is_under_way() -> None:
    schedule = defs.resolve_schedule_def("daily_backup")
    with dg.instance_for_test() as instance:
        instance.create_run_for_job(defs.resolve_job_def("backup"), status=dg.DagsterRunStatus.STARTED)
        tick = schedule.evaluate_tick(dg.build_schedule_context(instance=instance))
    assert tick.run_requests == []
    assert "already" in str(tick.skip_message)
