"""The way back: after a failure everything is as it was before the restore, or the error says what is not.

The order: note what failed -> let nothing stop the way back -> start the servers that died meanwhile -> restore every
touched store from the safety backup, and compare -> start the services that were stopped -> tell the operator.
"""

from __future__ import annotations

from contextlib import suppress

from archon_dagster.errors import ArchonError, Cancelled, RestoreFailed
from archon_dagster.repository.manifest import Manifest
from archon_dagster.restore.steps import PUT_BACK, Steps, first_line
from archon_dagster.stores.base import StoreName


def put_back(steps: Steps, error: BaseException) -> None:
    """Return to what was there; raises what the operator reads, unless nothing had been touched.

    :param error: what ended the way forth.
    """
    failed_step = steps.current
    steps.context.cancel.clear()  # the way back must not be stopped by what stopped the way forth
    not_back = _roll_back(steps)
    if not not_back and steps.before is None:
        steps.start_again(wait=False)  # the platform is what it was; it may have been unwell
    if not not_back:
        with suppress(OSError):  # of a full disk: the note that is there says the same and names the same way back
            steps.file.put_back(steps.before)
    if steps.touched:
        raise _outcome(steps, failed_step, not_back, error) from error


def _roll_back(steps: Steps) -> str:
    """Restore every touched store from the safety backup; returns what could not be put back."""
    touched, safety = tuple(steps.touched), steps.result.safety
    if not touched:
        return ""
    if safety is None:
        return f"no safety backup of {', '.join(touched)}"
    failed: list[str] = []
    with steps.step(PUT_BACK, safety.id, failed=lambda: "; ".join(map(first_line, failed))):
        failed += _revive(steps)
        for name in touched:
            failed += _store_back(steps, name, safety)
    return "; ".join(failed)


def _revive(steps: Steps) -> list[str]:
    """A server that died during the restore has to run again before its data can be put back."""
    failed: list[str] = []
    for _ in range(2):  # it may still have been dying, and so counted as running, when it was first asked to start
        try:
            steps.start_stores()
        except Exception as error:  # noqa: BLE001 - reported; what can be put back must be
            failed = [str(error)]
        else:
            return []
    return failed


def _store_back(steps: Steps, name: StoreName, safety: Manifest) -> list[str]:
    """Put one store back; returns why it could not be, or nothing."""
    if not safety.of_store(name):
        return [f"{name}: no safety copy"]
    try:
        steps.restore_store(name, safety)
        steps.compare(safety, (name,))
    except Exception as error:  # noqa: BLE001 - reported; the other stores must be put back all the same
        return [] if _is_as_it_was(steps, name, safety) else [f"{name}: {_brief(error)}"]
    return []


def _brief(error: Exception) -> str:
    """Why, and what to do; without log lines, which the revival has told already."""
    if isinstance(error, ArchonError):
        return "; what to do: ".join(filter(None, [first_line(error), error.todo]))
    return f"{type(error).__name__}: {first_line(error)}"


def _is_as_it_was(steps: Steps, name: StoreName, safety: Manifest) -> bool:
    """A full disk can stop the putting back where it stopped the restore: before anything was changed."""
    if safety.fingerprint(name) is None:
        return False
    try:
        steps.compare(safety, (name,))
    except Exception:  # noqa: BLE001 - the error that stopped the putting back is the one to report
        return False
    return True


def _outcome(steps: Steps, failed_step: str, not_back: str, error: BaseException) -> ArchonError:
    if not_back:
        return RestoreFailed(
            f"the restore failed at '{failed_step}' and not everything could be put back: {not_back}",
            tried=f"first error: {error}",
            todo=f"the services that write stay stopped; {steps.journal.advice}",
        )
    safety = steps.result.safety
    back = f"{', '.join(steps.touched)} put back from safety backup {safety.id if safety else ''}, identical"
    if isinstance(error, Cancelled):
        return Cancelled(f"the restore was cancelled at '{failed_step}'; {back}")
    return RestoreFailed(
        f"the restore failed at '{failed_step}'; {back}",
        tried=str(error),
        todo=f"remove the cause, then: {steps.again}",
    )
