"""Weekly maintenance on real servers."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import dagster as dg
import pytest

from archon_dagster.backup.backup import BackupRequest, take_backup
from archon_dagster.context import OperationContext, Step, open_context
from archon_dagster.definitions import defs
from archon_dagster.errors import Cancelled
from archon_dagster.health import windows
from archon_dagster.maintenance import retention
from archon_dagster.maintenance.catalogue import STEPS
from archon_dagster.maintenance.step import MaintenanceContext
from archon_dagster.maintenance.weekly import choose, run
from archon_dagster.sandbox.lifecycle import Sandbox
from archon_dagster.sandbox.seed import seed
from archon_dagster.stores.base import Progress
from archon_dagster_tests.platforms import lifecycle, running_platform

pytestmark = [pytest.mark.sandbox, pytest.mark.long, pytest.mark.timeout(600)]

WEEKLY = choose(STEPS, ())


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    home = tmp_path_factory.mktemp("maintenance")
    with running_platform(home) as sandbox:
        seed(sandbox.settings, sandbox.runtime, limit=6, max_points=30)
        yield sandbox


def opened(platform: Sandbox, cancel_at: str = "") -> OperationContext:
    cancel = threading.Event()

    def report(news: Step | Progress) -> None:
        if isinstance(news, Step) and cancel_at and news.name == cancel_at and news.seconds is None:
            cancel.set()

    return open_context(platform.settings, cancel=cancel, report=report)


def test_a_weekly_run_is_gone_on_with_and_changes_no_data(platform: Sandbox) -> None:
    before = opened(platform).fingerprints()
    with pytest.raises(Cancelled):
        run(MaintenanceContext(opened(platform, cancel_at="vacuum")), WEEKLY)
    assert windows.ad_hoc(platform.home, 0.0) == []
    journal = run(MaintenanceContext(opened(platform)), WEEKLY)
    assert [one for one in journal.results.values() if one.state == "failed"] == []
    assert "-> " in journal.results["optimise"].lines[0]
    assert "dead rows" in journal.results["vacuum"].detail
    assert journal.results["memory"].state == "nothing to do"
    assert [entry.id for entry in opened(platform).repository.backups()] == [journal.results["backup"].backup]
    assert opened(platform).fingerprints() == before


def test_a_store_that_is_down_fails_the_backup_and_nothing_is_changed(platform: Sandbox) -> None:
    platform.runtime.stop("memgraph")
    try:
        journal = run(MaintenanceContext(opened(platform)), WEEKLY)
    finally:
        lifecycle.up(platform.home, owner_pid=os.getpid())
    assert journal.results["backup"].state == "failed"
    harming = {step.name for step in WEEKLY if step.harms}
    assert {journal.results[name].state for name in harming} == {"skipped"}
    assert journal.results["disk"].state == "done"


def test_the_job_shows_every_step(platform: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in platform.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("ARCHON_HOME", str(platform.home))
    with dg.instance_for_test() as instance:
        result = defs.resolve_job_def("weekly_maintenance").execute_in_process(instance=instance)
        (output,) = [event for event in result.all_events if event.is_successful_output]
    shown = output.step_output_data.metadata["steps"]
    assert isinstance(shown, dg.TableMetadataValue)
    rows = {record.data["step"]: record.data for record in shown.records}
    assert list(rows) == [step.name for step in WEEKLY]
    assert rows["housekeeping"]["detail"].startswith("0 runs older than 30 days were removed; 0 events without a run")


def test_retention_tells_by_default_and_removes_when_confirmed(
    platform: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job, as the schedule and the launchpad start it."""
    for number in range(3):
        _back_up(platform, f"number {number}")
    monkeypatch.setenv("ARCHON_HOME", str(platform.home))
    job = defs.resolve_job_def("retention")
    before = [entry.id for entry in opened(platform).repository.backups()]
    keep = {rule: int(rule == "last") for rule in retention.RULES}
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("backups", before)
        told = job.execute_in_process(instance=instance)
        assert told.success
        assert [entry.id for entry in opened(platform).repository.backups()] == before
        for confirm in ("prune", "yes"):
            config = {"ops": {"prune": {"config": {"confirm": confirm}}}}
            assert not job.execute_in_process(config, instance=instance, raise_on_error=False).success
        monkeypatch.setenv("ARCHON_RETENTION_KEEP_WITHIN_DAYS", "0")
        monkeypatch.setenv("ARCHON_RETENTION_MINIMUM", "1")
        config = {"ops": {"prune": {"config": {"confirm": "PRUNE", "keep": keep}}}}
        assert job.execute_in_process(config, instance=instance).success
        there = [entry.id for entry in opened(platform).repository.backups()]
        assert there[0] == before[0]
        assert not set(there) & set(before[1:3])
        assert sorted(instance.get_dynamic_partitions("backups")) == sorted(there)
    context = opened(platform)
    with context.work() as work:
        assert context.repository.verify(there[0], work).passed


def _back_up(platform: Sandbox, note: str) -> None:
    take_backup(opened(platform), BackupRequest(stores=("relational",), note=note, quiesce=False))
