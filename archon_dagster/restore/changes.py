"""What a restore changes, part by part, and what it leaves alone: the lines of a plan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from archon_dagster.backup.checks import counts_of
from archon_dagster.repository.manifest import Fingerprint, Manifest
from archon_dagster.restore.routes import snapshots_load
from archon_dagster.restore.scope import Scope
from archon_dagster.stores.base import STORES, StoreName

Counts = Mapping[StoreName, Mapping[str, int]]
"""What each live store holds; a store that does not answer is not in it."""

ROLES = "roles"  # of a PostgreSQL server: it has them beside its databases, and a restore only adds to them
ADDED, TAKEN, UNKNOWN = "is added", "is refused: the name is taken", "what is there now is not known"
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


def whole_changes(manifest: Manifest, names: Sequence[StoreName], live: Counts) -> tuple[PartChange, ...]:
    """Of a restore of whole stores."""
    return tuple(change for name in names for change in _changes(name, manifest, live.get(name)))


def part_changes(scope: Scope, live: Counts) -> tuple[PartChange, ...]:
    """Of a restore of one part: what comes, and what it replaces."""
    part, selection = scope.part, scope.selection
    assert part is not None
    assert selection is not None
    store = selection.store
    after = part.captured(counts_of(scope.manifest, store), promised_by(scope))
    if store not in live:
        return (PartChange(store, part.live, None, after, UNKNOWN),)
    now, there = live[store].get(part.live), part.exists()
    if not there:
        effect = ADDED + (f", from {part.kept}" if part.kept != part.live else "")
    else:
        effect = "is replaced" if part.replaces() else TAKEN
    return (PartChange(store, part.live, now, after, effect),)


def untouched(scope: Scope) -> tuple[str, ...]:
    """What stays as it is."""
    others = tuple(name for name in STORES if name not in scope.names)
    if scope.selection is None:
        return others
    return (f"everything else of the {scope.selection.store}", *others)


def notes_of(scope: Scope, live: Counts, version: str, *, by_points: bool) -> Iterator[str]:
    """What the counts cannot say.

    :param version: of the live vector server, where it answers.
    """
    yield from scope.notes
    if scope.part is None:
        if "relational" in scope.names and ROLES in counts_of(scope.manifest, "relational"):
            yield _ROLES_NOTE
    elif scope.names[0] in live:
        yield from (f"not restored: {what}" for what in scope.part.left_out)
    if scope.manifest.kind == "safety" and scope.manifest.note:
        yield f"this safety backup was taken {scope.manifest.note}"
    if by_points:
        yield "the vectors go point by point, from their portable copies; their search index is then built anew"
    elif "vectors" in scope.names and version and not snapshots_load(scope.manifest, version):
        made_on = scope.manifest.versions["vectors"]
        yield f"the vectors cannot go onto {version}: their snapshots are of {made_on}, and have no portable copies"


def promised_by(scope: Scope) -> Fingerprint:
    """The fingerprint of the store in the backup."""
    return scope.manifest.fingerprint(scope.names[0]) or Fingerprint(parts={})


def _changes(store: StoreName, manifest: Manifest, live: Mapping[str, int] | None) -> list[PartChange]:
    """What happens to each part of a store; ``live`` is ``None`` where it does not answer."""
    after = {
        part: count for part, count in counts_of(manifest, store).items() if (store, part) != ("relational", ROLES)
    }
    if live is None:
        return [PartChange(store, part, None, count, UNKNOWN) for part, count in sorted(after.items())]
    return [
        PartChange(store, part, live.get(part), after.get(part), _effect(part, live, after))
        for part in sorted(live.keys() | after)
    ]


def _effect(part: str, live: Mapping[str, int], after: Mapping[str, int]) -> str:
    if part not in live:
        return "comes back"
    return "is replaced" if part in after else "is removed"
