"""One statement of a dump as what it makes: a node, a relationship, a schema object, or nothing that lasts.

::

    node         = "CREATE" "(" [ name ] { ":" label } [ "{" [ "__mg_id__" ":" integer ] … "}" ] ")"
    relationship = "MATCH" "(u:__mg_vertex__)" "," "(v:__mg_vertex__)" "WHERE" "u.__mg_id__" "=" integer
                   "AND" "v.__mg_id__" "=" integer "CREATE" "(u)" "-" "[" ":" type [ map ] "]" "->" "(v)"

The dump's own label ``__mg_vertex__`` and property ``__mg_id__`` are told from a user's of the same names by their
missing backticks.
"""

from __future__ import annotations

import re

from archon_dagster.stores.graph.dump.literals import Literals
from archon_dagster.stores.graph.dump.model import (
    DumpNode,
    DumpRelationship,
    NotUnderstood,
    Parsed,
    Scaffold,
    Statement,
)
from archon_dagster.stores.graph.dump.schema_statements import schema_object
from archon_dagster.stores.graph.values import Json

_LABEL, _ID = "__mg_vertex__", "__mg_id__"


def _phrase(words: str) -> re.Pattern[str]:
    """A fixed run of words, with any blanks between them and in any case."""
    parts = [part if part.startswith("(?") else re.escape(part) for part in words.split()]
    return re.compile(r"\s*+".join(parts) + r"\s*+", re.IGNORECASE)


_NODE = _phrase("CREATE ( ")
_INTERNAL_LABEL = _phrase(f": {_LABEL} (?!\\w)")
_INTERNAL_ID = _phrase(f"{{ {_ID} : (?P<id>\\d{{1,19}}) (?P<more>[,}}])")
_VARIABLE = re.compile(r"[^\W\d]\w*+\s*+")
_ENDS = _phrase(
    f"MATCH ( (?P<u>\\w+) : {_LABEL} ) , ( (?P<v>\\w+) : {_LABEL} ) WHERE (?P=u) . {_ID} = (?P<a>\\d{{1,19}}) "
    f"AND (?P=v) . {_ID} = (?P<b>\\d{{1,19}}) CREATE ( (?P=u) ) - [ :"
)
_ARROW = re.compile(r"\s*+\]\s*+->\s*+\(\s*+\w+\s*+\)\s*+;\s*+\Z")
_NODE_END = re.compile(r"\s*+\)\s*+;\s*+\Z")
_HELP = _phrase(f"(?:CREATE|DROP) INDEX ON :{_LABEL} ( {_ID} ) ;")
_LAST = _phrase(f"MATCH ( (?P<u>\\w+) ) REMOVE (?P=u) :{_LABEL} , (?P=u) . {_ID} ;")


def is_node(text: str) -> bool:
    return text.startswith("CREATE (") or _NODE.match(text) is not None


def is_relationship(text: str) -> bool:
    return text.startswith("MATCH (u:__mg_vertex__), (v") or _ENDS.match(text) is not None


def has_internal_label(text: str) -> bool:
    """Whether a node has the dump's own label, which a later statement removes again."""
    found = _NODE.match(text)
    return found is not None and _INTERNAL_LABEL.match(text, found.end()) is not None


def parse(statement: Statement, enums: frozenset[str] = frozenset()) -> Parsed:
    """What a statement makes; raises :class:`NotUnderstood`.

    :param enums: ``Name::Value`` of the enums the dump has made.
    """
    text = statement.text
    if not text.isascii():
        _expect_text(text)
    if is_node(text):
        return _node(Literals(text, enums=enums))
    if (ends := _ENDS.match(text)) is not None:
        return _relationship(Literals(text, ends.end(), enums), int(ends["a"]), int(ends["b"]))
    if _HELP.fullmatch(text):
        return Scaffold()
    if _LAST.fullmatch(text):
        return Scaffold(last=True)
    return schema_object(text)


def _expect_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise NotUnderstood("it has bytes that are not UTF-8") from error


def _node(at: Literals) -> DumpNode:
    at.place = _NODE.match(at.text).end()  # type: ignore[union-attr]
    if (variable := _VARIABLE.match(at.text, at.place)) is not None:
        at.place = variable.end()
    if (internal := _INTERNAL_LABEL.match(at.text, at.place)) is not None:
        at.place = internal.end()
    labels = at.names(":")
    node, properties = _with_id(at)
    _end(at, _NODE_END)
    return DumpNode(node, labels, properties)


def _with_id(at: Literals) -> tuple[int | None, dict[str, Json]]:
    if at.skip() != "{":
        return None, {}
    if (internal := _INTERNAL_ID.match(at.text, at.place)) is None:
        return None, at.entries()
    at.place = internal.end()
    node = _int64(internal["id"])
    return node, {} if internal["more"] == "}" else at.rest_of_entries()


def _relationship(at: Literals, start: int, end: int) -> DumpRelationship:
    kind = at.name()
    properties = at.entries() if at.skip() == "{" else {}
    _end(at, _ARROW)
    return DumpRelationship(kind, _int64(start), _int64(end), properties)


def _int64(number: str | int) -> int:
    if (value := int(number)) >= 2**63:
        raise NotUnderstood(f"{value} does not fit 64 bits")
    return value


def _end(at: Literals, pattern: re.Pattern[str]) -> None:
    if pattern.match(at.text, at.place) is None:
        at.fail("the end of the statement")
