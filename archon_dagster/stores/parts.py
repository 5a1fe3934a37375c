"""One part of a store: a collection, the nodes of a label, a table.

A store that has parts (:class:`Divisible`) gives each as a store of its own (:class:`PartStore`), so that whatever
works on stores (safety backup, comparison, way back) works on a part in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from archon_dagster.repository.manifest import Fingerprint
from archon_dagster.stores.base import Store, Work

PART = "part"
"""In the details of an artifact: the kinds and names of the only parts of the store that the backup holds."""


class PartStore(Store, Protocol):
    """The verbs of a store, kept to one of its parts: a collection, a label or a table, perhaps under a new name.

    What is restored this way takes nothing else away. ``describe`` counts the live part alone, an export holds no
    other, and restoring such an export replaces no other either.

    :ivar kept: what the backup calls it; :ivar live: what the live store calls it.
    :ivar left_out: what a restore of the part does not bring along or leaves as it is, readable.
    """

    kept: str
    live: str

    @property
    def left_out(self) -> tuple[str, ...]: ...

    def exists(self) -> bool:
        """Whether the live store has something of that name already."""
        ...

    def replaces(self) -> bool:
        """Whether a restore replaces what is there; else it only adds, and refuses where the name is taken."""
        ...

    def captured(self, counts: Mapping[str, int], fingerprint: Fingerprint) -> int | None:
        """Records of the part in a backup with these counts and this fingerprint; ``None`` where it has none."""
        ...

    def share(self, fingerprint: Fingerprint) -> Fingerprint:
        """What of a backup's fingerprint is the part, under its live name; what only a restore can tell is left out."""
        ...

    def discard(self, work: Work) -> None:
        """Remove what a restore has added."""
        ...


@runtime_checkable
class Divisible(Protocol):
    """A store whose parts can be restored one by one."""

    def part(self, name: str, new_name: str = "") -> PartStore:
        """One of its parts; nothing is contacted yet.

        :param new_name: what the restored part is called, where that is not its name in the backup.
        """
        ...
