"""Take a change back that did not work out: the saved file, byte for byte, and the services as they were."""

from __future__ import annotations

from archon_dagster.configuration import services, target
from archon_dagster.configuration.context import ConfigurationContext
from archon_dagster.configuration.history import Record
from archon_dagster.configuration.journal import Journal
from archon_dagster.context import Step
from archon_dagster.errors import ArchonError, Cancelled, ServiceError


def give_back(
    context: ConfigurationContext, record: Record, before: bytes | None, journal: Journal, error: BaseException
) -> None:
    """Put the saved file back and give the touched services its environment; not to be cancelled.

    :raises ServiceError: or :class:`Cancelled`, always: what failed first, and what was put back.
    """
    context.report(Step("take it back", "the saved file, and the services that had another one"))
    why = str(error).partition("\n")[0] or type(error).__name__
    try:
        target.write(target.env_file(context.settings), before)
        settings, touched = context.reload(), journal.services
        well = frozenset(journal.well)
        running = services.running(context.runtime)
        # a service that the new file has killed does not run any more, and must again
        names = [name for name in context.runtime.services() if name in touched]
        services.replace(names, settings, context.runtime, well, _go_on, context.report, lambda _: None)
        services.wait_well([one for one in running if one in well], settings, context.runtime, well, _go_on)
    except ArchonError as second:
        context.history.end(record, "failed", detail=f"{why}; and then: {second.what.partition(chr(10))[0]}")
        raise ServiceError(
            f"the new configuration was not kept ({why}), and going back did not succeed: {second}",
            where=str(target.env_file(context.settings)),
            tried=journal.says(target.read(target.env_file(context.settings))),
            todo="look at that service's log, then: archon config undo --confirm APPLY   (it goes on from here)",
        ) from error
    context.history.end(record, "returned", detail=why, services=tuple(names))
    context.history.note_known(before)
    context.journal.end()
    put_back = "the file before is back, byte for byte"
    put_back += f", and {', '.join(names)} run with it and are as well as before" if names else ""
    context.report(Step("take it back", put_back, 0.0))
    if isinstance(error, Cancelled):
        raise Cancelled(error.what, tried=put_back, todo="start it again; nothing has to be repaired") from error
    if isinstance(error, ArchonError):
        raise ServiceError(
            f"the new configuration was not kept: {error.what}",
            where=error.where,
            tried=put_back,
            todo=f"correct the file and apply it again; both files are in {context.history.folder / record.id}",
        ) from error


def _go_on() -> None:
    """Going back is not cancelled half way."""
