"""The job ``observe_live_data``: look at the stores, change nothing."""

import dagster as dg

from archon_dagster.errors import ArchonError
from archon_dagster.platform.runtime.open import open_runtime
from archon_dagster.resources import EXECUTOR, Operations
from archon_dagster.stores.assets import BY_STORE, metadata
from archon_dagster.stores.open import open_stores


@dg.op(description="Ask every store for its version, counts and size.")
def observe(context: dg.OpExecutionContext, operations: Operations) -> None:
    """Observe each store; those that do not answer fail the run after the others were observed."""
    settings = operations.settings()
    failures: list[str] = []
    for name, store in open_stores(settings, open_runtime(settings)).items():
        try:
            description = store.describe()
        except ArchonError as error:
            failures.append(f"{name}: {error}")
            continue
        for key in BY_STORE[name]:
            context.log_event(dg.AssetObservation(key, metadata=metadata(description, key)))
    if failures:
        raise dg.Failure("not every store could be observed:\n" + "\n".join(failures), allow_retries=False)


@dg.job(
    executor_def=EXECUTOR,
    tags={"dagster/max_runtime": "300"},
    description="Look at the live stores: versions, counts, sizes. Changes nothing.",
)
def observe_live_data() -> None:
    """One op: it takes a second."""
    observe()
