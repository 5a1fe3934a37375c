"""Memgraph's schema: from the answers of its ``SHOW`` statements, and back to the statements that make it.

Written against recorded answers of 3.2.1; columns and index types of later versions are taken by name where known and
otherwise end as a schema object that is recorded but not made again.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from archon_dagster.stores.graph.connection import Bolt
from archon_dagster.stores.graph.dialect import quoted
from archon_dagster.stores.graph.schema import SchemaObject

_NAMED = re.compile(r"(?:(?P<type>[a-z+-]+)_)?text \(name: (?P<name>.*)\)", re.DOTALL)
_DEFAULT_SCALAR = "f32"  # what an index has that does not say, and every one had before it could be said


def enum_of(row: dict[str, Any]) -> SchemaObject:
    return SchemaObject("enum", name=row["Enum Name"], options={"values": list(row["Enum Values"])})


def constraint_of(row: dict[str, Any]) -> SchemaObject:
    kind, data_type = row["constraint type"], row.get("data_type")
    options = {"data_type": _type_name(data_type)} if data_type else {}
    return SchemaObject("constraint", kind, on=row["label"], properties=_names(row["properties"]), options=options)


def trigger_of(row: dict[str, Any]) -> SchemaObject:
    options = {"statement": row["statement"], "event": row["event type"], "phase": row["phase"]}
    return SchemaObject("trigger", name=row["trigger name"], options=options)


def indexes(bolt: Bolt | None, rows: list[dict[str, Any]], vectors: list[dict[str, Any]]) -> list[SchemaObject]:
    """``SHOW INDEX INFO`` without its vector rows (they lack the dimension) and ``SHOW VECTOR INDEX INFO``."""
    plain = [index_of(bolt, row) for row in rows if not row["index type"].partition(" ")[0].endswith("vector")]
    return plain + [vector_of(row) for row in vectors]


def index_of(bolt: Bolt | None, row: dict[str, Any]) -> SchemaObject:
    kind, on, properties = row["index type"], row["label"], _names(row["property"])
    if (named := _NAMED.fullmatch(kind)) is not None:
        return SchemaObject("index", f"{named['type'] or 'label'}_text", named["name"], on, properties)
    options: dict[str, Any] = {}
    if kind == "label+property" and any("." in name for name in properties) and bolt is not None:
        options = {"literal": True} if _dots_are_literal(bolt, on, properties) else {}
    if kind == "edge-property":
        on = None
    return SchemaObject("index", kind, on=on, properties=properties, options=options)


def _dots_are_literal(bolt: Bolt, label: str, properties: tuple[str, ...]) -> bool:
    """Whether ``a.b`` in an index is one property's name rather than a path into a map: ask the planner."""
    condition = " AND ".join(f"n.{quoted(name)} = 1" for name in properties)
    plan = bolt.rows(f"EXPLAIN MATCH (n:{quoted(label)}) WHERE {condition} RETURN n", "ask about an index")
    return any("ScanAllByLabelPropert" in str(row[0]) for row in plan)


def vector_of(row: dict[str, Any]) -> SchemaObject:
    edge = str(row.get("index_type", "")).startswith("edge")
    options: dict[str, Any] = {"dimension": row["dimension"], "metric": row["metric"], "capacity": row["capacity"]}
    if row.get("scalar_kind", _DEFAULT_SCALAR) != _DEFAULT_SCALAR:
        options["scalar_kind"] = row["scalar_kind"]
    kind = "edge-type+property_vector" if edge else "label+property_vector"
    return SchemaObject("index", kind, row["index_name"], row["label"], (row["property"],), options)


def _names(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    return tuple(value) if isinstance(value, (list, tuple)) else (value,)


def _type_name(shown: str) -> str:
    letters = re.sub(r"[^A-Z]", "", shown.upper())
    return {"BOOL": "BOOLEAN", "INT": "INTEGER"}.get(letters, letters)


# to statements -------------------------------------------------------------------------------------------------


def create_enum(item: SchemaObject) -> list[str]:
    values = ", ".join(quoted(value) for value in item.options["values"])
    return [f"CREATE ENUM {quoted(item.name or '')} VALUES {{ {values} }}"]


def create_trigger(item: SchemaObject) -> list[str]:
    event, phase = item.options["event"], item.options["phase"]
    on = "" if event == "ANY" else f"ON {event} "
    return [f"CREATE TRIGGER {quoted(item.name or '')} {on}{phase} EXECUTE {item.options['statement']}"]


def constraint(verb: str) -> Callable[[SchemaObject], list[str]]:
    def statement(item: SchemaObject) -> list[str]:
        properties = [f"n.{quoted(name)}" for name in item.properties]
        head = f"{verb} CONSTRAINT ON (n:{quoted(item.on or '')}) ASSERT "
        if item.type == "exists":
            return [f"{head}EXISTS ({properties[0]})"]
        if item.type == "unique":
            return [f"{head}{', '.join(properties)} IS UNIQUE"]
        if item.type == "data_type":
            return [f"{head}{properties[0]} IS TYPED {item.options['data_type']}"]
        return []

    return statement


_PLAIN_INDEXES = {
    "label": "INDEX",
    "label+property": "INDEX",
    "edge-type": "EDGE INDEX",
    "edge-type+property": "EDGE INDEX",
    "edge-property": "GLOBAL EDGE INDEX",
    "point": "POINT INDEX",
}
_NAMED_INDEXES = {
    "label_text": "TEXT INDEX",
    "edge-type_text": "TEXT EDGE INDEX",
    "label+property_vector": "VECTOR INDEX",
    "edge-type+property_vector": "VECTOR EDGE INDEX",
}


def index_statement(verb: str, item: SchemaObject) -> list[str]:
    target = f":{quoted(item.on) if item.on is not None else ''}"
    if item.properties:
        target += f"({', '.join(_path(name, item) for name in item.properties)})"
    if (words := _PLAIN_INDEXES.get(item.type)) is not None:
        return [f"{verb} {words} ON {target}"]
    if (words := _NAMED_INDEXES.get(item.type)) is None:
        return []
    if verb == "DROP":
        return [f"DROP {words.replace('EDGE ', '')} {quoted(item.name or '')}"]
    config = f" WITH CONFIG {_vector_config(item)}" if item.type.endswith("_vector") else ""
    return [f"CREATE {words} {quoted(item.name or '')} ON {target}{config}"]


def _path(name: str, item: SchemaObject) -> str:
    if item.type != "label+property" or item.options.get("literal"):
        return quoted(name)
    return ".".join(quoted(part) for part in name.split("."))


def _vector_config(item: SchemaObject) -> str:
    """The capacity shown is what the index library made of the one asked for: 1.5 times it, up to a power of two.

    Asking for two thirds of it gives the same again; asking for all of it would double the index at every restore.
    """
    options = item.options
    parts = [f'"dimension": {int(options["dimension"])}', f'"metric": "{options["metric"]}"']
    parts.append(f'"capacity": {max(1, int(options["capacity"]) * 2 // 3)}')
    if "scalar_kind" in options:
        parts.append(f'"scalar_kind": "{options["scalar_kind"]}"')
    return "{" + ", ".join(parts) + "}"
