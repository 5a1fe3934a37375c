"""The job ``restore``."""

from typing import Any, Literal
from urllib.parse import quote, urlencode

import dagster as dg
from pydantic import Field

from archon_dagster.repository.assets import CATALOGUE
from archon_dagster.resources import EXECUTOR, PLATFORM_POOL, Operations
from archon_dagster.restore.restore import RestoreRequest, RestoreResult, restore_backup
from archon_dagster.restore.selection import selection_of
from archon_dagster.restore.summary import page, restore_numbers
from archon_dagster.stores.assets import BY_STORE
from archon_dagster.stores.choice import StoreChoice, chosen

PREFILLED = "ops:\n  put_back:\n    config:\n      confirm: ''\n      selector: latest\n"
"""What the launchpad begins with: the word is left to type, and until then it launches nothing."""

LAUNCHPAD = "/locations/archon/jobs/restore/playground/setup?" + urlencode({"config": PREFILLED}, quote_via=quote)

PUT_BACK_LIMIT = 3600.0  # seconds a terminated restore may take to put the data back


class RestoreConfig(dg.Config):
    """Which backup to put back. The live data of the chosen stores are replaced."""

    confirm: Literal["RESTORE"] = Field(description="Type RESTORE: the live data will be replaced.")
    selector: str = Field(
        default="latest",
        description="`latest` (the newest good backup), a backup id, a unique prefix of one, or a date YYYYMMDD.",
    )
    only: list[StoreChoice] = Field(
        default=[], description="Restore just these stores; empty: all that the backup has."
    )
    without_safety_copy: bool = Field(
        default=False,
        description="Go on even if what is there now cannot be copied first. There is no way back then.",
    )
    portable: bool = Field(
        default=False,
        description="Restore the vectors from their portable copies even where the snapshots would do. Where the "
        "version of Qdrant forbids the snapshots this happens by itself.",
    )

    target: str = Field(
        default="",
        description="Restore into another platform: the absolute path of its home directory, or of a file with the "
        "addresses of servers (QDRANT_URL, MEMGRAPH_URI, POSTGRES_DSN). Secrets stay in those files. Empty: this one.",
    )
    collection: str = Field(default="", description="Restore just this collection of the vectors.")
    label: str = Field(
        default="",
        description="Restore just the nodes with this label, and the relationships between them. No node may have it.",
    )
    table: str = Field(default="", description="Restore just this table, as schema.table (public if there is no dot).")
    new_name: str = Field(
        default="",
        description="What the collection, label or table is called afterwards. Nothing is replaced then, and the name "
        "must be free.",
    )

    def request(self) -> RestoreRequest:
        """The same, for the logic."""
        return RestoreRequest(
            self.selector,
            self.confirm,
            chosen(self.only),
            self.without_safety_copy,
            self.portable,
            self.target,
            selection_of(self.collection, self.label, self.table, self.new_name),
        )


@dg.op(
    pool=PLATFORM_POOL,
    description="Verify, stop the writers, keep a safety copy, restore, compare, start; on failure put it all back.",
)
def put_back(context: dg.OpExecutionContext, config: RestoreConfig, operations: Operations) -> None:
    """Restore a backup; see :mod:`archon_dagster.restore.restore` for the order."""
    result = operations.run(
        context, lambda operation: restore_backup(operation, config.request()), cleanup_limit=PUT_BACK_LIMIT
    )
    tags = {"archon/backup": result.backup.id, "archon/safety": result.safety.id if result.safety else ""}
    context.instance.add_run_tags(context.run.run_id, tags)
    context.add_output_metadata(_metadata(result))
    _link_both_ways(context, result)
    if result.unhealthy:
        reasons = "\n".join(f"{name}: {reason}" for name, reason in result.unhealthy.items())
        raise dg.Failure(
            f"the data are restored and identical, but not every service came up:\n{reasons}", allow_retries=False
        )


def _link_both_ways(context: dg.OpExecutionContext, result: RestoreResult) -> None:
    """The live data name the backup they came from; the backup names the run that restored it."""
    for key in _replaced(result):
        context.log_event(dg.AssetMaterialization(key, metadata=_metadata(result)))
    run = dg.MetadataValue.dagster_run(context.run.run_id)
    context.log_event(
        dg.AssetObservation(
            CATALOGUE, partition=result.backup.id, metadata={"restored by": run, **restore_numbers(result)}
        )
    )


def _replaced(result: RestoreResult) -> list[dg.AssetKey]:
    """The live data of this platform that are now those of the backup."""
    if result.target or (result.selection and result.safety is None):
        return []
    keys = [key for store in result.stores for key in BY_STORE[store]]
    if result.selection and result.selection.kind == "collection":
        return [key for key in keys if key.path[-1] == result.selection.name]
    return keys


def _metadata(result: RestoreResult) -> dict[str, dg.MetadataValue[Any] | int | float | str]:
    return {
        "summary": dg.MetadataValue.md(page(result)),
        "catalogue": dg.MetadataValue.asset(CATALOGUE),
        **restore_numbers(result),
    }


@dg.job(
    name="restore",
    executor_def=EXECUTOR,
    tags={"dagster/max_runtime": "86400", "dagster/priority": "10"},
    description=(
        "Put a backup back. Replaces the live data, so `confirm: RESTORE` has to be typed. What is there now is "
        "copied first; if anything goes wrong up to the comparison of the fingerprints, that copy is put back. "
        f"[Begin with the word left to type]({LAUNCHPAD})."
    ),
)
def restore_job() -> None:
    """One op: the steps share the lock, and must not be interleaved with anything."""
    put_back()
