"""The file to go back to, also where the last change was killed, and somebody has written the file since."""

from __future__ import annotations

from archon_dagster.configuration import target
from archon_dagster.configuration.carrying import rest, undone
from archon_dagster.configuration.context import ConfigurationContext
from archon_dagster.configuration.journal import Journal
from archon_dagster.errors import ConfigurationError


def take_back_interrupted(context: ConfigurationContext) -> Journal | None:
    """A change that was killed: its file is taken back; which services it had replaced is in the journal."""
    journal, file = context.journal.read(), target.env_file(context.settings)
    if journal is None:
        return None
    history, live = context.history, target.read(file)
    record = next((one for one in history.all() if one.id == journal.record), None)
    if record is not None:
        before = history.before(record)
        if target.digest(live) == journal.after and target.digest(before) == journal.before:
            target.write(file, before)
        if record.result == "begun":
            history.end(record, "failed", detail=f"killed at '{journal.step}'; {journal.says(live)}")
    return journal


def file_before(context: ConfigurationContext, interrupted: Journal | None) -> bytes | None:
    """The file to go back to; what is live was put into the history before, whoever has written it."""
    live = target.read(target.env_file(context.settings))
    if interrupted is not None:
        return _before_killed(context, interrupted, live)
    for record in context.history.all():
        before, after = context.history.before(record), context.history.after(record)
        if record.result in ("applied", "seen") and rest(after) == rest(live):
            back = undone(before, after, live)
            if back != live:
                return back
    raise ConfigurationError(
        "there is no change that could be undone; nothing was touched",
        where=str(context.history.folder),
        todo="see what there is: archon config history",
    )


def _before_killed(context: ConfigurationContext, killed: Journal, live: bytes | None) -> bytes | None:
    """What was there before a change that was killed, whoever has written the file since."""
    if target.digest(live) == killed.before:
        return live  # it was never written, or was taken back already
    record = next((one for one in context.history.all() if one.id == killed.record), None)
    before = context.history.before(record) if record else None
    if record is None or target.digest(before) != killed.before:
        raise ConfigurationError(
            f"the file before the change {killed.record}, which was killed, is not kept; nothing was touched",
            where=str(context.history.folder),
            todo="write the file that is wanted, then: archon config apply FILE --confirm APPLY",
        )
    return undone(before, context.history.after(record), live)
