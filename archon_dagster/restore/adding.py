"""Add a part of a backup to a live store: nothing is replaced, so nothing has to be stopped or copied first.

Where it fails, what was made of it is removed again. A restore that was killed leaves what it had made so far; the next
one says that the name is taken.
"""

from __future__ import annotations

from archon_dagster.errors import ArchonError, Cancelled, RestoreFailed
from archon_dagster.restore.steps import Steps, first_line
from archon_dagster.stores.parts import PartStore


def add_part(steps: Steps, part: PartStore) -> None:
    """Check, add, compare; see the module.

    :raises RestoreFailed: it did not work; the live store is as it was, or the error says what stayed.
    """
    with steps.step("compare versions"):
        steps.preflight()
    (name,) = steps.names
    try:
        with steps.step(f"restore {name}"):
            steps.renew()
            steps.write(name, steps.manifest)
        with steps.step("compare fingerprints"):
            steps.compare(steps.manifest, steps.names)
    except BaseException as error:
        raise _outcome(steps, part, error) from error
    steps.result.notes += [f"not restored: {what}" for what in part.left_out]


def _outcome(steps: Steps, part: PartStore, error: BaseException) -> ArchonError:
    failed = steps.current
    steps.context.cancel.clear()  # what stopped the restore must not stop the cleaning up
    left = _discard(steps, part)
    after = (
        f"{part.live} may have stayed in part: {left}"
        if left
        else "what it had made was removed, the rest is as it was"
    )
    if isinstance(error, Cancelled) and not left:
        return Cancelled(f"the restore was cancelled at '{failed}'; {after}")
    return RestoreFailed(
        f"the restore failed at '{failed}'; {after}",
        tried=str(error),
        todo=f"remove {part.live} by hand" if left else "remove the cause, then type the same again",
    )


def _discard(steps: Steps, part: PartStore) -> str:
    """Remove what was added; returns why that failed, or nothing."""
    try:
        with steps.context.work() as work:
            part.discard(work)
    except Exception as error:  # noqa: BLE001 - reported with the error that led here
        return first_line(error)
    return ""
