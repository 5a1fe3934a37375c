"""The backup as assets: one per store, the sealed backup with its checks, and the catalogue with a partition each.

Materializing the group takes a backup; nothing in it can restore anything.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Literal

import dagster as dg
from pydantic import Field

from archon_dagster.backup.backup import BackupRequest, BackupResult, take_backup
from archon_dagster.backup.checks import CHECKS
from archon_dagster.backup.summary import backup_numbers, page, store_numbers
from archon_dagster.repository.assets import BACKUPS, CATALOGUE, GROUP, SEALED
from archon_dagster.repository.verification import CheckRecord
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
    note: str = Field(default="", description="Free text kept in the manifest.")

    def request(self) -> BackupRequest:
        """The same, for the logic."""
        return BackupRequest(
            kind=self.kind,
            stores=chosen(self.stores) or STORES,
            quiesce=self.pause_writers,
            accept_counts=self.accept_counts,
            note=self.note,
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
            description="The newest sealed backup: its manifest is written, every check below was run on it.",
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
    result = operations.run(context, lambda operation: take_backup(operation, request))
    context.instance.add_run_tags(context.run.run_id, {"archon/backup": result.manifest.id})
    _observe_live_data(context, result)
    for store in result.manifest.stores:
        yield dg.MaterializeResult(
            asset_key=PARTS[store][0],  # type: ignore[index]
            metadata=store_numbers(result, store),
        )
    yield dg.MaterializeResult(asset_key=SEALED, metadata=_sealed_metadata(result))
    yield from (_check_result(check) for check in result.checks)
    _enter_in_catalogue(context, result)


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


def _sealed_metadata(result: BackupResult) -> dict[str, dg.MetadataValue[Any] | int | float | str]:
    return {"summary": dg.MetadataValue.md(page(result.manifest, result.checks)), **backup_numbers(result.manifest)}


def _enter_in_catalogue(context: dg.AssetExecutionContext, result: BackupResult) -> None:
    context.instance.add_dynamic_partitions(BACKUPS.name or "", [result.manifest.id])
    context.log_event(
        dg.AssetMaterialization(CATALOGUE, partition=result.manifest.id, metadata=_sealed_metadata(result))
    )


assert set(CHECKS) == {key.name for key in take_backup_asset.check_keys}
