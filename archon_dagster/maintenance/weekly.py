"""The rules of a maintenance run.

One run at a time -> a maintenance window is declared, so that the automation does not interfere -> the steps in order,
each noted in the journal when it is finished -> the window is ended -> report. A step that fails stops no other; with
one exception: after a backup that failed, nothing is done that changes or deletes anything. What changes the platform
holds the platform's lock while it works, so that neither a restore nor another backup runs beside it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext

from filelock import FileLock, Timeout

from archon_dagster.context import Step
from archon_dagster.errors import ArchonError, Cancelled, ConfigurationError, RepositoryBusy
from archon_dagster.health.windows import close_windows, open_window
from archon_dagster.maintenance import journal as journals
from archon_dagster.maintenance.journal import Journal
from archon_dagster.maintenance.step import MaintenanceContext, MaintenanceStep, Result
from archon_dagster.platform.settings import Settings

BACKUP = "backup"
WHY = "weekly maintenance"
GO_ON = "archon maintenance run goes on after the finished steps"
Clock = Callable[[], float]


def choose(steps: Sequence[MaintenanceStep], names: Sequence[str]) -> tuple[MaintenanceStep, ...]:
    """The named steps in their own order; without names those of the weekly run."""
    known = {step.name for step in steps}
    if wrong := [name for name in names if name not in known]:
        raise ConfigurationError(
            f"no such step: {', '.join(wrong)}; nothing was touched",
            todo=f"choose of {', '.join(s.name for s in steps)}",
        )
    return tuple(step for step in steps if (step.name in names if names else step.default))


def run(context: MaintenanceContext, steps: Sequence[MaintenanceStep], clock: Clock = time.time) -> Journal:
    """Do the steps; see the module for the rules. What failed is in the journal.

    :raises RepositoryBusy: another maintenance run is at work.
    :raises Cancelled: stopped on request; the next run goes on after the finished steps.
    """
    home = context.operation.settings.home
    with _alone(context.operation.settings):
        names = tuple(step.name for step in steps)
        journal = journals.to_go_on_with(home, names, clock()) or Journal(begun=clock(), steps=names)
        _close(context, journals.load(home), clock)
        journal = _in_window(context, journal, clock)
        try:
            for step in steps:
                journal = _do(context, step, journal)
                journals.save(home, journal)
            journal = journal.model_copy(update={"ended": clock()})
            journals.save(home, journal)
        finally:
            _close(context, journal, clock)
    return journal


def forbidden(step: MaintenanceStep, journal: Journal) -> bool:
    """Whether a step must not be done: it could harm, and this run's backup was wanted and is not there."""
    if not step.harms or BACKUP not in journal.steps:
        return False
    backup = journal.results.get(BACKUP)
    return backup is None or not backup.finished


def raise_for_failure(journal: Journal) -> None:
    """:class:`ArchonError` that names what failed."""
    failed = [result for result in journal.results.values() if result.state == "failed"]
    if failed:
        raise ArchonError(
            "; ".join(f"{one.step} failed: {one.detail}" for one in failed),
            tried="every step that a failed one does not forbid",
            todo=f"remove the cause, then: archon maintenance run --steps {','.join(one.step for one in failed)}",
        )


def _do(context: MaintenanceContext, step: MaintenanceStep, journal: Journal) -> Journal:
    operation = context.operation
    operation.check()
    before = journal.results.get(step.name)
    if before is not None and before.finished:
        operation.report(Step(step.name, "finished by the run before", 0.0))
        return journal
    if forbidden(step, journal):
        why = "not done: it could harm, and the backup of this run has failed"
        operation.report(Step(step.name, seconds=0.0, failed=why))
        return journal.with_result(Result(step=step.name, state="skipped", detail=why))
    operation.report(Step(step.name))
    begin = time.monotonic()
    result = _attempt(context, step).model_copy(update={"seconds": time.monotonic() - begin})
    failed = result.detail if result.state == "failed" else ""
    operation.report(Step(step.name, "" if failed else result.detail, result.seconds, failed))
    return journal.with_result(result)


def _attempt(context: MaintenanceContext, step: MaintenanceStep) -> Result:
    operation = context.operation
    # a backup takes the lock itself
    alone = operation.repository.lock(f"maintenance: {step.name}", check=operation.check) if step.harms else None
    try:
        with alone or nullcontext():
            done = step.work(context)
    except Cancelled:
        raise
    except Exception as error:  # whatever it is, it must not keep the other steps undone
        if operation.cancel.is_set():
            raise Cancelled(
                "the maintenance was cancelled on request", todo="archon maintenance run goes on"
            ) from error
        lines = tuple(str(error).splitlines())
        detail = lines[0] if lines else type(error).__name__
        return Result(step=step.name, state="failed", detail=detail, lines=lines[1:])
    return Result(
        step=step.name,
        state="nothing to do" if done.idle else "done",
        detail=done.detail,
        lines=done.lines,
        backup=done.backup,
        warning=done.warning,
    )


def _in_window(context: MaintenanceContext, journal: Journal, clock: Clock) -> Journal:
    settings = context.operation.settings
    opened = open_window(settings.home, settings.maintenance_window, WHY, clock(), who="archon")
    journal = journal.model_copy(update={"window": opened.id})
    journals.save(settings.home, journal)
    return journal


def _close(context: MaintenanceContext, journal: Journal | None, clock: Clock) -> None:
    if journal is not None and journal.window:
        close_windows(context.operation.settings.home, clock(), journal.window)


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    file = settings.home / "maintenance" / "lock"
    file.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(file, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise RepositoryBusy("another maintenance run is at work", where=str(file), todo="wait for it") from error
    try:
        yield
    finally:
        lock.release()
