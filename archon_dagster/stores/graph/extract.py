"""Of a graph artifact, what belongs to one label: the nodes that carry it, and the relationships between these."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from archon_dagster.repository.manifest import Fingerprint
from archon_dagster.stores.base import ArtifactReader, Work
from archon_dagster.stores.graph.fingerprint import GraphDigest, canonical
from archon_dagster.stores.graph.idtable import IdTable
from archon_dagster.stores.graph.reading import BATCH
from archon_dagster.stores.graph.records import Node, Relationship, read_records
from archon_dagster.stores.graph.schema import SchemaObject
from archon_dagster.stores.graph.survey import Check

_ENUM = b'{"enum":'


class Extract:
    """Reads an artifact; with :meth:`survey` first, to know what :meth:`records` will hand out.

    :param label: what the backup calls it; :param live: the label the nodes get instead.
    :ivar enums: the enums whose values the nodes use, and perhaps others.
    :ivar left_out: relationships with one end in the label and one outside.
    :ivar others: labels the nodes carry besides, by how many carry them.
    """

    def __init__(self, label: str, live: str, work: Work):
        self._label, self._live, self._work = label, live, work
        self._digest = GraphDigest()
        self.enums: list[SchemaObject] = []
        self.left_out = 0
        self.others: Counter[str] = Counter()

    @property
    def nodes(self) -> int:
        return self._digest.counts["nodes"]

    @property
    def relationships(self) -> int:
        return self._digest.counts["relationships"]

    @property
    def fingerprint(self) -> Fingerprint:
        return without_schema(self._digest.fingerprint())

    def survey(self, stream: ArtifactReader, check: Check) -> None:
        """Read everything once, without a server.

        :param check: is shown what would be loaded, and may raise.
        """
        batch: list[Relationship] = []
        needs_enums = False
        for record in self.records(stream):
            check(record)
            needs_enums = needs_enums or _ENUM in record.line
            if isinstance(record, Node):
                self._digest.node(record.id, record.labels, canonical(record.properties))
                self.others.update(label for label in record.labels if label != self._live)
                continue
            batch.append(record)
            if len(batch) == BATCH:
                self._relate(batch)
        self._relate(batch)
        self.enums = self.enums if needs_enums else []

    def _relate(self, batch: list[Relationship]) -> None:
        self._digest.relate([(one.type, one.start, one.end, canonical(one.properties)) for one in batch])
        batch.clear()

    def records(self, stream: ArtifactReader) -> Iterator[Node | Relationship]:
        """The nodes, with their new label, then the relationships between them."""
        ids, frozen = IdTable(1), False
        batch: list[Relationship] = []
        self.left_out, self.enums = 0, []
        for number, record in enumerate(read_records(stream)):
            if number % BATCH == 0:
                self._work.check()
            if isinstance(record, Node):
                if self._label in record.labels:
                    ids.add(record.id, b"\x01")
                    yield replace(record, labels=self._renamed(record.labels))
            elif isinstance(record, Relationship):
                if not frozen:
                    ids.freeze()
                    frozen = True
                batch.append(record)
                if len(batch) == BATCH:
                    yield from self._inside(batch, ids)
                    batch = []
            elif isinstance(record, SchemaObject) and record.kind == "enum":
                self.enums.append(record)
        if batch:
            yield from self._inside(batch, ids)

    def _renamed(self, labels: list[str]) -> list[str]:
        return list(dict.fromkeys(self._live if label == self._label else label for label in labels))

    def _inside(self, batch: list[Relationship], ids: IdTable) -> Iterator[Relationship]:
        starts, ends = ids.find([one.start for one in batch]), ids.find([one.end for one in batch])
        for one, start, end in zip(batch, starts, ends, strict=True):
            if start and end:
                yield one
            elif start or end:
                self.left_out += 1


def without_schema(found: Fingerprint) -> Fingerprint:
    """Indexes and constraints belong to the whole graph."""
    return found.model_copy(update={"parts": {name: part for name, part in found.parts.items() if name != "schema"}})
