"""The jobs ``restore_drill`` and ``remove_drill_leftovers``."""

from typing import Any

import dagster as dg
from pydantic import Field

from archon_dagster.alerts.failures import SEVERITY_TAG
from archon_dagster.context import OperationContext
from archon_dagster.errors import ArchonError
from archon_dagster.repository.assets import CATALOGUE
from archon_dagster.resources import EXECUTOR, Operations, failure_of
from archon_dagster.restore_drill.bench import alone
from archon_dagster.restore_drill.drill import DrillRequest, raise_for_failure, run_drill
from archon_dagster.restore_drill.result import DrillResult
from archon_dagster.restore_drill.summary import numbers, page, rows
from archon_dagster.stores.choice import StoreChoice, chosen

REMOVE_LIMIT = 300.0  # seconds a terminated drill may take to remove its servers


class RestoreDrillConfig(dg.Config):
    """Which backup to try; the default is the newest good one, all of it."""

    selector: str = Field(
        default="latest",
        description="`latest` (the newest good backup), a backup id, a unique prefix of one, or a date YYYYMMDD.",
    )
    only: list[StoreChoice] = Field(default=[], description="Try just these stores; empty: all that the backup has.")


@dg.op(description="Start throw-away servers, restore into them, compare, record the measured time, remove them.")
def drill(context: dg.OpExecutionContext, config: RestoreDrillConfig, operations: Operations) -> None:
    """One drill; see :mod:`archon_dagster.restore_drill.drill` for the order. It needs no pool: nothing is changed."""
    request = DrillRequest(config.selector, chosen(config.only))
    result = operations.run(context, lambda here: run_drill(here, request), cleanup_limit=REMOVE_LIMIT)
    metadata = _metadata(result)
    context.instance.add_run_tags(context.run_id, {"archon/backup": result.backup})
    run = dg.MetadataValue.dagster_run(context.run_id)
    context.log_event(
        dg.AssetObservation(CATALOGUE, partition=result.backup, metadata={"drilled by": run, **numbers(result)})
    )
    try:
        raise_for_failure(result)
    except ArchonError as error:
        context.instance.add_run_tags(context.run_id, {SEVERITY_TAG: "critical"})  # what one relies on is no good
        raise failure_of(error, metadata) from error
    context.add_output_metadata(metadata)


def _metadata(result: DrillResult) -> dict[str, Any]:
    return {
        "summary": dg.MetadataValue.md(page(result)),
        "stores tried": dg.MetadataValue.table([dg.TableRecord(dict(row)) for row in rows(result)]),
        "catalogue": dg.MetadataValue.asset(CATALOGUE),
        **numbers(result),
    }


@dg.job(
    name="restore_drill",
    executor_def=EXECUTOR,
    tags={"dagster/max_runtime": "86400", "dagster/priority": "-5"},
    description=(
        "Launch it as it is: the newest good backup is restored into servers that are started for it and removed "
        "afterwards, compared in full, and the time is recorded. The platform is not touched. A backup that turns out "
        "to be no good fails the run, and `latest` does not choose it any more."
    ),
)
def restore_drill_job() -> None:
    """One op: the servers must not outlive it."""
    drill()


@dg.op(description="Remove the containers, volumes, processes and files that killed drills have left.")
def remove_leftovers(context: dg.OpExecutionContext, operations: Operations) -> None:
    """What is there without a drill at work; one that is at work is left alone."""

    def work(operation: OperationContext) -> tuple[str, ...]:
        with alone(operation.settings) as (_, removed):
            return removed

    removed = operations.run(context, work, cleanup_limit=REMOVE_LIMIT)
    context.add_output_metadata({"removed": ", ".join(removed) or "nothing"})


@dg.job(
    name="remove_drill_leftovers",
    executor_def=EXECUTOR,
    tags={"dagster/max_runtime": "3600"},
    description="What a restore drill has left that was killed. The next drill does the same before it begins.",
)
def remove_drill_leftovers_job() -> None:
    """One op."""
    remove_leftovers()
