"""What the chapters' schedules and sensors share: no second run of a job while one is queued or at work."""

from typing import Any

import dagster as dg

BUSY = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
"""The run is not over."""


def one_tick(
    context: dg.ScheduleEvaluationContext, job: str, config: dict[str, Any] | None = None
) -> dg.RunRequest | dg.SkipReason:
    """A run of the job, once for each scheduled time; skipped while one is not over."""
    if context.instance.get_runs_count(dg.RunsFilter(job_name=job, statuses=BUSY)):
        return dg.SkipReason(f"a run of {job} is queued or at work already")
    return dg.RunRequest(run_key=context.scheduled_execution_time.isoformat(), run_config=config or {})
