"""The artifact's lines: JSON, one record each, in this order, the last one telling how many there were.

::

    {"format": "archon-graph", "version": 1, "server": "memgraph 3.2.1", "dialect": "memgraph"}
    {"s": "index", "type": "label+property", "on": "File", "properties": ["path"]}       schema, one record an object
    {"n": 17, "l": ["File"], "p": {"size": {"int": "4"}}}                                nodes: id, labels, properties
    {"r": "CONTAINS", "a": 17, "b": 18, "p": {}}                             relationships: type, start, end, properties
    {"end": {"nodes": 2, "relationships": 1}}

Ids only connect relationships with nodes inside the artifact. Property values are those of
:mod:`archon_dagster.stores.graph.values`; keys are sorted, so equal content is equal bytes and deduplicates.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from archon_dagster.stores.base import ArtifactReader, ArtifactWriter
from archon_dagster.stores.graph.fingerprint import canonical
from archon_dagster.stores.graph.schema import SchemaObject

FORMAT = "archon-graph"
VERSION = 1
_BLOCK = 1 << 18  # bytes collected before they are written, and asked for when reading
LONGEST_LINE = 64 << 20  # bytes; one node with everything it has


class BadRecord(ValueError):
    """A line that does not belong in such an artifact; the message says which and why."""


@dataclass(frozen=True, slots=True)
class Node:
    id: int
    labels: list[str]
    properties: dict[str, Any]
    line: bytes


@dataclass(frozen=True, slots=True)
class Relationship:
    type: str
    start: int
    end: int
    properties: dict[str, Any]
    line: bytes


@dataclass(frozen=True, slots=True)
class Header:
    server: str
    dialect: str


@dataclass(frozen=True, slots=True)
class End:
    nodes: int
    relationships: int


Record = Header | SchemaObject | Node | Relationship | End


class Lines:
    """Writes records to an artifact in blocks."""

    def __init__(self, out: ArtifactWriter):
        self._out = out
        self._pending = bytearray()

    def header(self, server: str, dialect: str) -> None:
        self._line(canonical({"format": FORMAT, "version": VERSION, "server": server, "dialect": dialect}))

    def schema(self, item: SchemaObject) -> None:
        self._line(canonical(item.as_json()))

    def node(self, node: int, labels: list[str], properties: str) -> None:
        self._line(f'{{"n":{node},"l":{canonical(labels)},"p":{properties}}}')

    def relationship(self, kind: str, start: int, end: int, properties: str) -> None:
        self._line(f'{{"r":{canonical(kind)},"a":{start},"b":{end},"p":{properties}}}')

    def end(self, nodes: int, relationships: int) -> None:
        self._line(canonical({"end": {"nodes": nodes, "relationships": relationships}}))
        self.flush()

    def flush(self) -> None:
        if self._pending:
            self._out.write(bytes(self._pending))
            self._pending.clear()

    def _line(self, text: str) -> None:
        self._pending += text.encode()
        self._pending += b"\n"
        if len(self._pending) >= _BLOCK:
            self.flush()


def read_records(stream: ArtifactReader) -> Iterator[Record]:
    """The records of an artifact, in its order, which is checked; raises :class:`BadRecord`."""
    step, number = -1, 0
    record: Record | None = None
    for number, line in enumerate(_lines(stream), start=1):
        record = _parse(number, line)
        now = _ORDER[type(record)]
        if now < step or (number == 1) != (now == 0) or (step == _LAST):
            raise BadRecord(f"line {number}: a {type(record).__name__.lower()} is out of order")
        step = now
        yield record
    if not isinstance(record, End):
        raise BadRecord(f"it ends after line {number} without its last record")


_ORDER: dict[type, int] = {Header: 0, SchemaObject: 1, Node: 2, Relationship: 3, End: 4}
_LAST = 4


def _lines(stream: ArtifactReader) -> Iterator[bytes]:
    rest = b""
    while block := stream.read(_BLOCK):
        *whole, rest = (rest + block).split(b"\n")
        yield from whole
        if len(rest) > LONGEST_LINE:
            raise BadRecord(f"a line is longer than {LONGEST_LINE >> 20} MiB")
    if rest:
        yield rest


def _parse(number: int, line: bytes) -> Record:
    try:
        record = json.loads(line)
        if "n" in record:
            return _node(record, line)
        if "r" in record:
            return _relationship(record, line)
        if "s" in record:
            return SchemaObject.from_json(record)
        if "end" in record:
            return End(nodes=record["end"]["nodes"], relationships=record["end"]["relationships"])
        return _header(record)
    except BadRecord as error:
        raise BadRecord(f"line {number}: {error}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadRecord(f"line {number} is not a record: {error or type(error).__name__}") from error


def _node(record: dict[str, Any], line: bytes) -> Node:
    node, labels, properties = record["n"], record["l"], record["p"]
    if type(node) is not int or not isinstance(labels, list) or not isinstance(properties, dict):
        raise BadRecord("not a node")
    return Node(node, labels, properties, line)


def _relationship(record: dict[str, Any], line: bytes) -> Relationship:
    kind, start, end, properties = record["r"], record["a"], record["b"], record["p"]
    if type(kind) is not str or type(start) is not int or type(end) is not int or not isinstance(properties, dict):
        raise BadRecord("not a relationship")
    return Relationship(kind, start, end, properties, line)


def _header(record: dict[str, Any]) -> Header:
    if record.get("format") != FORMAT:
        raise BadRecord("unknown record")
    if record.get("version") != VERSION:
        raise BadRecord(f"format version {record.get('version')}, this program reads {VERSION}")
    return Header(server=record["server"], dialect=record["dialect"])
