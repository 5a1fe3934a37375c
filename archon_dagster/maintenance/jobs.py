"""The jobs ``weekly_maintenance``, ``security_updates``, ``retention`` and ``trim_event_log``."""

import time
from datetime import UTC, datetime
from typing import Any

import dagster as dg
from dagster._core.instance import RUNLESS_RUN_ID
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from pydantic import Field

from archon_dagster.context import OperationContext
from archon_dagster.errors import ArchonError, ConfirmationMissing
from archon_dagster.maintenance import event_store, report, retention
from archon_dagster.maintenance.catalogue import STEPS
from archon_dagster.maintenance.event_store import EventStore
from archon_dagster.maintenance.journal import Journal
from archon_dagster.maintenance.retention import Pruned
from archon_dagster.maintenance.step import Housekeeping, MaintenanceContext
from archon_dagster.maintenance.updated import Updated
from archon_dagster.maintenance.updates import update
from archon_dagster.maintenance.weekly import choose, raise_for_failure, run
from archon_dagster.recovery.assets import KEY as INCIDENTS
from archon_dagster.repository.assets import known_backups, match_partitions
from archon_dagster.repository.catalogue import Entry
from archon_dagster.resources import EXECUTOR, PLATFORM_POOL, Operations, failure_of, tell_result

_OVER = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
_PAGE = 100  # runs looked at in one question
_DAY = 86_400.0
_NONE = {"backup": "there are none", "kind": "", "stores": "", "decision": "", "why": ""}


class MaintenanceConfig(dg.Config):
    """Which steps; the default is the weekly run."""

    steps: list[str] = Field(default=[], description=f"Just these of: {', '.join(one.name for one in STEPS)}.")
    confirm_packages: str = Field(default="", description="Type INSTALL-PACKAGES to let the step `packages` install.")


@dg.op(pool=PLATFORM_POOL, description="Back up, then look after the stores, the images, the logs and the disks.")
def maintain(context: dg.OpExecutionContext, config: MaintenanceConfig, operations: Operations) -> None:
    """Run the steps; see :mod:`archon_dagster.maintenance.weekly` for the rules."""
    chosen = choose(STEPS, config.steps)

    def work(operation: OperationContext) -> tuple[Journal, OperationContext]:
        tidy = _housekeeping(context.instance, context.run_id, operation.settings.health_history_days)
        return run(MaintenanceContext(operation, tidy, config.confirm_packages), chosen), operation

    journal, operation = operations.run(context, work)
    report.keep(operation.settings.home, journal)
    tell_result(context, report.headline(journal))
    metadata = _metadata(journal)
    backup = journal.results.get("backup")
    if backup is not None and backup.backup:
        context.instance.add_run_tags(context.run_id, {"archon/backup": backup.backup})
    try:
        raise_for_failure(journal)
    except ArchonError as error:
        raise failure_of(error, metadata) from error
    context.add_output_metadata(metadata)


@dg.job(
    name="weekly_maintenance",
    executor_def=EXECUTOR,
    tags={"dagster/max_runtime": "28800"},
    description=(
        "Launch it as it is. The backup comes first; if it fails, nothing is changed. A killed run is gone on with "
        "after its finished steps. Never removes a volume, never installs a package unasked."
    ),
)
def weekly_maintenance_job() -> None:
    """One op: the steps share the window."""
    maintain()


@dg.op(pool=PLATFORM_POOL, description="Record the images, back up, fetch, replace service by service, or go back.")
def update_images(context: dg.OpExecutionContext, operations: Operations) -> None:
    """Update; see :mod:`archon_dagster.maintenance.updates` for the order."""
    result: Updated = operations.run(context, update, cleanup_limit=1800.0)
    metadata = {
        "changed": dg.MetadataValue.json({name: list(pair) for name, pair in result.changed.items()}),
        "put back": ", ".join(result.returned) or "nothing",
        "backup": result.before.backup,
        "warning": result.warning or "none",
    }
    context.instance.add_run_tags(context.run_id, {"archon/backup": result.before.backup})
    tell_result(context, result.headline)
    try:
        result.raise_for_failure()
    except ArchonError as error:
        raise failure_of(error, metadata) from error
    context.add_output_metadata(metadata)


@dg.job(
    name="security_updates",
    executor_def=EXECUTOR,
    tags={"dagster/max_runtime": "14400"},
    description=(
        "New images for the Compose project: backed up first, one service at a time behind a health gate, and back to "
        "the recorded images at the first failure. Local processes have no images: there it refuses."
    ),
)
def security_updates_job() -> None:
    """One op: the steps share the lock."""
    update_images()


class RetentionConfig(dg.Config):
    """What goes; the default only tells."""

    confirm: str = Field(default="", description=f"Type {retention.CONFIRMATION} to remove; else it is only told.")
    keep: dict[str, int] = Field(
        default={}, description=f"Other numbers than the settings', by rule: {', '.join(retention.RULES)}."
    )


@dg.op(pool=PLATFORM_POOL, description="Decide which backups may go; if confirmed, remove them and collect chunks.")
def prune(context: dg.OpExecutionContext, config: RetentionConfig, operations: Operations) -> None:
    """Tell, or do; see :mod:`archon_dagster.maintenance.retention`."""
    if config.confirm not in ("", retention.CONFIRMATION):
        wrong = ConfirmationMissing("removing backups was not confirmed; nothing was touched",
                                    todo=f"type {retention.CONFIRMATION}, or leave it out to be told")  # fmt: skip
        raise failure_of(wrong)
    known = known_backups(context.instance)

    def work(operation: OperationContext) -> tuple[Pruned, list[Entry]]:
        policy = retention.policy_of(operation.settings, config.keep)
        done = retention.prune(operation, policy) if config.confirm else Pruned(retention.decide(operation, policy))
        return done, operation.repository.backups()

    pruned, entries = operations.run(context, work)
    match_partitions(context.instance, known, entries)
    planned = pruned.planned
    said = pruned.headline if config.confirm else f"told only; {len(planned.plan.going)} would go"
    tell_result(context, said)
    context.add_output_metadata(
        {
            "what": said,
            "backups": dg.MetadataValue.table([dg.TableRecord(dict(row)) for row in planned.rows() or [_NONE]]),
            "bytes that only these hold": planned.frees,
            "bytes freed": pruned.collected.size,
        }
    )


@dg.job(
    name="retention",
    executor_def=EXECUTOR,
    tags={"dagster/max_runtime": "7200"},
    description=(
        "Launch it as it is to see which backups the policy would let go, and why: it only tells. Type the "
        "confirmation to remove them; they can be put back within the grace period. Never the last good one."
    ),
)
def retention_job() -> None:
    """One op: deciding and removing share the lock."""
    prune()


@dg.op(description="Remove Dagster's own events that belong to no run and are old; the newest of everything stay.")
def trim(context: dg.OpExecutionContext, operations: Operations) -> None:
    """Trim; see :mod:`archon_dagster.maintenance.event_store`. Nothing of the platform is touched: no pool, no lock."""
    said = remove_old_events(context.instance, operations.settings().health_history_days)
    context.log.info(said)
    context.add_output_metadata({"what": said})


@dg.job(
    name="trim_event_log",
    executor_def=EXECUTOR,
    tags={"dagster/max_runtime": "3600"},
    description=(
        "Launch it as it is. What the health monitor writes would fill the disk by and by: events without a run that "
        "are older than ARCHON_HEALTH_HISTORY_DAYS go, the newest of each check and asset stay."
    ),
)
def trim_event_log_job() -> None:
    """Each day; the weekly maintenance does it too."""
    trim()


def _metadata(journal: Journal) -> dict[str, Any]:
    records = [dg.TableRecord({column: row[column] for column in report.COLUMNS}) for row in report.rows(journal)]
    return {
        "summary": dg.MetadataValue.md(report.page(journal)),
        "steps": dg.MetadataValue.table(records),
        "steps failed": sum(one.state == "failed" for one in journal.results.values()),
    }


def _housekeeping(instance: dg.DagsterInstance, this_run: str, event_days: float) -> Housekeeping:
    def tidy(days: float, backups: frozenset[str]) -> str:
        runs = remove_old_runs(instance, days, keep=this_run, backups=backups)
        return f"{runs}; {remove_old_events(instance, event_days)}"

    return tidy


def remove_old_runs(
    instance: dg.DagsterInstance,
    days: float,
    keep: str = "",
    now: float | None = None,
    backups: frozenset[str] = frozenset(),
) -> str:
    """Delete runs that ended more than so many days ago, with their events; says how many.

    Never one that is not over, never the newest of a job (it is what the job's page shows), and never one of these
    backups: its events are all that the UI shows of them. :param now: seconds since the epoch.
    """
    limit = (time.time() if now is None else now) - days * _DAY
    newest: set[str] = set()
    old: list[str] = []
    cursor: str | None = None
    while page := instance.get_run_records(limit=_PAGE, cursor=cursor):  # newest first
        for record in page:
            run_ = record.dagster_run
            first = run_.job_name not in newest
            newest.add(run_.job_name)
            ended = record.end_time if record.end_time is not None else record.create_timestamp.timestamp()
            kept = first or run_.run_id == keep or run_.tags.get("archon/backup") in backups
            if not kept and run_.status in _OVER and ended < limit:
                old.append(run_.run_id)
        cursor = page[-1].dagster_run.run_id
    for run_id in old:
        instance.delete_run(run_id)
    return f"{len(old)} runs older than {days:g} days were removed"


def remove_old_events(
    instance: dg.DagsterInstance, days: float, now: float | None = None, kept: int = event_store.KEPT
) -> str:
    """Delete events that belong to no run and are older than so many days; says how many.

    Never the newest ones of a check or an asset: they are what the UI shows. :param now: seconds since the epoch.
    """
    storage = instance.event_log_storage
    if not isinstance(storage, SqlEventLogStorage):
        return f"events without a run are kept: {type(storage).__name__} is no SQL storage"

    store = EventStore(
        index=storage.index_connection,
        runless=(lambda: storage.run_connection(RUNLESS_RUN_ID)) if storage.is_run_sharded else None,
        run_exists=instance.has_run,
    )
    limit = datetime.fromtimestamp((time.time() if now is None else now) - days * _DAY, UTC).replace(tzinfo=None)
    incidents = set(instance.get_dynamic_partitions("incidents"))
    reports = event_store.purge_partitions(store, INCIDENTS.to_string(), incidents, limit)
    removed = reports + event_store.purge(store, limit, kept)
    return f"{removed:,} events without a run, older than {days:g} days, were removed"
