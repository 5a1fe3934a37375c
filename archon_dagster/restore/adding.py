"""Add a part of a backup to a live store: nothing is replaced, so nothing has to be copied first.

Where it fails, what was made of it is removed again, and nothing that somebody else has made meanwhile.

Under a new name (:func:`add_beside`) it concerns nobody, so nothing is stopped and nothing noted: a restore that was
killed leaves what it had made so far, and the next one says that the name is taken. Under its own name
(:func:`add_back`) it is missed: a service may make an empty one at its next request. So the services that write are
stopped meanwhile, and a note on disk has them started again; it may be the note of a restore that was killed after it
had deleted the part, which is finished by this.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from archon_dagster.errors import ArchonError, Cancelled, RestoreFailed
from archon_dagster.repository.manifest import Manifest
from archon_dagster.restore.steps import Steps, first_line
from archon_dagster.restore.writers import stop_writers
from archon_dagster.stores.base import StoreName
from archon_dagster.stores.parts import PartStore

_AGAIN = "remove the cause, then type the same again"


def add_beside(steps: Steps, part: PartStore) -> None:
    """Check, add, compare; see the module.

    :raises RestoreFailed: it did not work; the live store is as it was, or the error says what stayed.
    """
    with steps.step("compare versions"):
        steps.preflight()
    _add(steps, part, steps.write)


def add_back(steps: Steps, part: PartStore, only: tuple[StoreName, ...]) -> None:
    """As :func:`add_beside`, while nobody writes; the note stays until the caller settles it.

    :raises ConfigurationError: a restore of something else was interrupted and comes first.
    """
    steps.begin(only)
    try:
        with steps.step("compare versions"):
            steps.preflight()
        with steps.step("stop the writers"):
            stop_writers(steps)
        _add(steps, part, steps.restore_store)
    except BaseException:
        steps.context.cancel.clear()  # what stopped the restore must not stop the starting again
        if steps.before is None:
            steps.start_again(wait=False)
        with suppress(OSError):  # of a full disk: the note that is there names the same command
            steps.file.put_back(steps.before)
        raise
    steps.start_again()


def _add(steps: Steps, part: PartStore, write: Callable[[StoreName, Manifest], None]) -> None:
    (name,) = steps.names
    try:
        with steps.step(f"restore {name}"):
            steps.renew()
            write(name, steps.manifest)
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
        todo=f"look at {part.live}, and remove it by hand if nobody needs it" if left else _AGAIN,
    )


def _discard(steps: Steps, part: PartStore) -> str:
    """Remove what was added; returns why that failed, or nothing."""
    try:
        with steps.context.work() as work:
            part.discard(work)
    except Exception as error:  # noqa: BLE001 - reported with the error that led here
        return first_line(error)
    return ""
