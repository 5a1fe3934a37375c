"""Enums, indexes, constraints and triggers, from the statements a dump makes them with.

The objects are those that the server's own ``SHOW`` statements give (``memgraph_schema``), so that a graph loaded from
a dump has the same fingerprint as one loaded from a backup.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from archon_dagster.stores.graph.dump.literals import Literals
from archon_dagster.stores.graph.dump.model import DumpSchema, NotUnderstood, Scaffold
from archon_dagster.stores.graph.schema import SchemaObject

DEFAULT_RESIZE = 2  # of a vector index that does not say
_DEFAULT_SCALAR = "f32"
_ON = re.compile(r"ON\s*+:\s*+", re.IGNORECASE)
_END = re.compile(r"\s*+;\s*+\Z")
_ENUM = re.compile(r"(?P<name>.+?)\s+VALUES\s*\{(?P<values>.*)\}\s*;\s*\Z", re.IGNORECASE | re.DOTALL)
_TRIGGER = re.compile(
    r"(?P<name>.+?)\s+(?:ON\s+(?P<event>(?:(?:\(\)|-->)\s*)?(?:CREATE|UPDATE|DELETE))\s+)?"
    r"(?P<phase>(?:BEFORE|AFTER)\s+COMMIT)\s+EXECUTE\s+(?P<statement>.*);\s*\Z",
    re.IGNORECASE | re.DOTALL,
)
_CONSTRAINT = re.compile(r"\(\s*+(\w++)\s*+:\s*+")
_ASSERT = re.compile(r"\s*+\)\s*+ASSERT\s++", re.IGNORECASE)
_EXISTS = re.compile(r"EXISTS\s*+\(\s*+", re.IGNORECASE)
_RULE = re.compile(r"\s*+IS\s++(?:(?P<unique>UNIQUE)|TYPED\s++(?P<type>[A-Za-z ]++))\s*+;\s*+\Z", re.IGNORECASE)
_WITH = re.compile(r"\s*+WITH\s++CONFIG\s*+", re.IGNORECASE)
_DOT = re.compile(r"\s*+\.\s*+")
# what later versions and other editions dump, and a Bolt client of ours cannot make again
_KNOWN_LOST = re.compile(r"(?:ENABLE|START|STOP|CONFIGURE)\s++TTL\b|CREATE\s++(?:\w++\s++)?STREAM\b", re.IGNORECASE)


def schema_object(text: str) -> DumpSchema | Scaffold:
    """The object a statement makes; raises :class:`NotUnderstood`."""
    for words, reader in _STATEMENTS:
        if (found := words.match(text)) is not None:
            return reader(Literals(text, found.end()))
    if text.strip() == ";":
        return Scaffold()
    if _KNOWN_LOST.match(text):
        raise NotUnderstood("this program cannot make it again: do so by hand")
    raise NotUnderstood("not a statement of a dump")


def _statement(words: str) -> re.Pattern[str]:
    return re.compile(r"\s++".join(words.split()) + r"\b\s*+", re.IGNORECASE)


def _enum(at: Literals) -> DumpSchema:
    found = _ENUM.match(at.text, at.place)
    if found is None:
        at.fail("NAME VALUES { … }")
    values = _enum_values(found["values"].strip())
    return DumpSchema(SchemaObject("enum", name=_unquoted(found["name"]), options={"values": values}))


def _enum_values(text: str) -> list[str]:
    if not text.startswith("`"):  # Memgraph does not quote them, so one with a comma cannot be told from two
        return [value.strip() for value in text.split(",") if value.strip()]
    at = Literals(text)
    return [at.name(), *at.names(",")]


def _unquoted(name: str) -> str:
    name = name.strip()
    return Literals(name).name() if name.startswith("`") else name


def _trigger(at: Literals) -> DumpSchema:
    found = _TRIGGER.match(at.text, at.place)
    if found is None:
        at.fail("NAME [ON …] BEFORE|AFTER COMMIT EXECUTE …")
    statement = found["statement"].strip()
    if "\n" not in statement and _has_line_comment(statement):
        raise NotUnderstood("the dump wrote its line ends as blanks, so the comment in it hides what follows")
    event = " ".join((found["event"] or "ANY").upper().split())
    phase = " ".join(found["phase"].upper().split())
    options = {"statement": statement, "event": event, "phase": phase}
    return DumpSchema(SchemaObject("trigger", name=_unquoted(found["name"]), options=options))


def _has_line_comment(statement: str) -> bool:
    plain = re.sub(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'|`[^`]*`', "", statement, flags=re.DOTALL)
    return "//" in plain


def _index(kind: str, with_properties: str = "", *, named: bool = False) -> Callable[[Literals], DumpSchema]:
    """A reader of ``[NAME] ON :[LABEL][(PROPERTY, …)] [WITH CONFIG {…}]``.

    :param with_properties: the type where there are properties.
    """

    def read(at: Literals) -> DumpSchema:
        name = at.name() if named else None
        at.skip()
        _pass(at, _ON, "ON :")
        on = None if kind == "edge-property" else at.name()
        properties, literal = _properties(at)
        config, lost = _config(at) if kind.endswith("_vector") else ({}, None)
        _pass(at, _END, "the end of the statement")
        type_ = with_properties if properties and with_properties else kind
        options = config | ({"literal": True} if literal else {})
        return DumpSchema(SchemaObject("index", type_, name, on, properties, options), lost)

    return read


def _properties(at: Literals) -> tuple[tuple[str, ...], bool]:
    """The properties in parentheses, paths with dots between; and whether a dot in one is part of its name."""
    if at.skip() != "(":
        return (), False
    paths: list[list[str]] = []
    while at.text[at.place : at.place + 1] in ("(", ","):
        at.place += 1
        at.skip()
        paths.append(_path(at))
        at.skip()
    if at.text[at.place : at.place + 1] != ")":
        at.fail("')'")
    at.place += 1
    literal = any("." in part for path in paths for part in path)
    if literal and any(len(path) > 1 for path in paths):
        raise NotUnderstood("paths and names with dots in them in one index")
    return tuple(".".join(path) for path in paths), literal


def _path(at: Literals) -> list[str]:
    parts = [at.name()]
    while (dot := _DOT.match(at.text, at.place)) is not None:
        at.place = dot.end()
        parts.append(at.name())
    return parts


def _config(at: Literals) -> tuple[dict[str, Any], str | None]:
    _pass(at, _WITH, "WITH CONFIG")
    given = _json_entries(at)
    missing = [key for key in ("dimension", "metric", "capacity") if key not in given]
    if missing:
        raise NotUnderstood(f"the configuration of the vector index lacks {', '.join(missing)}")
    # the dump has the capacity that was asked for, a SHOW what was made of it: one and a half times it, rounded up
    options = {**given, "capacity": (int(given["capacity"]) * 3 + 1) // 2}
    if options.get("scalar_kind") == _DEFAULT_SCALAR:
        del options["scalar_kind"]
    resize = options.pop("resize_coefficient", DEFAULT_RESIZE)
    return options, f"its resize coefficient {resize}; the default is used" if resize != DEFAULT_RESIZE else None


_ENTRY = re.compile(r'\s*+"(\w++)"\s*+:\s*+(?:"([^"\\]*+)"|(\d++))\s*+([,}])')


def _json_entries(at: Literals) -> dict[str, Any]:
    if at.skip() != "{":
        at.fail("'{'")
    at.place += 1
    found: dict[str, Any] = {}
    while True:
        entry = _pass(at, _ENTRY, "a setting of the index")
        found[entry[1]] = entry[2] if entry[2] is not None else int(entry[3])
        if entry[4] == "}":
            return found


def _constraint(at: Literals) -> DumpSchema:
    variable = _pass(at, _CONSTRAINT, "(u:")[1]
    on = at.name()
    _pass(at, _ASSERT, ") ASSERT")
    exists = _EXISTS.match(at.text, at.place)
    at.place = exists.end() if exists else at.place
    properties = _of_variable(at, variable)
    if exists:
        if at.skip() != ")":
            at.fail("')'")
        at.place += 1
        _pass(at, _END, "the end of the statement")
        return DumpSchema(SchemaObject("constraint", "exists", on=on, properties=properties))
    rule = _pass(at, _RULE, "IS UNIQUE or IS TYPED")
    if rule["unique"]:
        return DumpSchema(SchemaObject("constraint", "unique", on=on, properties=properties))
    options = {"data_type": "".join(rule["type"].upper().split())}
    return DumpSchema(SchemaObject("constraint", "data_type", on=on, properties=properties, options=options))


def _of_variable(at: Literals, variable: str) -> tuple[str, ...]:
    """``u.`a`, u.`b```"""
    prefix = re.compile(rf"\s*+{re.escape(variable)}\s*+\.\s*+")
    found: list[str] = []
    while not found or at.skip() == ",":
        at.place += bool(found)
        _pass(at, prefix, f"{variable}.")
        found.append(at.name())
    return tuple(found)


def _pass(at: Literals, pattern: re.Pattern[str], what: str) -> re.Match[str]:
    found = pattern.match(at.text, at.place)
    if found is None:
        at.fail(what)
    at.place = found.end()
    return found


_STATEMENTS: tuple[tuple[re.Pattern[str], Callable[[Literals], DumpSchema]], ...] = tuple(
    (_statement(words), reader)
    for words, reader in (
        ("CREATE ENUM", _enum),
        ("CREATE TRIGGER", _trigger),
        ("CREATE CONSTRAINT ON", _constraint),
        ("CREATE POINT INDEX", _index("point")),
        ("CREATE TEXT EDGE INDEX", _index("edge-type_text", named=True)),
        ("CREATE TEXT INDEX", _index("label_text", named=True)),
        ("CREATE VECTOR EDGE INDEX", _index("edge-type+property_vector", named=True)),
        ("CREATE VECTOR INDEX", _index("label+property_vector", named=True)),
        ("CREATE GLOBAL EDGE INDEX", _index("edge-property")),
        ("CREATE EDGE INDEX", _index("edge-type", "edge-type+property")),
        ("CREATE INDEX", _index("label", "label+property")),
    )
)
