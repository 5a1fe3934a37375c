"""The job ``observe_live_data``: look at the stores, change nothing."""

import dagster as dg

from archon_dagster.errors import ArchonError, RepositoryError
from archon_dagster.platform.runtime.open import open_runtime
from archon_dagster.repository.assets import known_backups, match_partitions
from archon_dagster.repository.repository import Repository
from archon_dagster.resources import EXECUTOR, Operations
from archon_dagster.stores.assets import BY_STORE, metadata
from archon_dagster.stores.open import open_stores


def _match_catalogue(context: dg.OpExecutionContext, url: str) -> None:
    """The catalogue's partitions become the backups there are, however they were taken. A repository that is not
    there (no backup yet, a disk that is not mounted) says nothing about which backups exist."""
    known = known_backups(context.instance)
    try:
        entries = Repository.open(url).backups()
    except RepositoryError as error:
        context.log.warning(f"the catalogue of backups was left as it is: {error}")
        return
    added, removed = match_partitions(context.instance, known, entries)
    if added or removed:
        context.log.info(f"catalogue: {len(added)} backups added, {len(removed)} removed that are gone")


@dg.op(description="Ask every store for its version, counts and size.")
def observe(context: dg.OpExecutionContext, operations: Operations) -> None:
    """Observe the repository and each store; those that do not answer fail the run after the others were observed."""
    settings = operations.settings()
    _match_catalogue(context, settings.repository)
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
