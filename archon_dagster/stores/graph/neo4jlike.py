"""Neo4j, and servers that follow it: its ``SHOW INDEXES``, its ``CREATE INDEX FOR``, its agent string.

Neo4j tells how each index and constraint is made again, whatever its kind (text, point, full-text, vector, …), with
its name and settings; that statement is what a restore into a Neo4j uses (seen on 5.26).

What is particular to ArcadeDB, all of it measured (26.10): a read transaction is not repeatable; map values and
labels that are empty or contain ``~`` are rejected; a datetime with an offset and no zone name loses the offset
without a word when it comes as a parameter, and keeps it when ``datetime(…)`` reads it from text; inside a list it
can be written and never read again; an index made when data are there already pins its property's type for ever and
later numbers are cut to it, so indexes come first; label order is always alphabetical.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from archon_dagster.stores.graph.connection import Bolt, QueryRefused
from archon_dagster.stores.graph.dialect import Dialect, State, quoted
from archon_dagster.stores.graph.schema import SchemaObject
from archon_dagster.stores.graph.special_values import offset_as_text
from archon_dagster.stores.graph.values import Json, leaves

_INDEXES = {("RANGE", "NODE"): "label+property", ("RANGE", "RELATIONSHIP"): "edge-type+property"}
_CONSTRAINTS = {
    "UNIQUENESS": "unique",
    "NODE_PROPERTY_UNIQUENESS": "unique",
    "NODE_PROPERTY_EXISTENCE": "exists",
}


def arcadedb_version(agent: str) -> str | None:
    """``26.10.2`` of ``Neo4j/5.26.0 compatible (ArcadeDB 26.10.2)``."""
    match = re.search(r"ArcadeDB ([^)\s]+)", agent)
    return match[1] if match else None


class Neo4jLike(Dialect):
    """Neo4j's statements, as far as others have them too."""

    columns = ""
    by_itself: tuple[str, ...] = ()
    """Types of constraints that the server makes and that cannot be dropped."""

    def schema(self, bolt: Bolt) -> list[SchemaObject]:
        indexes = [index_of(row) for row in _table(bolt, f"SHOW INDEXES{self.columns}") if _is_ours(row)]
        constraints = _table(bolt, f"SHOW CONSTRAINTS{self.columns}")
        return indexes + [constraint_of(row) for row in constraints if row["type"] not in self.by_itself]

    def create(self, item: SchemaObject) -> list[str]:
        properties = [f"x.{quoted(name)}" for name in item.properties]
        where = quoted(item.on) if item.on is not None else ""
        if item.kind == "index" and item.type == "label+property":
            return [f"CREATE INDEX FOR (x:{where}) ON ({', '.join(properties)})"]
        if item.kind == "index" and item.type == "edge-type+property":
            return [f"CREATE INDEX FOR ()-[x:{where}]-() ON ({', '.join(properties)})"]
        if item.kind == "constraint" and item.type in ("unique", "exists"):
            what = properties[0] if len(properties) == 1 else f"({', '.join(properties)})"
            rule = "IS UNIQUE" if item.type == "unique" else "IS NOT NULL"
            return [f"CREATE CONSTRAINT FOR (x:{where}) REQUIRE {what} {rule}"]
        return []

    def drop(self, item: SchemaObject) -> list[str]:
        name = item.options.get("name")
        return [f"DROP {item.kind.upper()} {quoted(name)}"] if name else []


class Neo4j(Neo4jLike):
    """Neo4j itself."""

    name = "neo4j"
    columns = " YIELD *"  # without it the statement is left out

    def state(self, bolt: Bolt) -> State:
        return State(not_covered=("users, roles and settings of the graph server",))

    def create(self, item: SchemaObject) -> list[str]:
        statement = item.options.get("create") if item.kind in ("index", "constraint") else None
        return [statement] if statement else super().create(item)

    def refuses(self, labels: Sequence[str], properties: dict[str, Json], line: bytes) -> str | None:
        for name in (*labels, *properties):
            if not name or "\0" in name:
                return f"the name {name!r} (it must not be empty or contain a NUL)"
        for name, value in properties.items():
            if isinstance(value, list | dict) and (what := _unstorable(value)):
                return f"{what} in property {name!r}"
        return None


class ArcadeDB(Neo4jLike):
    """ArcadeDB's Bolt plugin; the sandbox's graph."""

    name = "arcadedb"
    by_itself = ("NODE_PROPERTY_TYPE",)
    schema_first = True
    READ = "datetime"
    ENDS = "MATCH (a), (b) WHERE id(a) = r.a AND id(b) = r.b"  # three times as fast here as one after the other

    def state(self, bolt: Bolt) -> State:
        return State(not_covered=("ArcadeDB users, settings and property types pinned by indexes",))

    def deletions(self) -> tuple[tuple[str, str], ...]:
        return ((self.DELETE_NODES, "nodes"),)  # relationships by themselves first would take twice as long here

    def refuses(self, labels: Sequence[str], properties: dict[str, Json], line: bytes) -> str | None:
        for label in labels:
            if not label.strip() or "~" in label:
                return f"the label {label!r} (it must not be blank or contain '~')"
        if b'{"map":' not in line and b'{"enum":' not in line and b'{"DateTime":' not in line:
            return None
        for name, value in properties.items():
            for depth, (kind, content) in enumerate(leaves(value)):
                if kind in ("map", "enum"):
                    return f"the {kind} in property {name!r}"
                if depth and _has_bare_offset(kind, content):
                    return f"the offset without a zone name of a datetime in the list in property {name!r}"
        return None

    def as_text(self, properties: dict[str, Json], line: bytes) -> tuple[str, ...]:
        if b'{"DateTime":' not in line:
            return ()
        return tuple(name for name, value in properties.items() if _has_bare_offset(*next(leaves(value))))

    def outgoing(self, properties: dict[str, Any], line: bytes) -> dict[str, Any]:
        if b'{"DateTime":' not in line:
            return properties
        return {name: offset_as_text(value) for name, value in properties.items()}


def _unstorable(value: Json) -> str | None:
    """What a Neo4j rejects, or changes: it makes ``[1.0, 1.0]`` of ``[1, 1.0]``."""
    (kind, content), *_ = leaves(value)
    if kind in ("map", "enum"):
        return f"the {kind}"
    if kind != "list":
        return None
    kinds = [next(leaves(item)) for item in content]
    for inside, _ in kinds:
        if inside in ("null", "list", "map", "enum", "bytes"):
            return f"the list with a {inside} inside"
    if len({(inside, what[0] if inside == "Point" else None) for inside, what in kinds}) > 1:
        return "the list of several types of values"
    return None


def _has_bare_offset(kind: str, content: Any) -> bool:
    return kind == "DateTime" and not content.endswith("]")


def _table(bolt: Bolt, query: str) -> list[dict[str, Any]]:
    try:
        return bolt.table(query, f"read the schema ({query})")
    except QueryRefused as error:
        if error.not_understood:
            return []
        raise


def _is_ours(row: dict[str, Any]) -> bool:
    """Not the index behind a constraint, and not the lookup indexes every Neo4j has."""
    return not row.get("owningConstraint") and row.get("type") != "LOOKUP"


def index_of(row: dict[str, Any]) -> SchemaObject:
    kind = _INDEXES.get((row["type"], row["entityType"]), f"{row['entityType']} {row['type']}".lower())
    return SchemaObject("index", kind, **_common(row))


def constraint_of(row: dict[str, Any]) -> SchemaObject:
    return SchemaObject("constraint", _CONSTRAINTS.get(row["type"], row["type"].lower()), **_common(row))


def _common(row: dict[str, Any]) -> dict[str, Any]:
    """A full-text index may be on several labels."""
    options = {"name": row["name"]}
    if statement := row.get("createStatement"):
        options["create"] = statement
    on = "|".join(row.get("labelsOrTypes") or ()) or None
    return {"on": on, "properties": tuple(row["properties"]), "options": options}
