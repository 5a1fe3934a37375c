"""The backup as assets: one per store, the sealed backup with its checks, and the catalogue with a partition each.

Materializing the group takes a backup; nothing in it can restore anything. A backup that failed a check is in the
catalogue with a warning, ends its run as failed, and does not materialize ``backup/sealed``: the freshness of that
asset is the age of the newest backup that can be relied on.
"""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any, Literal

import dagster as dg
from pydantic import Field

from archon_dagster.backup.backup import BackupRequest, BackupResult, take_backup
from archon_dagster.backup.checks import CHECKS, raise_for_failed
from archon_dagster.backup.summary import backup_numbers, page, store_numbers
from archon_dagster.errors import DamagedBackup, RepositoryError
from archon_dagster.repository.assets import BACKUPS, CATALOGUE, GROUP, SEALED, known_backups, match_partitions
from archon_dagster.repository.catalogue import Entry
from archon_dagster.repository.manifest import Manifest
from archon_dagster.repository.repository import Repository
from archon_dagster.repository.verification import CheckRecord, newest_checks
from archon_dagster.resources import PLATFORM_POOL, Operations
from archon_dagster.stores.assets import BY_STORE, metadata
from archon_dagster.stores.base import STORES, StoreName
from archon_dagster.stores.choice import StoreChoice, chosen

PARTS: dict[StoreName, tuple[dg.AssetKey, str, str]] = {
    "vectors": (dg.AssetKey(["backup", "vector_snapshots"]), "qdrant", "A snapshot of every Qdrant collection."),
    "graph": (dg.AssetKey(["backup", "graph_export"]), "memgraph", "A lossless, typed export of the knowledge graph."),
    "relational": (dg.AssetKey(["backup", "database_dump"]), "postgres", "A PostgreSQL dump with its roles."),
    "configuration": (
        dg.AssetKey(["backup", "configuration_files"]),
        "file",
        "`.env`, compose files and `config/`; secret values are withheld.",
    ),
}

DAILY = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=26), warn_window=timedelta(hours=25))
"""Follows the schedule that is on by default: a page that is always red teaches people to ignore it."""

PAGES = 50  # pages of the catalogue written in one run: an event costs some 70 ms, a repository can hold thousands


class BackupConfig(dg.Config):
    """What to back up. The defaults are those of the daily backup: everything, with the writers held still."""

    stores: list[StoreChoice] = Field(
        default=[], description="Capture just these stores, all within one consistency window; empty: all of them."
    )
    kind: Literal["manual", "scheduled"] = Field(default="manual", description="How the backup is labelled.")
    pause_writers: bool = Field(
        default=True, description="Hold the writing services still for the seconds of the capture."
    )
    accept_counts: bool = Field(
        default=False, description="It is right that something has vanished since the last good backup."
    )
    portable: bool = Field(
        default=True, description="Keep the vectors also as Parquet, which goes onto any version of Qdrant."
    )
    note: str = Field(default="", description="Free text kept in the manifest.")

    def request(self) -> BackupRequest:
        """The same, for the logic."""
        return BackupRequest(
            kind=self.kind,
            stores=chosen(self.stores) or STORES,
            quiesce=self.pause_writers,
            accept_counts=self.accept_counts,
            note=self.note,
            portable=self.portable,
        )


@dg.multi_asset(
    name="take_backup",
    specs=[
        *(
            dg.AssetSpec(key, group_name=GROUP, kinds={kind}, description=text, deps=BY_STORE[store], skippable=True)
            for store, (key, kind, text) in PARTS.items()
        ),
        dg.AssetSpec(
            SEALED,
            group_name=GROUP,
            kinds={"archive"},
            deps=[key for key, _, _ in PARTS.values()],
            freshness_policy=DAILY,
            description="The newest good backup: its manifest is written and every check below has passed.",
        ),
    ],
    check_specs=[
        dg.AssetCheckSpec("complete", asset=SEALED, description="Every store asked for is in the backup."),
        dg.AssetCheckSpec("digests", asset=SEALED, description="Every chunk was read back and has its SHA-256."),
        dg.AssetCheckSpec("readable", asset=SEALED, description="Every artifact was read by its own engine."),
        dg.AssetCheckSpec("counts_match_live", asset=SEALED, description="As many records as the live stores."),
        dg.AssetCheckSpec("counts_plausible", asset=SEALED, description="Nothing has vanished since the last one."),
    ],
    pool=PLATFORM_POOL,
    description="Capture every store inside one short window, seal the backup, check it.",
)
def take_backup_asset(
    context: dg.AssetExecutionContext, config: BackupConfig, operations: Operations
) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
    """Take a backup; see :mod:`archon_dagster.backup.backup` for the order and what a failure leaves."""
    request = config.request()
    result, repository = operations.run(
        context, lambda operation: (take_backup(operation, request), operation.repository)
    )
    context.instance.add_run_tags(context.run.run_id, {"archon/backup": result.manifest.id})
    _observe_live_data(context, result)
    for store in result.manifest.stores:
        yield dg.MaterializeResult(
            asset_key=PARTS[store][0],  # type: ignore[index]
            metadata=store_numbers(result, store),
        )
    described = _described(result.manifest, result.checks)
    if result.good:
        yield dg.MaterializeResult(asset_key=SEALED, metadata=described)
    else:
        context.log_event(dg.AssetObservation(SEALED, metadata=described))
    yield from (_check_result(check) for check in result.checks)
    context.instance.add_dynamic_partitions(BACKUPS.name or "", [result.manifest.id])
    context.log_event(dg.AssetMaterialization(CATALOGUE, partition=result.manifest.id, metadata=described))
    _refresh_catalogue(context, repository)
    _fail_when_bad(result)


def _fail_when_bad(result: BackupResult) -> None:
    """A failed check alone would leave the run green, and nobody looks further than that."""
    try:
        raise_for_failed(result.manifest.id, result.checks)
    except DamagedBackup as error:
        raise dg.Failure(str(error), metadata={"kind": type(error).__name__}, allow_retries=False) from error


def _observe_live_data(context: dg.AssetExecutionContext, result: BackupResult) -> None:
    """The stores were asked anyway: what they said is news of the live data."""
    for store, description in result.live.items():
        for key in BY_STORE[store]:
            context.log_event(dg.AssetObservation(key, metadata=metadata(description, key)))


def _check_result(check: CheckRecord) -> dg.AssetCheckResult:
    severity = dg.AssetCheckSeverity.ERROR if check.severity == "error" else dg.AssetCheckSeverity.WARN
    return dg.AssetCheckResult(
        asset_key=SEALED,
        check_name=check.name,
        passed=check.passed,
        severity=severity,
        metadata={"detail": dg.MetadataValue.text(check.detail)},
    )


def _described(
    manifest: Manifest, checks: Sequence[CheckRecord]
) -> dict[str, dg.MetadataValue[Any] | int | float | str]:
    return {"summary": dg.MetadataValue.md(page(manifest, checks)), **backup_numbers(manifest, checks)}


def _refresh_catalogue(context: dg.AssetExecutionContext, repository: Repository) -> None:
    """Let the catalogue show what the repository holds: backups taken without Dagster, those taken before a restore,
    those that are gone, and what a later verification found. At most :data:`PAGES` pages are written; the next run
    goes on. That it cannot be done is no failure of the backup."""
    try:
        known = known_backups(context.instance)
        entries = repository.backups(checks=True)
        added, removed = match_partitions(context.instance, known, entries)
        if added or removed:
            context.log.info(f"catalogue: {len(added)} backups added, {len(removed)} removed that are gone")
        for entry in _outdated(context.instance, [entry for entry in entries if entry.state == "complete"]):
            described = _described(repository.manifest(entry.id), newest_checks(repository.checks(entry.id)))
            context.log_event(dg.AssetMaterialization(CATALOGUE, partition=entry.id, metadata=described))
    except RepositoryError as error:
        context.log.warning(f"the catalogue of backups could not be brought up to date: {error}")


def _outdated(instance: dg.DagsterInstance, entries: Sequence[Entry]) -> list[Entry]:
    """The backups without a page, and of the newest ones those whose page tells another story of their checks."""
    have = instance.get_materialized_partitions(CATALOGUE)
    newest = [entry for entry in entries[:PAGES] if entry.id in have]
    said = _pages(instance, [entry.id for entry in newest])
    changed = [entry for entry in newest if said.get(entry.id, str(entry.checks)) != str(entry.checks)]
    return [*changed, *(entry for entry in entries if entry.id not in have)][:PAGES]


def _pages(instance: dg.DagsterInstance, backups: Sequence[str]) -> dict[str, str]:
    """What the newest page of each of these backups says of its checks."""
    if not backups:
        return {}
    wanted = dg.AssetRecordsFilter(CATALOGUE, asset_partitions=backups)
    said: dict[str, str] = {}
    for record in instance.fetch_materializations(wanted, limit=4 * PAGES).records:  # newest first
        event = record.asset_materialization
        if event is not None and event.partition is not None and "checks" in event.metadata:
            said.setdefault(event.partition, str(event.metadata["checks"].value))
    return said


assert set(CHECKS) == {key.name for key in take_backup_asset.check_keys}
