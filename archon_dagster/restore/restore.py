"""Put a backup back, or put everything back as it was.

The order: resolve -> are the servers there -> verify the backup -> start the stores -> compare versions -> stop the
writers -> safety backup of what is there -> restore each store -> compare fingerprints -> start -> health.

===============================  ==================================================================================
:func:`restore_backup`           this order, top to bottom
:mod:`~.steps`                   the steps that the way forth and the way back share
:mod:`~.scope`                   which backup, which of its stores or which part of one, and where to
:mod:`~.adding`                  a part that is not there: nothing is replaced
:mod:`~.writers`                 the services that write stand still meanwhile
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
from archon_dagster.platform.quiesce import thaw_leftovers
from archon_dagster.platform.readiness import wait_until_ready
from archon_dagster.restore import measured
from archon_dagster.restore.adding import add_back, add_beside
from archon_dagster.restore.journal import JournalFile
from archon_dagster.restore.request import CONFIRMATION, RestoreRequest, RestoreResult
from archon_dagster.restore.scope import scope_of
from archon_dagster.restore.steps import Steps
from archon_dagster.restore.way_back import put_back
from archon_dagster.restore.writers import stop_writers
from archon_dagster.stores.base import Progress
from archon_dagster.stores.parts import PartStore

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
    scope = scope_of(context, request)
    there, purpose = scope.context, f"restore of {scope.manifest.id}"
    require_present(scope.names, there.settings, there.runtime)
    with context.repository.lock(purpose) as lease, scope.place.lock(purpose) as other:
        thaw_leftovers(there.settings, there.runtime)
        there.sweep()
        leases = (lease,) if other is None else (lease, other)
        steps = Steps(scope, leases, wait_until_ready, JournalFile(there.settings), portable=request.portable)
        if scope.place.target:
            context.report(Step("target", scope.place.target, 0.0))
        for note in scope.notes:
            context.report(Step("note", note, 0.0))
        return _run(steps, request)


def _run(steps: Steps, request: RestoreRequest) -> RestoreResult:
    started = time.monotonic()
    with steps.step("verify the backup", steps.manifest.id):
        _verify(steps)
    if steps.scope.part is not None:
        with steps.step("start the stores"):
            steps.start_stores()  # it takes a running server to know whether anything is replaced
        if not steps.scope.part.replaces():
            return _add(steps, steps.scope.part, request, started)
    steps.begin(request.only)
    try:
        _change(steps, request)
    except BaseException as error:
        put_back(steps, error)
        raise  # only if nothing had to be put back
    steps.start_again()
    result = _measured(steps, started)
    steps.file.settle(steps.journal, steps.names)
    return result


def _add(steps: Steps, part: PartStore, request: RestoreRequest, started: float) -> RestoreResult:
    """Nothing is lost by it, so there is no way back to prepare."""
    if part.live == part.kept:
        add_back(steps, part, request.only)
    else:
        add_beside(steps, part)
    result = _measured(steps, started)
    if part.live == part.kept:
        steps.file.settle(steps.journal, steps.names)
    return result


def _measured(steps: Steps, started: float) -> RestoreResult:
    result, scope = steps.result, steps.scope
    result.rto = time.monotonic() - started
    result.moved = {name: measured.weight(scope, name, by_points=result.by_points) for name in scope.names}
    measured.record(steps.context.repository, result)
    return result


def _change(steps: Steps, request: RestoreRequest) -> None:
    """The way forth: from here on a failure leads to :func:`put_back`."""
    if steps.scope.part is None:
        with steps.step("start the stores"):
            steps.start_stores()
    with steps.step("compare versions"):
        steps.preflight()
    with steps.step("stop the writers"):
        stop_writers(steps)
    with steps.step("safety backup"):
        _safety_backup(steps, request)
    for name in steps.names:
        with steps.step(f"restore {name}"):
            steps.restore_store(name, steps.manifest)
    with steps.step("compare fingerprints"):
        steps.compare(steps.manifest, steps.names)


def _verify(steps: Steps) -> None:
    context, manifest = steps.context, steps.manifest
    if steps.scope.part is None:  # the digests of what belongs to a part are checked where it is read
        with context.work() as work:
            context.repository.verify(manifest.id, work).raise_for_damage()
    finding = readable(verify_artifacts(context, manifest, steps.names))
    if not finding.passed:
        raise DamagedBackup(
            f"backup {manifest.id} cannot be read, nothing was touched: {finding.detail}",
            where=context.settings.repository,
            todo="restore another backup (archon backups)",
        )


def _safety_backup(steps: Steps, request: RestoreRequest) -> None:
    """Keep what is there; without such a copy the restore goes on only on the operator's word."""
    note = f"before the restore of {steps.result.what.removeprefix('backup ')}"
    wanted = BackupRequest(kind="safety", stores=steps.names, quiesce=False, note=note)
    made = back_up_under_lock(_without_steps(steps.context), wanted, steps.leases[0], tolerate_failures=True)
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
