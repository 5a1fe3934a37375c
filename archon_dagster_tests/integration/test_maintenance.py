"""Weekly maintenance on real servers."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import dagster as dg
import pytest

from archon_dagster.context import OperationContext, Step, open_context
from archon_dagster.definitions import defs
from archon_dagster.errors import Cancelled
from archon_dagster.health import windows
from archon_dagster.maintenance.catalogue import STEPS
from archon_dagster.maintenance.step import MaintenanceContext
from archon_dagster.maintenance.weekly import choose, run
from archon_dagster.sandbox import lifecycle
from archon_dagster.sandbox.lifecycle import Sandbox
from archon_dagster.sandbox.seed import seed
from archon_dagster.stores.base import Progress

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(600)]

WEEKLY = choose(STEPS, ())


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    home = tmp_path_factory.mktemp("maintenance")
    sandbox = lifecycle.up(home, owner_pid=os.getpid())
    seed(sandbox.settings, sandbox.runtime, limit=6, max_points=30)
    yield sandbox
    lifecycle.down(home)


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
    assert rows["housekeeping"]["detail"] == "0 runs older than 30 days were removed"
