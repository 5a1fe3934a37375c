"""The jobs ``startup`` and ``cold_start`` in a real run, on small services."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from archon_dagster.platform.settings import Settings
from archon_dagster.resources import PLATFORM_POOL, Operations
from archon_dagster.startup.defs import defs as startup
from archon_dagster_tests.small_services import APPLICATIONS, SmallPlatform


class Jobs:
    """The chapter's jobs, run on a small platform."""

    def __init__(self, home: Path, instance: dg.DagsterInstance):
        self.platform = platform = SmallPlatform(home, ARCHON_START_PATIENCE=0.5)
        self.instance = instance

        class OfPlatform(Operations):
            def settings(self) -> Settings:
                return platform.settings

        self.defs = dg.Definitions.merge(startup, dg.Definitions(resources={"operations": OfPlatform()}))

    def run(self, job: str, op: str, **config: Any) -> dg.ExecuteInProcessResult:
        return self.defs.resolve_job_def(job).execute_in_process(
            instance=self.instance, run_config={"ops": {op: {"config": config}}}, raise_on_error=False
        )

    def logged(self, result: dg.ExecuteInProcessResult) -> list[str]:
        entries = self.instance.all_logs(result.run_id)
        return [entry.user_message for entry in entries if not entry.is_dagster_event]


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Jobs]:
    with dg.instance_for_test() as instance:
        jobs = Jobs(tmp_path, instance)
        yield jobs
        jobs.platform.runtime.down()


def metadata_of(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    (output,) = [event for event in result.all_events if event.is_successful_output]
    return {name: value.value for name, value in output.step_output_data.metadata.items()}


def test_a_start_shows_the_seconds_of_each_service(jobs: Jobs) -> None:
    result = jobs.run("startup", "start_services")
    assert result.success
    shown = metadata_of(result)
    rows = {record.data["service"]: record.data for record in shown["services"].records}
    assert set(rows) == set(APPLICATIONS)
    assert all(row["how"] == "started" and row["seconds"] > 0 for row in rows.values())
    assert shown["services touched"] == len(APPLICATIONS)
    assert any(line.startswith("archon-mcp: started: done in") for line in jobs.logged(result))


def test_a_second_start_touches_nothing_and_says_so(jobs: Jobs) -> None:
    jobs.run("startup", "start_services")
    before = jobs.platform.instances()
    shown = metadata_of(jobs.run("startup", "start_services"))
    assert "nothing was touched" in shown["summary"]
    assert jobs.platform.instances() == before


def test_a_failure_is_in_the_run_with_its_reason_its_kind_and_the_table(jobs: Jobs) -> None:
    jobs.platform.tell("archon-bridge", "crash")
    result = jobs.run("startup", "start_services")
    assert not result.success
    (failed,) = [event for event in result.all_events if event.is_step_failure]
    told = failed.step_failure_data.user_failure_data
    assert told is not None
    assert "disk on fire" in (told.description or "")
    assert told.metadata["kind"].value == "ServiceError"
    assert "archon-bridge" in str(told.metadata["summary"].value)


def test_a_cold_start_has_to_be_confirmed(jobs: Jobs) -> None:
    for config in ({}, {"confirm": "yes"}):
        with pytest.raises(dg.DagsterInvalidConfigError):
            jobs.run("cold_start", "start_from_nothing", **config)
    jobs.run("startup", "start_services")
    before = jobs.platform.instances()
    assert jobs.run("cold_start", "start_from_nothing", confirm="COLD-START").success
    after = jobs.platform.instances()
    assert set(after) == set(before)
    assert not set(after.values()) & set(before.values())


def test_both_jobs_keep_out_of_each_others_way(jobs: Jobs) -> None:
    for name in ("startup", "cold_start"):
        job = jobs.defs.resolve_job_def(name)
        assert {node.definition.pool for node in job.graph.nodes} == {PLATFORM_POOL}  # type: ignore[attr-defined]
        assert job.executor_def is dg.in_process_executor
        assert int(job.tags["dagster/max_runtime"]) > 0
