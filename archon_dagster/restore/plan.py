"""What a restore would do, without doing it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from archon_dagster.backup.checks import counts_of
from archon_dagster.context import OperationContext
from archon_dagster.errors import BackupNotFound, ConfigurationError, StoreError
from archon_dagster.platform.quiesce import running_writers
from archon_dagster.repository.manifest import Manifest
from archon_dagster.stores.base import STORES, StoreName

LOOK_BACK = 50  # backups searched for a measured restore


@dataclass(frozen=True)
class PartChange:
    """One collection, label set or table: records live now and records after the restore (``None`` = absent)."""

    store: StoreName
    part: str
    now: int | None
    after: int | None

    @property
    def effect(self) -> str:
        """In a word: what happens to it."""
        if self.now is None:
            return "comes back"
        if self.after is None:
            return "is removed"
        return "is replaced"


@dataclass(frozen=True)
class RestorePlan:
    """A restore, described.

    :param age: seconds between the capture and now: what was written since then is lost (kept in the safety backup).
    :param stops: writers that will be stopped meanwhile.
    :param command: what to type to do it.
    :param estimate: seconds, from the bytes to move and the last measured rates; ``None`` if nothing was measured yet.
    """

    backup: Manifest
    stores: tuple[StoreName, ...]
    changes: tuple[PartChange, ...]
    age: float
    stops: tuple[str, ...]
    unreachable: dict[StoreName, str]
    command: str
    estimate: float | None = None


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
    changes: list[PartChange] = []
    unreachable: dict[StoreName, str] = {}
    for name in names:
        try:
            now = context.stores[name].describe().counts
        except StoreError as error:
            now, unreachable[name] = {}, str(error).splitlines()[0]
        after = counts_of(manifest, name)
        changes += [PartChange(name, part, now.get(part), after.get(part)) for part in sorted(now.keys() | after)]
    return RestorePlan(
        backup=manifest,
        stores=names,
        changes=tuple(changes),
        age=(datetime.now(UTC) - manifest.window.start).total_seconds(),
        stops=running_writers(context.runtime),
        unreachable=unreachable,
        command=f"archon restore {manifest.id} --confirm RESTORE" + "".join(f" --only {name}" for name in only),
        estimate=_last_measured(context),
    )


def _last_measured(context: OperationContext) -> float | None:
    """Seconds the newest restore took, whichever backup it restored."""
    restores = [
        check
        for entry in context.repository.backups()[:LOOK_BACK]
        for check in context.repository.checks(entry.id)
        if check.name == "restore"
    ]
    return max(restores, key=lambda check: check.time).seconds if restores else None
