"""One label of a graph, with the verbs of a store; see :class:`~archon_dagster.stores.parts.PartStore`.

It is only ever added: to replace the nodes of a label, those that are there would have to go, and with them their
relationships to all other nodes, which nothing in the backup of one label could bring back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from archon_dagster.errors import DamagedBackup, StoreError
from archon_dagster.repository.manifest import Fingerprint
from archon_dagster.stores.base import Description, Sink, Source, Work
from archon_dagster.stores.graph.connection import Bolt
from archon_dagster.stores.graph.dialect import Dialect, quoted
from archon_dagster.stores.graph.extract import Extract, without_schema
from archon_dagster.stores.graph.load import Loader
from archon_dagster.stores.graph.made import Made, delete_made
from archon_dagster.stores.graph.records import BadRecord
from archon_dagster.stores.graph.store import GraphStore, acceptable, export_of, idle_work

_LEFT_OUT = (
    "relationships to and from nodes without the label",
    "indexes and constraints of the label",
)


class LabelStore(GraphStore):
    """See the module.

    :param whole: the store of the whole graph of the same server.
    :param new_name: the label that the nodes get instead, where they are to get another one.
    """

    left_out = _LEFT_OUT

    def __init__(self, whole: GraphStore, label: str, new_name: str = ""):
        self.__dict__.update(vars(whole))  # the same server, reached in the same way
        self.kept, self.live = label, new_name or label
        self._made = Made()

    def describe(self) -> Description:
        with self._connected(idle_work()) as (bolt, dialect):
            count = bolt.rows(dialect.COUNT_NODES, "count the nodes")[0][0]
        return Description(
            store="graph",
            version=str(dialect),
            address=self._endpoint.address,
            counts={self.live: count} if count else {},
        )

    def exists(self) -> bool:
        return bool(self.describe().counts)

    def replaces(self) -> bool:
        return False

    def captured(self, counts: Mapping[str, int], fingerprint: Fingerprint) -> int | None:
        """Nodes; read from the names of the fingerprint's parts, which are the sets of labels."""
        mark = f":{self.kept}:"
        found = [
            part.count
            for name, part in fingerprint.parts.items()
            if name.startswith("nodes/") and mark in f":{name.removeprefix('nodes/')}:"
        ]
        return sum(found) if found else None

    def share(self, fingerprint: Fingerprint) -> Fingerprint:
        """Nothing: which relationships belong to the label is known when the artifact has been read."""
        return fingerprint.model_copy(update={"parts": {}})

    def fingerprint(self, work: Work) -> Fingerprint:
        return without_schema(super().fingerprint(work))

    def export(self, sink: Sink, work: Work) -> None:
        raise StoreError("a label by itself cannot be backed up", where=self._endpoint.address)

    def preflight(self, source: Source, work: Work) -> None:
        """Whether nothing has the label yet, no trigger would fire, and the server takes every value."""
        with self._connected(work) as (bolt, dialect):
            self._require_room(bolt, dialect)
            self._extracted(source, work, bolt, dialect)

    def restore(self, source: Source, work: Work) -> None:
        """Add the nodes and the relationships between them."""
        with self._connected(work) as (bolt, dialect):
            found = self._extracted(source, work, bolt, dialect)
            loader = Loader(bolt, dialect, work, self._batch_rows)
            self._made = loader.made
            try:
                with source.open(export_of(source)) as stream:
                    loader.add(found, found.records(stream), found.enums)
            finally:
                self.report = loader.report
        work.expect(found.fingerprint)
        for warning in (*loader.report.warnings, *_told(found)):
            work.warn(f"graph: {warning}")

    def discard(self, work: Work) -> None:
        """Delete the nodes that were created here, and no other that has the label.

        :raises StoreError: there are others, and it is not known of whom.
        """
        with self._connected(work) as (bolt, dialect):
            delete_made(bolt, self.live, self._made, work)
            left = bolt.rows(dialect.COUNT_NODES, "count the nodes")[0][0] if self._made.unsure else 0
        if left:
            raise StoreError(
                f"{left} nodes with the label {self.live} were left as they are: the connection broke while nodes were "
                "created, so these may be the restore's or somebody else's",
                where=self._endpoint.address,
            )

    def _require_room(self, bolt: Bolt, dialect: Dialect) -> None:
        there = bolt.rows(dialect.COUNT_NODES, "count the nodes")[0][0]
        if there:
            raise StoreError(
                f"{there} nodes have the label {self.live} already; nothing was touched",
                where=self._endpoint.address,
                tried="replacing them would take away their relationships to all other nodes",
                todo="give the restored nodes another label (--as), or restore the whole graph (--only graph)",
            )
        if triggers := [str(item) for item in dialect.schema(bolt) if item.kind == "trigger"]:
            raise StoreError(
                f"the graph has triggers, which would fire for every node that is added: {', '.join(triggers)}",
                where=self._endpoint.address,
                todo="drop them for the time of the restore; nothing was touched",
            )

    def _extracted(self, source: Source, work: Work, bolt: Bolt, dialect: Dialect) -> Extract:
        found = Extract(self.kept, self.live, work)
        artifact = export_of(source)
        try:
            with source.open(artifact) as stream:
                found.survey(stream, acceptable(bolt, dialect))
        except BadRecord as error:
            raise DamagedBackup(
                f"{artifact.name} of backup {source.backup_id} is damaged: {error}",
                where=source.backup_id,
                todo="restore another backup; nothing was touched",
            ) from error
        return found

    @contextmanager
    def _connected(self, work: Work) -> Iterator[tuple[Bolt, Dialect]]:
        with super()._connected(work) as (bolt, dialect):
            yield bolt, kept_to(dialect, self.live)


def kept_to(dialect: Dialect, label: str) -> Dialect:
    """The dialect with statements that reach only the nodes of one label, and what is between them."""
    name = quoted(label)
    node, edge = f"(n:{name})", f"(a:{name})-[r]->(b:{name})"
    dialect.NODES = f"MATCH {node} RETURN id(n), labels(n), properties(n)"
    dialect.RELATIONSHIPS = f"MATCH {edge} RETURN type(r), id(a), id(b), properties(r)"
    dialect.COUNT_NODES = f"MATCH {node} RETURN count(n)"
    dialect.COUNT_RELATIONSHIPS = f"MATCH {edge} RETURN count(r)"
    return dialect


def _told(found: Extract) -> Iterator[str]:
    if found.left_out:
        yield f"{found.left_out} relationships to and from nodes without the label are left out"
    for label, count in sorted(found.others.items()):
        yield f"{count} of the nodes also carry the label {label}, and are found under it"
