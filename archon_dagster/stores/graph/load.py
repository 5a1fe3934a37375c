"""Make the live graph be what an artifact says.

Order: triggers, constraints and indexes away (a trigger would fire on every batch); everything deleted in bounded
steps; enums (a value of an unknown enum quietly becomes a map); nodes; relationships by the ids the server gave the
nodes; indexes, constraints, triggers; exact counts compared. Nothing temporary is put into the graph: a restore that
is killed leaves an incomplete graph and nothing else, and the next one starts by emptying it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from archon_dagster.errors import StoreError, StoreUnavailable
from archon_dagster.stores.base import Work
from archon_dagster.stores.graph.connection import Bolt, QueryRefused, Row
from archon_dagster.stores.graph.dialect import Dialect
from archon_dagster.stores.graph.idtable import IdTable
from archon_dagster.stores.graph.made import Made, number
from archon_dagster.stores.graph.meter import Meter
from archon_dagster.stores.graph.records import Node, Record, Relationship
from archon_dagster.stores.graph.schema import SchemaObject
from archon_dagster.stores.graph.survey import Survey
from archon_dagster.stores.graph.values import decode_properties

ROWS = 5000  # a transaction's rows; measured fastest between 1,000 and 10,000
BYTES = 2 << 20  # of artifact lines a transaction takes at most, for graphs of few but wide nodes
Texts = tuple[str, ...]
DELETE = 5_000  # objects deleted in one transaction
TIDY_EVERY = 200_000  # deleted objects


@dataclass
class LoadReport:
    """What a restore did, and what it could not: schema objects the server has no statement for, enums it keeps."""

    nodes: int = 0
    relationships: int = 0
    warnings: list[str] = field(default_factory=list)


class Counted(Protocol):
    """How much is to be loaded."""

    @property
    def nodes(self) -> int: ...
    @property
    def relationships(self) -> int: ...


class Loader:
    """One restore into one live graph.

    :ivar made: the nodes it has created.
    """

    def __init__(self, bolt: Bolt, dialect: Dialect, work: Work, rows: int = ROWS):
        self._bolt, self._dialect, self._work, self._rows = bolt, dialect, work, rows
        self.report = LoadReport()
        self.made = Made()

    def run(self, survey: Survey, records: Iterable[Record]) -> None:
        """Replace what is there by ``records``, which ``survey`` has found to be whole."""
        existing = self._dialect.schema(self._bolt)
        self._drop(existing)
        self._empty()
        self._enums(survey.objects, existing)
        data_first = () if self._dialect.schema_first else ("index", "constraint")
        self._create(item for item in survey.objects if item.kind in ("index", "constraint") and not data_first)
        self._data(survey, records)
        self._create(item for item in survey.objects if item.kind in data_first)
        self._create(item for item in survey.objects if item.kind == "trigger")
        self._compare(survey)

    def add(self, counted: Counted, records: Iterable[Record], enums: Iterable[SchemaObject]) -> None:
        """Add ``records`` to what is there; the dialect's counts must be those of what is added alone."""
        wanted = {item.name: item for item in enums if item.kind == "enum"}
        there = [item for item in self._dialect.schema(self._bolt) if item.name in wanted] if wanted else []
        self._enums(wanted.values(), there)
        self._data(counted, records)
        self._compare(counted)

    # what was there ------------------------------------------------------------------------------------------------

    def _drop(self, existing: list[SchemaObject]) -> None:
        for kind in ("trigger", "constraint", "index"):
            for item in existing:
                if item.kind != kind:
                    continue
                statements = self._dialect.drop(item)
                if not statements:
                    self.report.warnings.append(f"{item} stays: this program does not know how to remove it")
                for statement in statements:
                    self._bolt.rows(statement, f"remove {item}")

    def _empty(self) -> None:
        for query, unit in self._dialect.deletions():
            meter = Meter(self._work, f"remove old {unit}", None, f"{unit} removed")
            self._bolt.done = meter
            while deleted := self._bolt.rows(query.format(limit=DELETE), f"remove the old {unit}")[0][0]:
                before = meter.done // TIDY_EVERY
                meter.add(deleted)
                if meter.done // TIDY_EVERY > before:
                    self._dialect.tidy(self._bolt)

    # schema --------------------------------------------------------------------------------------------------------

    def _enums(self, objects: Iterable[SchemaObject], existing: list[SchemaObject]) -> None:
        there = {item.name: item for item in existing if item.kind == "enum"}
        wanted = {item.name: item for item in objects if item.kind == "enum"}
        for name, item in wanted.items():
            if name not in there:
                self._create([item])
                continue
            for statement in self._dialect.extend_enum(item, there[name]):
                self._bolt.rows(statement, f"extend {item}")
            if extra := set(there[name].options["values"]) - set(item.options["values"]):
                self.report.warnings.append(f"{item} keeps values the backup does not have: {', '.join(sorted(extra))}")
        self.report.warnings += [f"{item} stays: it cannot be dropped" for n, item in there.items() if n not in wanted]

    def _create(self, objects: Iterable[SchemaObject]) -> None:
        for item in objects:
            statements = [] if item.is_unsupported else self._dialect.create(item)
            if not statements:
                self.report.warnings.append(f"{item} is not restored: {self._dialect} has nothing like it")
            for statement in statements:
                self._create_one(item, statement)

    def _create_one(self, item: SchemaObject, statement: str) -> None:
        try:
            self._bolt.rows(statement, f"create {item}")
        except QueryRefused as error:
            if not error.not_understood:
                raise
            self.report.warnings.append(f"{item} is not restored: {self._dialect} does not understand it")

    # data ----------------------------------------------------------------------------------------------------------

    def _data(self, survey: Counted, records: Iterable[Record]) -> None:
        ids = self.made.ids
        nodes = Meter(self._work, "load nodes", survey.nodes, "nodes")
        relationships = Meter(self._work, "load relationships", survey.relationships, "relationships")
        self._bolt.done, frozen = nodes, False
        for batch in batches(records, self._rows):
            if isinstance(batch[0], Node):
                self._nodes([item for item in batch if isinstance(item, Node)], ids)
                nodes.add(len(batch))
                continue
            if not frozen:
                ids.freeze()
                self._bolt.done, frozen = relationships, True
            self._relationships([item for item in batch if isinstance(item, Relationship)], ids)
            relationships.add(len(batch))
        nodes.report()
        relationships.report()
        self.report.nodes, self.report.relationships = nodes.done, relationships.done

    def _nodes(self, batch: list[Node], ids: IdTable) -> None:
        groups: dict[tuple[tuple[str, ...], Texts], list[dict[str, Any]]] = {}
        for position, item in enumerate(batch):
            row = {"k": position, "p": self._properties(item)}
            groups.setdefault((tuple(item.labels), self._texts(item)), []).append(row)
        statements = [(self._dialect.node_batch(*group), rows) for group, rows in groups.items()]
        created = 0
        for answer in self._sent(statements):
            created += len(answer)
            for position, new in answer:
                ids.add(batch[position].id, new.to_bytes(8, "little", signed=True))
        if created != len(batch):
            raise self._error(f"{len(batch)} nodes were sent from node {batch[0].id} on, {created} were created")

    def _sent(self, statements: list[tuple[str, list[dict[str, Any]]]]) -> list[list[Row]]:
        try:
            return self._bolt.write("create nodes", statements)
        except StoreUnavailable:
            self.made.unsure = True  # its answer may be all that was lost
            raise

    def _relationships(self, batch: list[Relationship], ids: IdTable) -> None:
        starts, ends = ids.find([item.start for item in batch]), ids.find([item.end for item in batch])
        groups: dict[tuple[str, Texts, bool], list[dict[str, Any]]] = {}
        for item, start, end in zip(batch, starts, ends, strict=True):
            if start is None or end is None:
                raise self._error(f"{item.type} from {item.start} to {item.end}: one of the two was never created")
            row = {"a": number(start), "b": number(end), "p": self._properties(item)}
            groups.setdefault((item.type, self._texts(item), not row["p"]), []).append(row)
        statements = [
            (self._dialect.relationship_batch(kind, texts, bare=bare), rows)
            for (kind, texts, bare), rows in groups.items()
        ]
        answers = self._bolt.write("create relationships", statements)
        for ((kind, _, _), rows), answer in zip(groups.items(), answers, strict=True):
            if answer[0][0] != len(rows):
                raise self._missing(kind, rows, answer[0][0])

    def _properties(self, item: Node | Relationship) -> dict[str, Any]:
        return self._dialect.outgoing(decode_properties(item.properties), item.line)

    def _texts(self, item: Node | Relationship) -> Texts:
        return self._dialect.as_text(item.properties, item.line)

    def _missing(self, kind: str, rows: list[dict[str, Any]], created: int) -> StoreError:
        wanted = [{"id": row[end]} for row in rows for end in ("a", "b")]
        found = {row[0] for row in self._bolt.rows(self._dialect.EXISTING, "look for missing nodes", rows=wanted)}
        lost = next((item["id"] for item in wanted if item["id"] not in found), None)
        why = "no node is missing" if lost is None else f"the first missing end is the node with id {lost}"
        return self._error(f"{len(rows)} relationships {kind} were sent, {created} were created; {why}")

    def _compare(self, survey: Counted) -> None:
        nodes = self._bolt.rows(self._dialect.COUNT_NODES, "count the nodes")[0][0]
        relationships = self._bolt.rows(self._dialect.COUNT_RELATIONSHIPS, "count the relationships")[0][0]
        if (nodes, relationships) != (survey.nodes, survey.relationships):
            raise self._error(
                f"the backup has {survey.nodes} nodes and {survey.relationships} relationships, "
                f"the graph now has {nodes} and {relationships}"
            )

    def _error(self, what: str) -> StoreError:
        return StoreError(
            what,
            where=self._bolt.endpoint.address,
            tried=str(self._bolt.done),
            todo="stop whatever else writes to the graph and restore again",
        )


def batches(records: Iterable[Record], rows: int) -> Iterator[list[Node] | list[Relationship]]:
    """Nodes and relationships in runs of one kind, bounded by rows and bytes."""
    batch: list[Any] = []
    size = 0
    for record in records:
        if not isinstance(record, (Node, Relationship)):
            continue
        if batch and (len(batch) == rows or size + len(record.line) > BYTES or type(record) is not type(batch[0])):
            yield batch
            batch, size = [], 0
        batch.append(record)
        size += len(record.line)
    if batch:
        yield batch
