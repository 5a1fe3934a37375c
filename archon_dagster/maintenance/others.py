"""Steps whose work is done elsewhere: the backup, the performance baseline, Dagster's housekeeping."""

from __future__ import annotations

from archon_dagster.backup.backup import BackupRequest, take_backup
from archon_dagster.backup.checks import raise_for_failed
from archon_dagster.maintenance.step import Done, MaintenanceContext
from archon_dagster.performance.baseline import take_baseline
from archon_dagster.performance.summary import notes


def back_up(context: MaintenanceContext) -> Done:
    """A full backup; one that failed a check is a failure."""
    result = take_backup(context.operation, BackupRequest(kind="scheduled", note="before the weekly maintenance"))
    raise_for_failed(result.manifest.id, result.checks)
    return Done(f"backup {result.manifest.id}, every check passed", backup=result.manifest.id)


def renew_baseline(context: MaintenanceContext) -> Done:
    """Measure the platform, and renew the baseline where that is no worse; what is worse is said and fails nothing."""
    operation = context.operation
    found = take_baseline(operation.settings, operation.runtime, operation.cancel)
    return Done(found.headline, tuple(notes(found)))


def tidy_dagster(context: MaintenanceContext) -> Done:
    """Old runs with their events; those of backups that are still there stay, for they are how the UI knows of them."""
    if context.housekeeping is None:
        return Done("only inside Dagster: leave out --direct", idle=True)
    operation = context.operation
    there = frozenset(entry.id for entry in operation.repository.backups())
    return Done(context.housekeeping(operation.settings.maintenance_runs_days, there))
