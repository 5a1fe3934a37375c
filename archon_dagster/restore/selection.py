"""One thing out of a backup: a collection, a label or a table, where wanted under a new name.

What an operator names is turned into a store that knows only this part, see :mod:`archon_dagster.stores.parts`, and
takes its store's place in the operation's context: the safety backup, the comparison and the way back of a restore then
concern the part and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from archon_dagster.backup.checks import counts_of
from archon_dagster.context import OperationContext
from archon_dagster.errors import BackupNotFound, ConfigurationError
from archon_dagster.repository.manifest import Fingerprint, Manifest
from archon_dagster.stores.base import StoreName
from archon_dagster.stores.parts import Divisible, PartStore
from archon_dagster.stores.relational.table import Table

PartKind = Literal["collection", "label", "table"]
STORE_OF: dict[PartKind, StoreName] = {"collection": "vectors", "label": "graph", "table": "relational"}


@dataclass(frozen=True)
class Selection:
    """What an operator has asked for.

    :param new_name: what it is called afterwards; empty: as in the backup.
    """

    kind: PartKind
    name: str
    new_name: str = ""

    @property
    def store(self) -> StoreName:
        return STORE_OF[self.kind]

    @property
    def options(self) -> tuple[str, ...]:
        """The words of a command that ask for it."""
        return (f"--{self.kind}", self.name, *(("--as", self.new_name) if self.new_name else ()))

    @property
    def back(self) -> Selection:
        """The same part as the live store calls it."""
        return Selection(self.kind, self.new_name or self.name)

    def __str__(self) -> str:
        return f"{self.kind} {self.name}" + (f" as {self.new_name}" if self.new_name else "")


def selection_of(collection: str = "", label: str = "", table: str = "", new_name: str = "") -> Selection | None:
    """What was named; ``None`` where nothing was."""
    named: dict[PartKind, str] = {"collection": collection, "label": label, "table": table}
    given: list[PartKind] = [kind for kind, name in named.items() if name]
    if len(given) > 1:
        raise ConfigurationError(
            f"a {' and a '.join(given)} at once", todo="restore one after the other; nothing was touched"
        )
    if not given:
        if new_name:
            raise ConfigurationError(
                f"what is to be called {new_name}?", todo="name it with --collection, --label or --table"
            )
        return None
    if new_name == named[given[0]]:
        raise ConfigurationError(
            f"{new_name} is its name already", todo="leave --as out to restore it under its own name"
        )
    return Selection(given[0], named[given[0]], new_name)


def stores_of(selection: Selection | None, only: Sequence[StoreName]) -> tuple[StoreName, ...]:
    """The stores that are asked for: that of the selection, or those of ``--only``."""
    if selection is None:
        return tuple(only)
    if only and set(only) != {selection.store}:
        raise ConfigurationError(
            f"a {selection.kind} is of the {selection.store}, --only names {', '.join(only)}", todo="leave --only out"
        )
    return (selection.store,)


def part_of(context: OperationContext, selection: Selection) -> PartStore:
    """The part of the live store."""
    store = context.stores[selection.store]
    if not isinstance(store, Divisible):
        raise ConfigurationError(f"the store {selection.store} has no parts that can be restored by themselves")
    return store.part(selection.name, selection.new_name)


def narrowed(context: OperationContext, selection: Selection, part: PartStore) -> OperationContext:
    """The same context, with the part in the place of its store."""
    return replace(context, stores={**context.stores, selection.store: part})


def captured(manifest: Manifest, selection: Selection, part: PartStore) -> int:
    """Records of the part in the backup; raises :class:`BackupNotFound` where it does not have it."""
    promised = manifest.fingerprint(selection.store) or Fingerprint(parts={})
    counts = counts_of(manifest, selection.store)
    found = part.captured(counts, promised)
    if found is None:
        raise BackupNotFound(
            f"backup {manifest.id} has no {selection.kind} {selection.name}",
            tried=f"it has {', '.join(_names(selection, counts, promised)) or 'none'}",
            todo="name one of these, or another backup (archon backups)",
        )
    return found


def _names(selection: Selection, counts: dict[str, int], promised: Fingerprint) -> list[str]:
    if selection.kind == "table":
        return sorted(Table.counted(name).typed for name in counts.keys() - {"roles"})
    if selection.kind == "collection":
        return sorted(counts)
    sets = [name.removeprefix("nodes/").split(":") for name in promised.parts if name.startswith("nodes/")]
    return sorted({label for labels in sets for label in labels if label})
