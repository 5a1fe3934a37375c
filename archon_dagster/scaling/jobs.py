"""The jobs ``scale_search`` and ``apply_resource_profile``."""

from typing import Any

import dagster as dg
from pydantic import Field

from archon_dagster.resources import EXECUTOR, PLATFORM_POOL, Operations, run_op, tell_result
from archon_dagster.scaling import apply as profiles
from archon_dagster.scaling import scale as scaling
from archon_dagster.scaling.context import open_scaling
from archon_dagster.scaling.profiles import CUSTOM, PROFILES
from archon_dagster.scaling.summary import limit_rows, notes, replica_rows

CLEANUP_LIMIT = 300.0  # seconds: who is terminated goes back to the number, or the limits, there were before


class ScaleConfig(dg.Config):
    """How often the search service shall run."""

    replicas: int = Field(ge=1, description="How many; ARCHON_SEARCH_REPLICAS_MOST (8) at most.")
    plan: bool = Field(default=False, description="Only tell what would be done.")


class ProfileConfig(dg.Config):
    """What services may use."""

    profile: str = Field(description=f"One of: {', '.join([*PROFILES, CUSTOM])}.")
    custom: dict[str, dict[str, str]] = Field(
        default={},
        description="With `custom`: for each service cpus and memory (1.5, 2G), reserved_cpus and reserved_memory.",
    )
    plan: bool = Field(default=False, description="Only tell what would be done.")


@dg.op(pool=PLATFORM_POOL, description="One replica at a time, each behind a health gate; back on failure.")
def scale_replicas(context: dg.OpExecutionContext, config: ScaleConfig, operations: Operations) -> None:
    """Scale; see :mod:`archon_dagster.scaling.scale`."""

    def work(*given: Any) -> dict[str, Any]:
        here = open_scaling(operations.settings(), *given)
        if config.plan:
            planned = scaling.plan(here, config.replicas)
            tell_result(context, planned.headline)
            return {"plan": planned.headline, "replicas": _table(replica_rows(planned.now))}
        came = scaling.scale(here, config.replicas)
        tell_result(context, came.headline)
        return {
            "result": came.headline, "before": came.before, "after": came.after.wanted,
            "seconds": round(came.seconds, 2), "replicas": _table(replica_rows(came.after)),
        }  # fmt: skip

    context.add_output_metadata(run_op(context, work, cleanup_limit=CLEANUP_LIMIT))


@dg.job(
    name="scale_search",
    executor_def=EXECUTOR,
    tags={"dagster/max_runtime": "3600"},
    description=(
        "Run the search service `replicas` times behind its balancer. Each one that is added has to be well before the "
        "next; one that goes gets nothing new first. A failure goes back to the number before. It outlives restarts."
    ),
)
def scale_search_job() -> None:
    """One op: the steps share the lock."""
    scale_replicas()


@dg.op(pool=PLATFORM_POOL, description="Limits, service by service behind a health gate; back on failure.")
def apply_profile(context: dg.OpExecutionContext, config: ProfileConfig, operations: Operations) -> None:
    """Apply a profile; see :mod:`archon_dagster.scaling.apply`."""

    def work(*given: Any) -> dict[str, Any]:
        here = open_scaling(operations.settings(), *given)
        verb = profiles.plan if config.plan else profiles.apply
        came = verb(here, config.profile, config.custom or None)
        tell_result(context, came.headline)
        return {
            "plan" if config.plan else "result": came.headline, "seconds": round(came.seconds, 2),
            "limits": _table(limit_rows(came)), "notes": "\n".join(notes(came)),
        }  # fmt: skip

    context.add_output_metadata(run_op(context, work, cleanup_limit=CLEANUP_LIMIT))


@dg.job(
    name="apply_resource_profile",
    executor_def=EXECUTOR,
    tags={"dagster/max_runtime": "7200"},
    description=(
        "What search, intelligence and Qdrant may use: development, staging, production, or custom values. Checked "
        "against the host first, then service by service; the first that is not well takes all of it back."
    ),
)
def apply_resource_profile_job() -> None:
    """One op: the services share the lock."""
    apply_profile()


def _table(rows: list[dict[str, Any]]) -> dg.MetadataValue[Any]:
    return dg.MetadataValue.table([dg.TableRecord(row) for row in rows]) if rows else dg.MetadataValue.text("none")
