"""Memgraph, as real servers of 3.2 and 3.6 behave.

What decides the code: schema statements and most ``SHOW`` run only outside a transaction; enum values become maps
without a word when their enum does not exist yet; many permanent errors are called transient, so a conflict is told
by its text; ``query.timeout`` counts the whole transaction unless it is begun with ``timeout=0``; any open
transaction makes schema statements fail after a second on 3.2. ``DROP GRAPH`` and ``RECOVER SNAPSHOT … FORCE`` are
never used: the first was not durable in a test, the second empties the database when the file is damaged.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from archon_dagster.stores.graph.connection import Bolt, QueryRefused
from archon_dagster.stores.graph.dialect import Dialect, State, quoted
from archon_dagster.stores.graph.schema import SchemaObject

CONFLICTS = ("Cannot resolve conflicting transactions", "Cannot get unique access to the storage")
SECRET_SETTINGS = ("license", "organization", "password", "secret", "key")
_UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_NAMED = re.compile(r"(?P<type>[a-z+-]+)_text \(name: (?P<name>.*)\)", re.DOTALL)


def memgraph_version(bolt: Bolt) -> str | None:
    """The version of a Memgraph server, ``None`` for any other: only Memgraph knows ``SHOW VERSION``."""
    try:
        rows = bolt.rows("SHOW VERSION", "ask for the version")
    except QueryRefused as error:
        if "Security" in error.code or "Unauthorized" in error.code:
            raise
        return None
    return str(rows[0][0])


class Memgraph(Dialect):
    """Memgraph from 2.x on; tested on the recorded answers of 3.2.1."""

    name = "memgraph"
    conflicts = CONFLICTS
    unlimited = True

    def state(self, bolt: Bolt) -> State:
        storage = {str(k): v for k, v in bolt.rows("SHOW STORAGE INFO", "read the storage information")}
        settings, unread = _optional(bolt, "SHOW DATABASE SETTINGS")
        kept = {str(k): str(v) for k, v in settings if not any(word in str(k) for word in SECRET_SETTINGS)}
        details = {"storage_mode": storage.get("storage_mode"), "settings": kept}
        missing = [unread] if unread else []
        for query, what in (
            ("SHOW USERS", "users (names only, passwords cannot be read)"),
            ("SHOW ROLES", "roles and privileges"),
            ("SHOW STREAMS", "streams"),
        ):
            names, unread = _optional(bolt, query)
            if unread:
                missing.append(unread)
            elif names:
                missing.append(f"Memgraph {what}: {', '.join(str(row[0]) for row in names)}")
        if kept:
            missing.append("Memgraph settings are recorded with the backup but not restored")
        return State(
            repeatable=_repeatable(storage),
            size_bytes=size_in_bytes(storage.get("disk_usage")),
            details=details,
            not_covered=tuple(missing),
        )

    def schema(self, bolt: Bolt) -> list[SchemaObject]:
        ask = _tables(bolt)
        return (
            [enum_of(row) for row in ask("SHOW ENUMS")]
            + indexes(bolt, ask("SHOW INDEX INFO"), ask("SHOW VECTOR INDEX INFO"))
            + [constraint_of(row) for row in ask("SHOW CONSTRAINT INFO")]
            + [trigger_of(row) for row in ask("SHOW TRIGGERS")]
        )

    def create(self, item: SchemaObject) -> list[str]:
        maker = {"enum": _create_enum, "constraint": _constraint("CREATE"), "trigger": _create_trigger}
        if item.kind == "index":
            return _index("CREATE", item)
        return maker[item.kind](item)

    def drop(self, item: SchemaObject) -> list[str]:
        if item.kind == "enum":
            return []  # "Not yet implemented: Drop enum"
        if item.kind == "trigger":
            return [f"DROP TRIGGER {quoted(item.name or '')}"]
        return _index("DROP", item) if item.kind == "index" else _constraint("DROP")(item)

    def extend_enum(self, wanted: SchemaObject, existing: SchemaObject) -> list[str]:
        lacking = [value for value in wanted.options["values"] if value not in existing.options["values"]]
        return [f"ALTER ENUM {quoted(wanted.name or '')} ADD VALUE {quoted(value)}" for value in lacking]

    def tidy(self, bolt: Bolt) -> None:
        bolt.rows("FREE MEMORY", "free the memory of deleted objects")  # else every scan passes over them


def _repeatable(storage: dict[str, Any]) -> bool:
    isolation = storage.get("session_isolation_level") or storage.get("global_isolation_level")
    analytical = storage.get("storage_mode") == "IN_MEMORY_ANALYTICAL"
    return not analytical and isolation in (None, "SNAPSHOT_ISOLATION")


def size_in_bytes(text: Any) -> int | None:
    """``195.78KiB`` as a number of bytes."""
    match = re.fullmatch(r"([\d.]+)\s*([KMGT]?i?B)", str(text))
    return int(float(match[1]) * _UNITS[match[2]]) if match and match[2] in _UNITS else None


def _optional(bolt: Bolt, query: str) -> tuple[list[Any], str | None]:
    """The answer to a question this edition, version or user may not ask; then the reason instead."""
    try:
        return bolt.rows(query, f"run {query}"), None
    except QueryRefused as error:
        return [], None if error.not_understood else f"what {query} lists could not be read: {error.text:.120}"


def _tables(bolt: Bolt) -> Callable[[str], list[dict[str, Any]]]:
    def ask(query: str) -> list[dict[str, Any]]:
        try:
            return bolt.table(query, f"read the schema ({query})")
        except QueryRefused as error:
            if error.not_understood:  # older than this kind of object
                return []
            raise

    return ask


# from the server's answers -------------------------------------------------------------------------------------


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
    plain = [index_of(bolt, row) for row in rows if not row["index type"].endswith("vector")]
    return plain + [vector_of(row) for row in vectors]


def index_of(bolt: Bolt | None, row: dict[str, Any]) -> SchemaObject:
    kind, on, properties = row["index type"], row["label"], _names(row["property"])
    if (named := _NAMED.fullmatch(kind)) is not None:
        return SchemaObject("index", f"{named['type']}_text", named["name"], on, properties)
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
    if "scalar_kind" in row:
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


def _create_enum(item: SchemaObject) -> list[str]:
    values = ", ".join(quoted(value) for value in item.options["values"])
    return [f"CREATE ENUM {quoted(item.name or '')} VALUES {{ {values} }}"]


def _create_trigger(item: SchemaObject) -> list[str]:
    event, phase = item.options["event"], item.options["phase"]
    on = "" if event == "ANY" else f"ON {event} "
    return [f"CREATE TRIGGER {quoted(item.name or '')} {on}{phase} EXECUTE {item.options['statement']}"]


def _constraint(verb: str) -> Callable[[SchemaObject], list[str]]:
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


def _index(verb: str, item: SchemaObject) -> list[str]:
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
