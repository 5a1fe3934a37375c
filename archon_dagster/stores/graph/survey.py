"""Read an artifact from beginning to end without any server: is it whole, and what is in it.

Done by ``verify``, and by every restore before it touches the live graph.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from archon_dagster.repository.manifest import Artifact
from archon_dagster.stores.base import ArtifactReader, Work
from archon_dagster.stores.graph.fingerprint import GraphDigest, canonical
from archon_dagster.stores.graph.fingerprint import Relationship as Digested
from archon_dagster.stores.graph.idtable import DuplicateId
from archon_dagster.stores.graph.meter import Meter
from archon_dagster.stores.graph.reading import BATCH
from archon_dagster.stores.graph.records import BadRecord, End, Header, Node, Relationship, read_records
from archon_dagster.stores.graph.schema import SchemaObject
from archon_dagster.stores.graph.values import UnsupportedValue, decode_properties

Check = Callable[[Node | Relationship], None]


@dataclass(frozen=True)
class Survey:
    """What an artifact holds."""

    header: Header
    objects: tuple[SchemaObject, ...]
    digest: GraphDigest

    @property
    def nodes(self) -> int:
        return self.digest.counts["nodes"]

    @property
    def relationships(self) -> int:
        return self.digest.counts["relationships"]


def _anything(_: Node | Relationship) -> None: ...


def survey(stream: ArtifactReader, artifact: Artifact, work: Work, check: Check = _anything) -> Survey:
    """Read it all and compare it with the manifest.

    :param check: is shown every node and relationship and may raise.
    :raises BadRecord: where it is not what an export writes, or not what the manifest says.
    """
    reader = _Surveyor(work, check, sum(artifact.counts.values()) or None)
    for record in read_records(stream):
        reader.take(record)
    found = reader.finish()
    if artifact.counts and artifact.counts != found.digest.counts:
        raise BadRecord(f"the manifest says {artifact.counts}, it holds {found.digest.counts}")
    if artifact.fingerprint is not None:
        differences = artifact.fingerprint.differences(found.digest.fingerprint())
        if differences:
            raise BadRecord(f"not what the manifest says: {'; '.join(differences[:3])}")
    return found


class _Surveyor:
    def __init__(self, work: Work, check: Check, total: int | None):
        self._check = check
        self._meter = Meter(work, "check the backup", total, "records")
        self._header: Header | None = None
        self._objects: list[SchemaObject] = []
        self._digest = GraphDigest()
        self._batch: list[Digested] = []

    def take(self, record: Header | SchemaObject | Node | Relationship | End) -> None:
        if isinstance(record, Node):
            self._node(record)
        elif isinstance(record, Relationship):
            self._relationship(record)
        elif isinstance(record, SchemaObject):
            self._objects.append(record)
        elif isinstance(record, Header):
            self._header = record
        else:
            self._end(record)

    def finish(self) -> Survey:
        if self._header is None:
            raise BadRecord("it is empty")
        self._digest.schema(self._objects)
        self._meter.report()
        return Survey(self._header, tuple(self._objects), self._digest)

    def _node(self, record: Node) -> None:
        self._values(record, f"node {record.id}")
        self._check(record)
        self._digest.node(record.id, record.labels, canonical(record.properties))
        self._meter.add()

    def _relationship(self, record: Relationship) -> None:
        self._values(record, f"{record.type} from {record.start} to {record.end}")
        self._check(record)
        self._batch.append((record.type, record.start, record.end, canonical(record.properties)))
        if len(self._batch) == BATCH:
            self._flush()
        self._meter.add()

    def _flush(self) -> None:
        try:
            dangling = self._digest.relate(self._batch)
        except DuplicateId as error:
            raise BadRecord(str(error)) from error
        if dangling:
            kind, start, end, _ = self._batch[dangling[0]]
            raise BadRecord(f"{kind} from {start} to {end}: one of the two is not among the nodes")
        self._batch = []

    def _end(self, record: End) -> None:
        self._flush()
        if (counts := self._digest.counts) != {"nodes": record.nodes, "relationships": record.relationships}:
            raise BadRecord(
                f"its last record says {record.nodes} nodes, {record.relationships} relationships: {counts}"
            )

    def _values(self, record: Node | Relationship, owner: str) -> None:
        try:
            decode_properties(record.properties)
        except UnsupportedValue as error:
            raise BadRecord(f"{owner}: {error}") from error
