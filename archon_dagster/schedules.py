"""What the chapters' schedules and sensors share: no run of a job while one is not over, or all is paused."""

from datetime import UTC, datetime
from typing import Any

import dagster as dg

from archon_dagster.platform import automation
from archon_dagster.platform.settings import load_settings

BUSY = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
"""The run is not over."""

GO_ON = frozenset({"backup"})
"""Jobs that are launched while the automation is paused too, see :data:`archon_dagster.platform.automation.GOES_ON`."""


def one_tick(
    context: dg.ScheduleEvaluationContext, job: str, config: dict[str, Any] | None = None
) -> dg.RunRequest | dg.SkipReason:
    """A run of the job, once for each scheduled time; skipped while one is not over, and while all is paused."""
    if job not in GO_ON and (pause := automation.paused(load_settings().home, datetime.now(UTC))):
        return dg.SkipReason(f"the automation is paused {pause}")
    if context.instance.get_runs_count(dg.RunsFilter(job_name=job, statuses=BUSY)):
        return dg.SkipReason(f"a run of {job} is queued or at work already")
    return dg.RunRequest(run_key=context.scheduled_execution_time.isoformat(), run_config=config or {})
