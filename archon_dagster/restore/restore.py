"""Put a backup back, or put everything back as it was.

The order: resolve -> are the servers there -> verify the backup -> start the stores -> compare versions -> stop the
writers -> safety backup of what is there -> restore each store -> compare fingerprints -> start -> health.

===============================  ==================================================================================
:func:`restore_backup`           this order, top to bottom
:mod:`~.steps`                   the steps that the way forth and the way back share
:mod:`~.way_back`                a failure up to and including the fingerprints returns to the safety backup
:mod:`~.journal`                 what is going on, on disk: a restore that was killed is noticed
===============================  ==================================================================================

What fails later (a service does not come up) is reported; the restored data stay.
"""

from __future__ import annotations

import time
from dataclasses import replace

from archon_dagster.backup.backup import BackupRequest, back_up_under_lock
from archon_dagster.backup.checks import readable, verify_artifacts
from archon_dagster.context import OperationContext, Step
from archon_dagster.errors import ConfirmationMissing, DamagedBackup, RestoreFailed
from archon_dagster.platform.absence import require_present
from archon_dagster.platform.quiesce import running_writers, thaw_leftovers
from archon_dagster.platform.readiness import wait_until_ready
from archon_dagster.restore import measured
from archon_dagster.restore.journal import JournalFile
from archon_dagster.restore.plan import resolve
from archon_dagster.restore.request import CONFIRMATION, RestoreRequest, RestoreResult
from archon_dagster.restore.steps import Steps
from archon_dagster.restore.way_back import put_back
from archon_dagster.stores.base import Progress

__all__ = ["CONFIRMATION", "RestoreRequest", "RestoreResult", "restore_backup"]


def restore_backup(context: OperationContext, request: RestoreRequest) -> RestoreResult:
    """Restore a backup; see the module for the order.

    Raises :class:`ConfirmationMissing`, :class:`BackupNotFound`, :class:`ServiceError` or :class:`DamagedBackup` before
    anything was touched, and :class:`RestoreFailed`, which says what was put back, afterwards.
    """
    if request.confirm != CONFIRMATION:
        raise ConfirmationMissing(
            "a restore replaces the live data and was not confirmed; nothing was touched",
            todo=f"pass --confirm {CONFIRMATION} (or confirm: {CONFIRMATION} in the run's config)",
        )
    manifest, names = resolve(context, request.selector, request.only)
    require_present(names, context.settings, context.runtime)
    with context.repository.lock(f"restore of {manifest.id}") as lease:
        thaw_leftovers(context.settings, context.runtime)
        context.sweep()
        file = JournalFile(context.settings)
        steps = Steps(context, manifest, names, lease, wait_until_ready, file, portable=request.portable)
        return _run(steps, request)


def _run(steps: Steps, request: RestoreRequest) -> RestoreResult:
    started = time.monotonic()
    with steps.step("verify the backup", steps.manifest.id):
        _verify(steps)
    steps.begin(request.only)
    try:
        _change(steps, request)
    except BaseException as error:
        put_back(steps, error)
        raise  # only if nothing had to be put back
    steps.start_again()
    steps.result.rto = time.monotonic() - started
    measured.record(steps.context.repository, steps.result)
    steps.file.settle(steps.journal, steps.names)
    return steps.result


def _change(steps: Steps, request: RestoreRequest) -> None:
    """The way forth: from here on a failure leads to :func:`put_back`."""
    with steps.step("start the stores"):
        steps.start_stores()
    with steps.step("compare versions"):
        _preflight(steps)
    with steps.step("stop the writers"):
        _stop_writers(steps)
    with steps.step("safety backup"):
        _safety_backup(steps, request)
    for name in steps.names:
        with steps.step(f"restore {name}"):
            steps.restore_store(name, steps.manifest)
    with steps.step("compare fingerprints"):
        steps.compare(steps.manifest, steps.names)


def _verify(steps: Steps) -> None:
    context, manifest = steps.context, steps.manifest
    with context.work() as work:
        context.repository.verify(manifest.id, work).raise_for_damage()
    finding = readable(verify_artifacts(context, manifest, steps.names))
    if not finding.passed:
        raise DamagedBackup(
            f"backup {manifest.id} cannot be read, nothing was touched: {finding.detail}",
            where=context.settings.repository,
            todo="restore another backup (archon backups)",
        )


def _preflight(steps: Steps) -> None:
    source = steps.context.repository.source(steps.manifest)
    for name in steps.names:
        with steps.context.work(portable=steps.portable) as work:
            steps.context.stores[name].preflight(source, work)


def _stop_writers(steps: Steps) -> None:
    runtime = steps.context.runtime
    stopped = tuple(dict.fromkeys((*steps.journal.stopped, *running_writers(runtime))))
    steps.journal = steps.file.update(steps.journal, stopped=stopped)
    if stopped:
        runtime.stop(*stopped)


def _safety_backup(steps: Steps, request: RestoreRequest) -> None:
    """Keep what is there; without such a copy the restore goes on only on the operator's word."""
    wanted = BackupRequest(
        kind="safety", stores=steps.names, quiesce=False, note=f"before the restore of {steps.manifest.id}"
    )
    made = back_up_under_lock(_without_steps(steps.context), wanted, steps.lease, tolerate_failures=True)
    steps.result.safety = made.manifest if made.manifest.artifacts else None
    steps.result.not_copied = made.failures
    if steps.result.safety and steps.journal.safety is None:
        steps.journal = steps.file.update(steps.journal, safety=steps.result.safety.id)
    if made.failures and not request.without_safety_copy:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in made.failures.items())
        raise RestoreFailed(
            f"what is there now cannot be copied first, so there would be no way back: {reasons}",
            todo="repair that, or accept the loss of what is there: --without-safety-copy",
        )


def _without_steps(context: OperationContext) -> OperationContext:
    """The safety backup is one step of the restore; its own steps would only confuse."""

    def progress_only(news: Step | Progress) -> None:
        if not isinstance(news, Step):
            context.report(news)

    return replace(context, report=progress_only)
