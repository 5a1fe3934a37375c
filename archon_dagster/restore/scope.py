"""What a request comes to: which backup, which of its stores or which part of one, and where it goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from archon_dagster.context import OperationContext
from archon_dagster.errors import BackupNotFound, ConfigurationError
from archon_dagster.repository.check_state import state_of
from archon_dagster.repository.manifest import Manifest
from archon_dagster.restore.request import RestoreRequest, command
from archon_dagster.restore.selection import Selection, captured, narrowed, part_of, stores_of
from archon_dagster.restore.target import Place, missing_at, open_place, stores_at
from archon_dagster.stores.base import STORES, StoreName
from archon_dagster.stores.parts import PART, PartStore


@dataclass(frozen=True)
class Scope:
    """See the module.

    :param names: the stores of the backup that are restored.
    :param part: the part of the only store, where no more than that is restored; it stands for its store in
        ``context``.
    :param notes: what an operator should know of all this.
    """

    place: Place
    context: OperationContext
    manifest: Manifest
    names: tuple[StoreName, ...]
    selection: Selection | None = None
    part: PartStore | None = None
    notes: tuple[str, ...] = ()


def scope_of(context: OperationContext, request: RestoreRequest, foreign: Manifest | None = None) -> Scope:
    """Find it out; the repository is asked, and no server.

    :param foreign: a backup that is in no repository, to plan with instead of the one the request names.
    """
    place = open_place(context, request.target)
    only = stores_of(request.selection, request.only)
    if foreign is None:
        manifest, found = resolve(place.context, request.selector, only)
    else:
        manifest, found = foreign, stores_in(foreign, only, request.selector)
    names = stores_at(place, found, only)
    notes = (*place.notes, *(() if only else missing_at(place, found)), *_careful(context, manifest))
    if request.selection is None:
        _refuse_parts(manifest, names)
        return Scope(place, place.context, manifest, names, notes=notes)
    part = part_of(place.context, request.selection)
    captured(manifest, request.selection, part)
    context = narrowed(place.context, request.selection, part)
    return Scope(place, context, manifest, names, request.selection, part, notes)


def _careful(context: OperationContext, manifest: Manifest) -> tuple[str, ...]:
    """Whoever names a backup that ``latest`` would not choose may know why, or not."""
    state = state_of(context.repository.checks(manifest.id))
    return () if state.reliable else (f"careful: backup {manifest.id} is not one to rely on: {state}",)


def _refuse_parts(manifest: Manifest, names: Sequence[StoreName]) -> None:
    """A safety backup of one part is no backup of its store: everything else would be taken for lost."""
    for name in names:
        for artifact in manifest.of_store(name):
            for kind, part in artifact.details.get(PART, ()):
                raise ConfigurationError(
                    f"of the {name}, backup {manifest.id} holds only the {kind} {part}; nothing was touched",
                    todo=f"name it: {command(manifest.id, options=(f'--{kind}', part))}",
                )


def resolve(
    context: OperationContext, selector: str, only: Sequence[StoreName]
) -> tuple[Manifest, tuple[StoreName, ...]]:
    """The backup a selector means, and which of its stores to restore (``only``, or all it has)."""
    unknown = [name for name in only if name not in STORES]
    if unknown:
        raise ConfigurationError(f"unknown store: {', '.join(unknown)}", todo=f"name some of {', '.join(STORES)}")
    asked = tuple(only) or (STORES if selector == "latest" else None)  # latest of everything, unless said otherwise
    manifest = context.repository.resolve(selector, stores=asked)
    return manifest, stores_in(manifest, only, context.settings.repository)


def stores_in(manifest: Manifest, only: Sequence[StoreName], where: str) -> tuple[StoreName, ...]:
    """Which stores of a backup to restore; raises where one that was asked for is not in it."""
    missing = [name for name in only if not manifest.of_store(name)]
    if missing:
        raise BackupNotFound(
            f"backup {manifest.id} does not contain {', '.join(missing)}",
            where=where,
            todo=f"choose another backup (archon backups), or restore only {', '.join(manifest.stores)}",
        )
    return tuple(name for name in STORES if manifest.of_store(name) and (not only or name in only))
