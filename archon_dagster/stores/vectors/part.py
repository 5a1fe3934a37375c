"""One collection of a server, with the verbs of a store; see :class:`~archon_dagster.stores.parts.PartStore`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from archon_dagster.errors import StoreError
from archon_dagster.repository.manifest import Fingerprint
from archon_dagster.stores.base import Description, Source, Verdict, Work
from archon_dagster.stores.vectors import restoring, verification
from archon_dagster.stores.vectors.claiming import Claim, require_possible
from archon_dagster.stores.vectors.store import VectorStore

_PARTS = ("points", "schema")


class CollectionStore(VectorStore):
    """See the module.

    :param whole: the store of all collections of the same server.
    :param new_name: what the collection is called on the server, where that is not its name in the backup.
    """

    def __init__(self, whole: VectorStore, collection: str, new_name: str = "") -> None:
        self.__dict__.update(vars(whole))  # the same server, the same limits and the same ledger
        self.kept, self.live = collection, new_name or collection
        self.left_out = ("its aliases: they stay where they are",) if new_name else ()
        self._adds = bool(new_name)
        self._replacing: bool | None = None
        self._claim = Claim(self.live)
        self._export = replace(self._export, collections=(self.live,))
        self._restore = replace(self._restore, only=collection, new_name=new_name)

    def describe(self) -> Description:
        """As of all collections, with the count of this one alone."""
        found = super().describe()
        return replace(found, counts={k: v for k, v in found.counts.items() if k == self.live}, size_bytes=None)

    def exists(self) -> bool:
        with self._client() as client:
            return self.live in client.collections()

    def replaces(self) -> bool:
        """Decided once: a collection that somebody makes after that is not replaced."""
        if self._replacing is None:
            self._replacing = not self._adds and self.exists()
        return self._replacing

    def captured(self, counts: Mapping[str, int], fingerprint: Fingerprint) -> int | None:
        return counts.get(self.kept)

    def share(self, fingerprint: Fingerprint) -> Fingerprint:
        found = {f"{self.live}/{kind}": fingerprint.parts.get(f"{self.kept}/{kind}") for kind in _PARTS}
        return fingerprint.model_copy(update={"parts": {name: part for name, part in found.items() if part}})

    def fingerprint(self, work: Work) -> Fingerprint:
        found = self._read(work, [self.live])
        return found.model_copy(update={"parts": {k: v for k, v in found.parts.items() if k != "aliases"}})

    def verify(self, source: Source, work: Work) -> Iterable[Verdict]:
        """Only what the collection is restored from."""
        return verification.verify(source, work, self.kept)

    def preflight(self, source: Source, work: Work) -> None:
        """As of all collections; and a new name must be possible and free."""
        if self._adds:
            require_possible(self.live, self.address)
        if self._adds and self.exists():
            raise StoreError(
                f"there is a collection {self.live} already; nothing was touched",
                where=self.address,
                todo="choose another name (--as), or delete that collection if it is not needed (an interrupted "
                "restore may have left it)",
            )
        super().preflight(source, work)

    def restore(self, source: Source, work: Work) -> None:
        """Replace the collection, or add it under a name that is still free; see :mod:`~.claiming`."""
        options = self._restore if self.replaces() else replace(self._restore, claim=self._claim)
        with self._client(work.check) as client:
            restoring.restore(client, source, work, options)

    def discard(self, work: Work) -> None:
        """Remove the collection, if it was made here and nobody else has put anything into it."""
        with self._client(work.check) as client:
            self._claim.give_up(client)
