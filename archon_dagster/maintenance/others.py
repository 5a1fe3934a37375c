"""Steps whose work is another chapter's: the backup, the baseline, Dagster's housekeeping, retention."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from archon_dagster.backup.backup import BackupRequest, take_backup
from archon_dagster.backup.checks import raise_for_failed
from archon_dagster.maintenance.step import Done, MaintenanceContext


def back_up(context: MaintenanceContext) -> Done:
    """A full backup; one that failed a check is a failure."""
    result = take_backup(context.operation, BackupRequest(kind="scheduled", note="before the weekly maintenance"))
    raise_for_failed(result.manifest.id, result.checks)
    return Done(f"backup {result.manifest.id}, every check passed", backup=result.manifest.id)


def take_baseline(context: MaintenanceContext) -> Done:
    """Measure and keep, for later comparisons."""
    module = _module("archon_dagster.performance.baseline")
    if module is None:
        return Done("not available: performance measurements are not part of this installation", idle=True)
    operation = context.operation
    found = module.take_baseline(operation.settings, operation.runtime, operation.cancel)
    return Done(str(getattr(found, "headline", None) or "a baseline was taken"))


def tidy_dagster(context: MaintenanceContext) -> Done:
    """Old runs with their events."""
    if context.housekeeping is None:
        return Done("only inside Dagster: leave out --direct", idle=True)
    return Done(context.housekeeping(context.operation.settings.maintenance_runs_days))


def retain(context: MaintenanceContext) -> Done:
    """What the rules of retention let go: a list; deleted where the settings say so."""
    module = _module("archon_dagster.maintenance.retention")
    if module is None:
        return Done("not available: retention is not part of this installation; no backup was removed", idle=True)
    plan = module.plan(context.operation)
    lines = tuple(str(plan).splitlines())
    if context.operation.settings.maintenance_retention == "dry-run":
        return Done("a list only (ARCHON_MAINTENANCE_RETENTION=dry-run); no backup was removed", lines)
    module.apply(context.operation, plan)
    return Done("applied", lines)


def _module(name: str) -> Any:
    parent = name.rpartition(".")[0]
    if find_spec(parent) is None or find_spec(name) is None:
        return None
    return import_module(name)
