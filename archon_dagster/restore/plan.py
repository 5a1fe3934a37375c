"""What a restore would do, without doing it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from archon_dagster.context import OperationContext
from archon_dagster.errors import StoreError
from archon_dagster.platform.absence import HOW_TO_START, absent, names_of
from archon_dagster.platform.quiesce import running_writers
from archon_dagster.platform.services import Service
from archon_dagster.repository.manifest import Manifest
from archon_dagster.restore import measured
from archon_dagster.restore.changes import (
    ADDED,
    TAKEN,
    PartChange,
    notes_of,
    part_changes,
    untouched,
    whole_changes,
)
from archon_dagster.restore.request import RestoreRequest, command, options_of
from archon_dagster.restore.routes import by_points
from archon_dagster.restore.scope import scope_of
from archon_dagster.restore.selection import Selection
from archon_dagster.stores.base import Description, StoreName

__all__ = ["Foreign", "PartChange", "RestorePlan", "make_plan"]


@dataclass(frozen=True)
class RestorePlan:
    """A restore, described.

    :param dump: the file or directory of another tool that it would be imported from first; ``backup`` is what that
        would become, and is in no repository. Empty: a backup of ours.
    :param age: seconds between the capture and now: what was written since then is lost (kept in the safety backup).
    :param stops: writers that will be stopped meanwhile.
    :param unreachable: stores that do not answer, and why: what they hold now is not known.
    :param start_first: servers that have to be started before, and what to type; empty where none has.
    :param notes: what the counts cannot say.
    :param command: what to type to do it.
    :param target: where it goes; empty: into this platform.
    :param adds: nothing is replaced.
    :param untouched: what of the backup, and of the live store, the restore does not concern.
    :param estimate: seconds it should take; ``None`` if nothing like it was measured yet.
    :param estimated_from: how the estimate is known.
    """

    backup: Manifest
    stores: tuple[StoreName, ...]
    changes: tuple[PartChange, ...]
    age: float
    stops: tuple[str, ...]
    unreachable: dict[StoreName, str]
    command: str
    estimate: float | None = None
    start_first: str = ""
    notes: tuple[str, ...] = ()
    estimated_from: str = ""
    target: str = ""
    adds: bool = False
    untouched: tuple[str, ...] = ()
    dump: str = ""

    @property
    def refused(self) -> bool:
        """The restore would be refused, because the name is taken."""
        return any(change.effect == TAKEN for change in self.changes)

    @property
    def fewer(self) -> int:
        """Records that go for certain: where there are more now than there will be. Who was replaced nobody counts."""
        if self.adds or self.refused:
            return 0
        return sum(max(0, change.now - (change.after or 0)) for change in self.changes if change.now is not None)


@dataclass(frozen=True)
class Foreign:
    """A backup of another tool, as it would be imported. :param words: what names it in a command."""

    path: Path
    manifest: Manifest
    words: str


def make_plan(
    context: OperationContext, selector: str, only: Sequence[StoreName] = (), *, target: str = "",
    selection: Selection | None = None, portable: bool = False, foreign: Foreign | None = None,
) -> RestorePlan:  # fmt: skip
    """Say what restoring would change; reads the live counts, changes nothing.

    :param foreign: what would be imported and restored, instead of the backup that ``selector`` means.
    """
    request = RestoreRequest(selector, "", tuple(only), portable=portable, target=target, selection=selection)
    scope = scope_of(context, request, foreign.manifest if foreign else None)
    there, manifest, names = scope.context, scope.manifest, scope.names
    missing = absent(names, there.settings, there.runtime)
    live, unreachable = _ask(there, names, missing)
    counts = {name: description.counts for name, description in live.items()}
    version = live["vectors"].version if "vectors" in live else ""
    points = "vectors" in names and by_points(manifest, version, asked=portable)
    changes = part_changes(scope, counts) if scope.part else whole_changes(manifest, names, counts)
    options = (*options_of(scope.place.target, selection), *(("--portable",) if portable else ()))
    adds = scope.part is not None and all(change.effect.startswith(ADDED) for change in changes)
    beside = scope.part is not None and scope.part.live != scope.part.kept
    stops = () if adds and beside else running_writers(there.runtime)
    omitted = _omitted(adds=adds, beside=adds and beside, stops=stops)
    estimate = measured.estimate(context.repository, scope, by_points=points, alike=foreign is None, omitted=omitted)
    return RestorePlan(
        backup=manifest,
        stores=names,
        changes=changes,
        age=(datetime.now(UTC) - manifest.window.start).total_seconds(),
        stops=stops,
        unreachable=unreachable,
        command=command(foreign.words if foreign else manifest.id, only, options),
        estimate=estimate.seconds if estimate else None,
        estimated_from=estimate.how if estimate else "",
        start_first=f"{names_of(missing)}: {HOW_TO_START[there.runtime.kind]}" if missing else "",
        notes=tuple(notes_of(scope, counts, version, by_points=points)),
        target=scope.place.target,
        adds=adds,
        untouched=untouched(scope),
        dump=str(foreign.path) if foreign else "",
    )


def _omitted(*, adds: bool, beside: bool, stops: Sequence[str]) -> set[str]:
    """The steps that such a restore does not take: nothing is copied where nothing is replaced."""
    omitted = {measured.SAFETY} if adds else set()
    omitted |= {measured.STOP} if beside else set()
    return omitted | (set() if stops else {measured.START})


def _ask(
    context: OperationContext, names: Sequence[StoreName], missing: Sequence[Service]
) -> tuple[dict[StoreName, Description], dict[StoreName, str]]:
    """What the live stores hold, and those that do not answer."""
    live: dict[StoreName, Description] = {}
    down = {service.store: f"{service.name} is not running" for service in missing}
    unreachable: dict[StoreName, str] = {name: down[name] for name in names if name in down}
    for name in names:
        if name in unreachable:
            continue
        try:
            live[name] = context.stores[name].describe()
        except StoreError as error:
            unreachable[name] = str(error).splitlines()[0]
    return live, unreachable
