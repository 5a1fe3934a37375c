"""Change the platform's configuration: what ``archon config apply``, ``undo`` and the job ``update_configuration`` do.

Validate the new file -> what changes, and who reads it -> lock -> save the current file -> write the new one in one
step -> replace the services that read what changed, in the order of their dependencies, each well before the next ->
is everything as well as it was. What fails from the writing on is taken back: exactly the saved file, byte for byte,
and the same services again. Killed at any moment, there is one whole file, and the journal says which.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from archon_dagster.configuration import services, target
from archon_dagster.configuration.carrying import carried
from archon_dagster.configuration.context import ConfigurationContext
from archon_dagster.configuration.definitions import redefined
from archon_dagster.configuration.diff import Difference, difference
from archon_dagster.configuration.history import Record
from archon_dagster.configuration.journal import Journal
from archon_dagster.configuration.live import ask_servers, concerned
from archon_dagster.configuration.previous import file_before, take_back_interrupted
from archon_dagster.configuration.problem import Problem
from archon_dagster.configuration.returning import give_back
from archon_dagster.configuration.validation import Validation, read_file, validate
from archon_dagster.configuration.watching import note_by_hand
from archon_dagster.errors import ConfirmationMissing
from archon_dagster.platform.quiesce import thaw_leftovers
from archon_dagster.platform.runtime.compose_project import is_project
from archon_dagster.platform.usable_settings import FIXED_WHILE_LOADING
from archon_dagster.startup.alone import alone

CONFIRMATION = "APPLY"
CLEANUP_LIMIT = 600.0  # seconds: a change that is stopped puts the file and the services back
PURPOSE = "start with a new configuration"
"""Of the lock; what the health monitor reads as work that has services down for a moment begins with ``start``."""


@dataclass(frozen=True, slots=True)
class ApplyRequest:
    """:param offline: do not ask Ollama, Supabase and Qdrant, also where the change concerns them."""

    path: Path
    confirm: str = ""
    offline: bool = False


@dataclass(frozen=True)
class Change:
    """What a change came to, or would come to.

    :param replaced: the services that were, or would be, replaced, in order; :param waiting: those that read it too
        and do not run.
    :param unwell: services that were not well before and are not now, with what they say.
    :param record: its entry in the history; ``None`` for a plan, or where there was nothing to do.
    """

    kind: Literal["apply", "undo"]
    source: str
    difference: Difference
    replaced: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    unwell: dict[str, str] = field(default_factory=dict)
    record: Record | None = None
    notes: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def headline(self) -> str:
        """The whole in a sentence."""
        if self.record is None and not self.difference.lines and not self.replaced:
            return "nothing to do: the platform has this configuration already"
        count = len(self.difference.changes)
        what = f"{count} {'variable' if count == 1 else 'variables'}"
        who = ", ".join(self.replaced) or "no service"
        if self.record is None:
            return f"would change {what} and replace {who}{self._later}"
        done = "applied" if self.kind == "apply" else "undone"
        return f"{done}: {what} changed, {who} replaced, everything is as well as before{self._later}"

    @property
    def _later(self) -> str:
        """What has no effect yet: no service reads it, and Dagster has read it already."""
        names = [one.key for one in self.difference.changes if one.key in FIXED_WHILE_LOADING]
        return f"; restart Dagster, which goes by the old {', '.join(names)} until then" if names else ""


def plan(context: ConfigurationContext, path: Path, *, offline: bool = False) -> Change:
    """What applying a file would do; changes nothing. Raises :class:`ConfigurationError` where it is not usable."""
    live = target.read(target.env_file(context.settings))
    content, kept = carried(read_file(path), live)
    change = _planned(context, "apply", str(path.resolve()), live, content, ())
    checked = _validated(context, content, str(path), change.difference, offline)
    return replace(change, problems=checked.problems, notes=_notes(kept))


def apply(context: ConfigurationContext, request: ApplyRequest) -> Change:
    """Make a file the platform's configuration; see the module.

    :raises ConfigurationError: the file is not usable. :raises RepositoryBusy: somebody else is at work.
    :raises ServiceError: a service is not well with it; says what was put back.
    """
    _require_confirmed(request.confirm, f"archon config apply {request.path}")
    given, source, kept = read_file(request.path), str(request.path.resolve()), dict[str, str]()

    def content(_: Journal | None = None) -> bytes:
        made, of_now = carried(given, target.read(target.env_file(context.settings)))
        kept.clear()
        kept.update(of_now)
        return made

    with context.step("validate", source):
        found, new = target.read(target.env_file(context.settings)), content()
        checked = _validated(context, new, source, difference(found, new), request.offline)
    change = _alone(context, "apply", source, content)  # scaling may have gone on until the lock is held
    return replace(change, problems=checked.problems, notes=(*change.notes, *_notes(kept)))


def undo(context: ConfigurationContext, confirm: str = "") -> Change:
    """Go back to the file before the last change; where one was killed, to the file before that."""
    _require_confirmed(confirm, "archon config undo")
    return _alone(context, "undo", "", lambda interrupted: file_before(context, interrupted))


def _notes(kept: dict[str, str]) -> tuple[str, ...]:
    return tuple(
        f"{name}={value} stays as scaling has set it; a file that is to change it names it"
        for name, value in kept.items()
    )


def _require_confirmed(confirm: str, command: str) -> None:
    if confirm != CONFIRMATION:
        raise ConfirmationMissing(
            "a change of the configuration replaces running services and was not confirmed; nothing was touched",
            todo=f"{command} --confirm {CONFIRMATION}   (--plan shows what it would do)",
        )


def _validated(
    context: ConfigurationContext, content: bytes, where: str, changes: Difference, offline: bool
) -> Validation:
    checked = validate(content, where, composed=is_project(context.settings.project_dir))
    checked.raise_for_errors()
    servers = () if offline else concerned(change.key for change in changes.changes)
    if servers:
        checked = ask_servers(checked, context.settings, servers, context.check)
        checked.raise_for_errors()
    return checked


def _alone(
    context: ConfigurationContext, kind: Literal["apply", "undo"], source: str,
    content_of: Callable[[Journal | None], bytes | None],
) -> Change:  # fmt: skip
    services.require_services(context.runtime)
    with alone(context.settings, PURPOSE, context.check) as held:
        thaw_leftovers(context.settings, context.runtime)
        target.sweep(target.env_file(context.settings))
        interrupted = take_back_interrupted(context)
        note_by_hand(context.settings)
        live = target.read(target.env_file(context.settings))
        content = content_of(interrupted)
        change = _planned(context, kind, source, live, content, interrupted.services if interrupted else ())
        notes = [f"without the platform's lock: {held.trouble.partition(': started')[0]}"] if held.trouble else []
        if interrupted is not None:
            notes.append(f"the change of {interrupted.record} was killed at '{interrupted.step}'; it was taken back")
        change = replace(change, notes=tuple(notes))
        if content == live and interrupted is None:
            return change
        return _Work(context, change, live, content, interrupted).run()


def _planned(
    context: ConfigurationContext, kind: Literal["apply", "undo"], source: str,
    live: bytes | None, content: bytes | None, also: tuple[str, ...],
) -> Change:  # fmt: skip
    changes = difference(live, content)
    readers = {*changes.readers, *also, *redefined(context.settings, context.runtime, changes, live, content)}
    have = context.runtime.services() if readers else ()
    at_work = {*services.running(context.runtime), *also} if readers else set()
    replaced = tuple(name for name in have if name in readers and name in at_work)
    waiting = tuple(name for name in have if name in readers and name not in at_work)
    return Change(kind, source, changes, replaced, waiting)


@dataclass
class _Work:
    """The part that touches something; the caller holds the lock."""

    context: ConfigurationContext
    change: Change
    live: bytes | None
    content: bytes | None
    interrupted: Journal | None

    def run(self) -> Change:
        context, begin = self.context, time.monotonic()
        names = services.running(context.runtime)
        well = services.well_now(names, context.settings, context.runtime)
        if self.interrupted is not None:  # what it has made unwell was well before it
            names = tuple(dict.fromkeys((*names, *self.interrupted.services)))
            well |= frozenset(self.interrupted.well) & frozenset(names)
        with context.step("save the current file"):
            record = context.history.begin(
                self.change.kind, context.origin, self.change.source, self.live, self.content, self.change.difference
            )
            journal = context.journal.write(self._journal(record, well))
        try:
            unwell = self._put_in_place(journal, well, names)
        except BaseException as error:
            give_back(context, record, self.live, context.journal.read() or journal, error)
            raise
        ended = context.history.end(
            record, "applied", services=self.change.replaced, seconds=round(time.monotonic() - begin, 3)
        )
        context.history.note_known(self.content)
        context.journal.end()
        return replace(self.change, record=ended, unwell=unwell, seconds=time.monotonic() - begin)

    def _journal(self, record: Record, well: frozenset[str]) -> Journal:
        source = self.change.source if self.change.kind == "apply" else ""
        before, after = target.digest(self.live), target.digest(self.content)
        carried = self.interrupted.services if self.interrupted else ()
        return Journal(
            record=record.id, source=source, step="save the current file", before=before, after=after,
            services=carried, well=tuple(sorted(well)),
        )  # fmt: skip

    def _put_in_place(self, journal: Journal, well: frozenset[str], names: tuple[str, ...]) -> dict[str, str]:
        context, at = self.context, [journal]

        def note(step: str, also: tuple[str, ...] = ()) -> None:
            touched = tuple(dict.fromkeys((*at[0].services, *also)))
            at[0] = context.journal.write(at[0].model_copy(update={"step": step, "services": touched}))

        note("write the new file")
        with context.step("write the new file", "in one step"):
            target.write(target.env_file(context.settings), self.content)
        settings = context.reload()
        unwell = services.replace(
            self.change.replaced, settings, context.runtime, well, context.check, context.report,
            lambda these: note(f"replace {', '.join(these)}", these),
        )  # fmt: skip
        note("look whether all is well")
        with context.step("look whether all is well", f"{len(names)} services"):
            unwell |= services.wait_well(names, settings, context.runtime, well, context.check)
        return unwell
