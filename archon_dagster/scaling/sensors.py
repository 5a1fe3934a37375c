"""The sensor that scales the search service by its load; off until somebody starts it, and a dry run until told not to.

Everything is decided in :mod:`archon_dagster.scaling.watch`; here is what only Dagster knows: whether a run is at work.
"""

from datetime import UTC, datetime

import dagster as dg

from archon_dagster.errors import ArchonError, ConfigurationError
from archon_dagster.platform.runtime.open import open_runtime
from archon_dagster.platform.usable_settings import settings_while_loading
from archon_dagster.resources import Operations
from archon_dagster.scaling.jobs import scale_search_job
from archon_dagster.scaling.watch import look
from archon_dagster.schedules import BUSY


@dg.sensor(
    name="search_autoscaler",
    job=scale_search_job,
    minimum_interval_seconds=settings_while_loading().autoscale_interval,
    default_status=dg.DefaultSensorStatus.STOPPED,
    description="Adds and removes replicas of the search service by its load. ARCHON_AUTOSCALE_DRY_RUN=false lets it "
    "act; `archon automation pause`, maintenance, incidents and other work hold it.",
)
def search_autoscaler(context: dg.SensorEvaluationContext, operations: Operations) -> dg.RunRequest | dg.SkipReason:
    """One look; see :mod:`archon_dagster.scaling.watch`."""
    if context.instance.get_runs_count(dg.RunsFilter(job_name=scale_search_job.name, statuses=BUSY)):
        return dg.SkipReason("a scaling is queued or at work")
    settings = operations.settings()
    try:
        came = look(settings, open_runtime(settings), datetime.now(UTC))
    except ConfigurationError as error:  # no platform here, or a policy that makes no sense
        return dg.SkipReason(error.what)
    except ArchonError as error:  # an engine that does not answer is nothing to be scaled by
        return dg.SkipReason(f"nothing could be seen: {error.what}")
    if came.action == "hold" or came.dry_run:
        return dg.SkipReason(came.line)
    context.log.info(came.line)
    return dg.RunRequest(
        run_key=f"archon-search/{came.at:.3f}",
        run_config={"ops": {"scale_replicas": {"config": {"replicas": came.replicas}}}},
        tags={"archon/autoscaled": came.line[:200]},
    )
