"""A whole dump: schema, then nodes, then relationships, whatever order the file has them in.

The file is read once for each of the three: a graph export wants its schema first, a dump has it last (or first, up
to Memgraph 3.1), and nothing is kept in memory that grows with the graph. Cutting it into statements is cheap; only
those of the kind that is asked for are parsed.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from archon_dagster.stores.base import Progress, Work
from archon_dagster.stores.graph.dump.model import (
    DumpNode,
    DumpRelationship,
    DumpSchema,
    NotUnderstood,
    Problem,
    Scaffold,
    Statement,
    UnreadableDump,
)
from archon_dagster.stores.graph.dump.statements import has_internal_label, is_node, is_relationship, parse
from archon_dagster.stores.graph.dump.unwrapping import statements
from archon_dagster.stores.graph.schema import SchemaObject

LISTED = 1000  # problems kept with their text; all are counted
_EVERY = 5000  # statements between two reports


class Kind(enum.Enum):
    """What a statement is about, told by its beginning."""

    NODE = "nodes"
    RELATIONSHIP = "relationships"
    SCHEMA = "schema"


def kind_of(text: str) -> Kind:
    if is_node(text):
        return Kind.NODE
    return Kind.RELATIONSHIP if is_relationship(text) else Kind.SCHEMA


@dataclass
class Problems:
    """The statements that could not be applied: the first of them with line and reason, and how many."""

    listed: list[Problem] = field(default_factory=list)
    count: int = 0

    @classmethod
    def of(cls, problems: Iterable[Problem]) -> Problems:
        listed = list(problems)
        return cls(listed, len(listed))

    def add(self, statement: Statement, reason: str) -> None:
        self.count += 1
        if len(self.listed) < LISTED:
            self.listed.append(Problem(statement.line, reason, statement.excerpt))


@dataclass(frozen=True)
class Outline:
    """What the first reading finds: the schema and how many statements of each kind there are.

    :param objects: each with the line it came from; :param lost: what some of them are made without.
    :param unknown: statements that are neither data nor schema this program knows.
    """

    statements: int
    counts: dict[Kind, int]
    objects: tuple[tuple[int, SchemaObject], ...]
    lost: tuple[str, ...]
    unknown: Problems

    @property
    def enums(self) -> frozenset[str]:
        """``Name::Value`` of every value of every enum."""
        made = [item for _, item in self.objects if item.kind == "enum"]
        return frozenset(f"{item.name}::{value}" for item in made for value in item.options["values"])


def outline(path: Path, work: Work) -> Outline:
    """Read the file for its schema and its end; raises :class:`UnreadableDump` where it is none or was cut off."""
    counts = dict.fromkeys(Kind, 0)
    objects: list[tuple[int, SchemaObject]] = []
    lost: list[str] = []
    unknown, helped, whole = Problems(), False, False
    for statement in _counted(path, work, "read the dump"):
        counts[kind := kind_of(statement.text)] += 1
        if kind is not Kind.SCHEMA:
            helped = helped or kind is Kind.RELATIONSHIP or has_internal_label(statement.text)
            continue
        try:
            found = parse(statement)
        except NotUnderstood as error:
            unknown.add(statement, str(error))
            continue
        if isinstance(found, Scaffold):
            helped, whole = True, whole or found.last
        elif isinstance(found, DumpSchema):
            objects.append((statement.line, found.item))
            lost += [f"line {statement.line}: {found.item} is made without {found.lost}"] if found.lost else []
    _expect_whole(path, helped, whole)
    if not any(counts.values()):
        raise UnreadableDump("there is not one statement in it", where=str(path), todo="make the dump again")
    if not counts[Kind.NODE]:
        lost.append("there is no node in it: restoring it empties the graph")
    return Outline(sum(counts.values()), counts, tuple(objects), tuple(lost), unknown)


def nodes(path: Path, known: Outline, work: Work, problems: Problems) -> Iterator[tuple[Statement, DumpNode]]:
    """Every node; what is not understood goes to ``problems``."""
    for statement, found in _parsed(path, Kind.NODE, known, work, problems):
        if isinstance(found, DumpNode):
            yield statement, found


def relationships(
    path: Path, known: Outline, work: Work, problems: Problems
) -> Iterator[tuple[Statement, DumpRelationship]]:
    """Every relationship; what is not understood goes to ``problems``."""
    for statement, found in _parsed(path, Kind.RELATIONSHIP, known, work, problems):
        if isinstance(found, DumpRelationship):
            yield statement, found


def _parsed(
    path: Path, kind: Kind, known: Outline, work: Work, problems: Problems
) -> Iterator[tuple[Statement, object]]:
    enums = known.enums
    for statement in _counted(path, work, f"read the {kind.value} of the dump", known.statements):
        if kind_of(statement.text) is not kind:
            continue
        try:
            found = parse(statement, enums)
        except NotUnderstood as error:
            problems.add(statement, str(error))
        else:
            yield statement, found


def _counted(path: Path, work: Work, step: str, total: int | None = None) -> Iterator[Statement]:
    with closing(statements(path)) as found:
        for number, statement in enumerate(found, start=1):
            work.check()  # for each: one may have 64 MiB
            if number % _EVERY == 1:
                work.report(Progress("graph", step, number, total, "statements"))
            yield statement


def _expect_whole(path: Path, begun: bool, whole: bool) -> None:
    if begun and not whole:
        raise UnreadableDump(
            "the dump has no end: it was cut off between two statements",
            where=str(path),
            tried="looked for the statement that removes __mg_id__ again",
            todo="make the dump again, or take an older one",
        )
