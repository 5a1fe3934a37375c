"""What a restore would do, without doing it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from archon_dagster.backup.checks import counts_of
from archon_dagster.context import OperationContext
from archon_dagster.errors import BackupNotFound, ConfigurationError, StoreError
from archon_dagster.platform.absence import HOW_TO_START, absent, names_of
from archon_dagster.platform.quiesce import running_writers
from archon_dagster.platform.services import Service
from archon_dagster.repository.manifest import Manifest
from archon_dagster.restore import measured
from archon_dagster.restore.request import command
from archon_dagster.stores.base import STORES, StoreName

ROLES = "roles"  # of a PostgreSQL server: it has them beside its databases, and a restore only adds to them
_ROLES_NOTE = "roles of the PostgreSQL server: those that are missing are created, the others stay as they are"


@dataclass(frozen=True)
class PartChange:
    """One collection, label set or table.

    :param now: records it has; :param after: records it will have; ``None``: it is not there, or (``now``) not known.
    :param effect: what happens to it, in a few words.
    """

    store: StoreName
    part: str
    now: int | None
    after: int | None
    effect: str


@dataclass(frozen=True)
class RestorePlan:
    """A restore, described.

    :param age: seconds between the capture and now: what was written since then is lost (kept in the safety backup).
    :param stops: writers that will be stopped meanwhile.
    :param unreachable: stores that do not answer, and why: what they hold now is not known.
    :param start_first: servers that have to be started before, and what to type; empty where none has.
    :param notes: what the counts cannot say.
    :param command: what to type to do it.
    :param estimate: seconds the last restore of the same stores took; ``None`` if there was none yet.
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


def resolve(
    context: OperationContext, selector: str, only: Sequence[StoreName]
) -> tuple[Manifest, tuple[StoreName, ...]]:
    """The backup a selector means, and which of its stores to restore (``only``, or all it has)."""
    unknown = [name for name in only if name not in STORES]
    if unknown:
        raise ConfigurationError(f"unknown store: {', '.join(unknown)}", todo=f"name some of {', '.join(STORES)}")
    asked = tuple(only) or (STORES if selector == "latest" else None)  # latest of everything, unless said otherwise
    manifest = context.repository.resolve(selector, stores=asked)
    missing = [name for name in only if not manifest.of_store(name)]
    if missing:
        raise BackupNotFound(
            f"backup {manifest.id} does not contain {', '.join(missing)}",
            where=context.settings.repository,
            todo=f"choose another backup (archon backups), or restore only {', '.join(manifest.stores)}",
        )
    names = tuple(name for name in STORES if manifest.of_store(name) and (not only or name in only))
    return manifest, names


def make_plan(context: OperationContext, selector: str, only: Sequence[StoreName] = ()) -> RestorePlan:
    """Say what restoring would change; reads the live counts, changes nothing."""
    manifest, names = resolve(context, selector, only)
    missing = absent(names, context.settings, context.runtime)
    live, unreachable = _ask(context, names, missing)
    return RestorePlan(
        backup=manifest,
        stores=names,
        changes=tuple(change for name in names for change in _changes(name, manifest, live.get(name))),
        age=(datetime.now(UTC) - manifest.window.start).total_seconds(),
        stops=running_writers(context.runtime),
        unreachable=unreachable,
        command=command(manifest.id, only),
        estimate=measured.last(context.repository, names),
        start_first=f"{names_of(missing)}: {HOW_TO_START[context.runtime.kind]}" if missing else "",
        notes=(_ROLES_NOTE,) if "relational" in names and ROLES in counts_of(manifest, "relational") else (),
    )


def _ask(
    context: OperationContext, names: Sequence[StoreName], missing: Sequence[Service]
) -> tuple[dict[StoreName, Mapping[str, int]], dict[StoreName, str]]:
    """What the live stores hold, and those that do not answer."""
    live: dict[StoreName, Mapping[str, int]] = {}
    down = {service.store: f"{service.name} is not running" for service in missing}
    unreachable: dict[StoreName, str] = {name: down[name] for name in names if name in down}
    for name in names:
        if name in unreachable:
            continue
        try:
            live[name] = context.stores[name].describe().counts
        except StoreError as error:
            unreachable[name] = str(error).splitlines()[0]
    return live, unreachable


def _changes(store: StoreName, manifest: Manifest, live: Mapping[str, int] | None) -> list[PartChange]:
    """What happens to each part of a store; ``live`` is ``None`` where it does not answer."""
    after = {
        part: count for part, count in counts_of(manifest, store).items() if (store, part) != ("relational", ROLES)
    }
    if live is None:
        return [
            PartChange(store, part, None, count, "what is there now is not known")
            for part, count in sorted(after.items())
        ]
    return [
        PartChange(store, part, live.get(part), after.get(part), _effect(part, live, after))
        for part in sorted(live.keys() | after)
    ]


def _effect(part: str, live: Mapping[str, int], after: Mapping[str, int]) -> str:
    if part not in live:
        return "comes back"
    return "is replaced" if part in after else "is removed"
