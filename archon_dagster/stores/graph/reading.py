"""Reads a whole live graph, once, for the export and for the live fingerprint alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from archon_dagster.errors import StoreError
from archon_dagster.stores.graph.connection import Bolt, Reader
from archon_dagster.stores.graph.dialect import Dialect, State
from archon_dagster.stores.graph.fingerprint import GraphDigest, Relationship, canonical
from archon_dagster.stores.graph.idtable import DuplicateId
from archon_dagster.stores.graph.meter import Meter
from archon_dagster.stores.graph.schema import SchemaObject
from archon_dagster.stores.graph.values import UnsupportedValue, encode_properties

BATCH = 1000  # relationships looked up at a time


class Receiver(Protocol):
    """Told of everything that is read, in order."""

    def schema(self, item: SchemaObject) -> None: ...
    def node(self, node: int, labels: list[str], properties: str) -> None: ...
    def relationship(self, kind: str, start: int, end: int, properties: str) -> None: ...


class GraphReading:
    """One reading of a live graph.

    :ivar left_out: relationships to nodes that did not exist yet when the nodes were read; only where the server's
        read transactions are not repeatable and somebody wrote meanwhile.
    """

    def __init__(self, bolt: Bolt, dialect: Dialect, state: State):
        self._bolt, self._dialect, self._state = bolt, dialect, state
        self.digest = GraphDigest()
        self.objects: list[SchemaObject] = []
        self.left_out = 0

    def run(
        self,
        to: Receiver,
        captured: Callable[[], None] = lambda: None,
        last: Callable[[Reader], None] = lambda reader: None,
    ) -> None:
        """Read everything; ``captured`` is called as soon as no later write can get in.

        :param last: is called when all was read, with the transaction still open.
        """
        with self._bolt.reading("begin a read transaction") as reader:
            nodes = reader.rows(self._dialect.COUNT_NODES, "count the nodes")[0][0]
            relationships = reader.rows(self._dialect.COUNT_RELATIONSHIPS, "count the relationships")[0][0]
            if self._state.repeatable:
                captured()  # the transaction has its snapshot since its first answer
            self._schema(to)
            self._nodes(reader, to, nodes)
            self._relationships(reader, to, relationships)
            if not self._state.repeatable:
                captured()
            last(reader)

    def _schema(self, to: Receiver) -> None:
        """In a session of its own, while the transaction keeps schema statements out (Memgraph 3.2)."""
        self.objects = makeable(self._dialect, self._bolt)
        self.digest.schema(self.objects)
        for item in self.objects:
            to.schema(item)

    def _nodes(self, reader: Reader, to: Receiver, total: int) -> None:
        self._bolt.done = meter = Meter(self._bolt.work, "read nodes", total, "nodes")
        for node, labels, properties in reader.stream(self._dialect.NODES, "read the nodes"):
            text = self._encoded(properties, f"node {node} ({':'.join(labels)})")
            self.digest.node(node, labels, text)
            to.node(node, labels, text)
            meter.add()
        meter.report()
        try:
            self.digest.freeze()
        except DuplicateId as error:
            raise self._unstable(str(error)) from error

    def _relationships(self, reader: Reader, to: Receiver, total: int) -> None:
        self._bolt.done = meter = Meter(self._bolt.work, "read relationships", total, "relationships")
        batch: list[Relationship] = []
        for kind, start, end, properties in reader.stream(self._dialect.RELATIONSHIPS, "read the relationships"):
            batch.append((kind, start, end, self._encoded(properties, f"a relationship {kind} of node {start}")))
            if len(batch) == BATCH:
                self._add(batch, to, meter)
                batch = []
        self._add(batch, to, meter)
        meter.report()

    def _add(self, batch: list[Relationship], to: Receiver, meter: Meter) -> None:
        dangling = set(self.digest.relate(batch))
        if dangling and self._state.repeatable:
            kind, start, end, _ = batch[min(dangling)]
            raise self._unstable(f"{kind} from node {start} to node {end}: one of them was not among the nodes")
        self.left_out += len(dangling)
        for position, item in enumerate(batch):
            if position not in dangling:
                to.relationship(*item)
        meter.add(len(batch))

    def _encoded(self, properties: dict[str, Any], owner: str) -> str:
        try:
            return canonical(encode_properties(properties))
        except UnsupportedValue as error:
            raise StoreError(
                f"{owner}: {error}",
                where=self._bolt.endpoint.address,
                todo="this type of value cannot be backed up yet; change the property or report it",
            ) from error

    def _unstable(self, what: str) -> StoreError:
        return StoreError(
            f"the graph changed while it was read: {what}",
            where=self._bolt.endpoint.address,
            tried="one read transaction",
            todo="run it again while nothing writes (the backup pauses the writers unless told not to)",
        )


def makeable(dialect: Dialect, bolt: Bolt) -> list[SchemaObject]:
    """The live schema; what could not be made again is marked as such."""
    return [item if dialect.create(item) else item.unsupported() for item in dialect.schema(bolt)]


class Discard:
    """A receiver for those who only want the digest."""

    def schema(self, item: SchemaObject) -> None: ...
    def node(self, node: int, labels: list[str], properties: str) -> None: ...
    def relationship(self, kind: str, start: int, end: int, properties: str) -> None: ...
