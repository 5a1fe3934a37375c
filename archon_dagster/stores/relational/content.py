"""What a dump contains, read from its SQL while it streams: the fingerprint's parts and the rows of each table.

The same reader looks at an archive (``pg_restore --file=-``) and at a live database (``pg_dump --format=plain``), so
both sides compare equal when the content is. Left out are comments, version lines, random keys, session settings
and the name of the database itself: a restore may give it another one.

``table <schema>.<name>``   the rows of a table, as ``COPY`` writes them
``schema``                  every other statement: definitions, owners, privileges
``sequences``               the state of every sequence
``large objects``           large objects by their number, where there are any
"""

from __future__ import annotations

import hashlib
import re

from archon_dagster.repository.manifest import Fingerprint
from archon_dagster.stores.digest import Multiset
from archon_dagster.stores.relational.script import Statements
from archon_dagster.stores.relational.sequences import State, read_state
from archon_dagster.stores.relational.sql import NAME, unquoted
from archon_dagster.stores.relational.table import Table

_COPY = re.compile(rb"COPY (" + NAME + rb")\.(" + NAME + rb") .*FROM stdin;$", re.DOTALL)
_SETVAL = re.compile(rb"SELECT pg_catalog\.setval\(")
_SEARCH_PATH = re.compile(rb"SELECT pg_catalog\.set_config\('search_path', ")
_SETTING = re.compile(rb"SET (\w+) = (.*);$", re.DOTALL)
_LARGE_OBJECT = re.compile(rb"SELECT pg_catalog\.(lo_open|lowrite|lo_close)\('?(\d+)'?(?:, (.*))?\);$", re.DOTALL)
_DATABASE = re.compile(
    rb"((?:CREATE|ALTER|COMMENT ON|(?:GRANT|REVOKE) [^;]*? ON|SECURITY LABEL [^;]*?ON|ALTER ROLE " + NAME + rb" IN)"
    rb" DATABASE )(" + NAME + rb")(.*)$",
    re.DOTALL,
)
_PLACED = re.compile(rb"CREATE (?:UNLOGGED )?(?:UNIQUE )?(?:TABLE|INDEX|MATERIALIZED VIEW) |ALTER TABLE .* ADD CONST",
                     re.DOTALL)  # fmt: skip
# PostgreSQL prints the same list of texts in two ways: as it was parsed from a query, and as it was parsed from its
# own first printing. A restored constraint, index or view would look changed.
_VARCHAR = rb"'(?:[^']|'')*'::character varying"
_CAST_LIST = re.compile(rb"\(ARRAY\[(" + _VARCHAR + rb"(?:, " + _VARCHAR + rb")*)\]\)::text\[\]")
_CAST_ITEM = re.compile(_VARCHAR)


class Content:
    """Collects what a dump contains; :meth:`feed` takes its SQL in pieces of any size.

    :param database: how the dump names the database, as SQL; ``None`` until its statement has been seen.
    :param database_statements: what makes the database and its settings: before its name, after its name.
    :param states: of the sequences, by name.
    """

    def __init__(self) -> None:
        self.database: bytes | None = None
        self.database_statements: list[tuple[bytes, bytes]] = []
        self.states: dict[Table, State] = {}
        self.complete = False
        self._tables: dict[str, Multiset] = {}
        self._schema, self._sequences, self._objects = Multiset(), Multiset(), Multiset()
        self._statements, self._rest = Statements(), b""
        self._rows: Multiset | None = None  # of the table whose rows are being read
        self._object = hashlib.sha256()
        self._places = {b"default_tablespace": b"''", b"default_table_access_method": b"heap"}

    def feed(self, data: bytes) -> None:
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        for line in lines:
            if self._rows is None:
                self._sql(line)
            elif line == b"\\.":
                self._rows = None
            else:
                self._rows.add(line)

    @property
    def counts(self) -> dict[str, int]:
        """Rows by table."""
        return {name: rows.count for name, rows in sorted(self._tables.items())}

    @property
    def fingerprint(self) -> Fingerprint:
        parts = {f"table {name}": rows.part() for name, rows in sorted(self._tables.items())}
        parts |= {"schema": self._schema.part(), "sequences": self._sequences.part()}
        if self._objects.count:
            parts["large objects"] = self._objects.part()
        return Fingerprint(parts=parts)

    def _sql(self, line: bytes) -> None:
        if self._statements.between and line.startswith(b"-- PostgreSQL database dump complete"):
            self.complete = True
        for statement in self._statements.feed(line + b"\n"):
            self._statement(statement)

    def _statement(self, statement: bytes) -> None:
        if copy := _COPY.match(statement):
            name = f"{_text(copy[1])}.{_text(copy[2])}"
            self._rows = self._tables.setdefault(name, Multiset())
        elif _SETVAL.match(statement):
            self._sequences.add(statement)
            if found := read_state(statement):
                self.states[found[0]] = found[1]
        elif setting := _SETTING.match(statement):
            if setting[1] in self._places:
                self._places[setting[1]] = setting[2]
        elif step := _LARGE_OBJECT.match(statement):
            self._large_object(step)
        elif statement not in (b"BEGIN;", b"COMMIT;") and not _SEARCH_PATH.match(statement):
            self._schema.add(self._canonical(statement))

    def _large_object(self, step: re.Match[bytes]) -> None:
        if step[1] == b"lo_open":
            self._object = hashlib.sha256(step[2] + b"\0")
        elif step[1] == b"lowrite":
            self._object.update(step[3].strip(b"'").removeprefix(b"\\x"))
        else:
            self._objects.add(self._object.digest())

    def _canonical(self, statement: bytes) -> bytes:
        if (found := _DATABASE.match(statement)) and self.database in (None, found[2]):
            self.database = found[2]
            self.database_statements.append((found[1], found[3]))
            return found[1] + b"<database>" + found[3]
        places = b"\0".join(self._places.values()) + b"\0" if _PLACED.match(statement) else b""
        return places + _CAST_LIST.sub(_cast_each, statement)


def _cast_each(found: re.Match[bytes]) -> bytes:
    return b"ARRAY[" + b", ".join(b"(" + item + b")::text" for item in _CAST_ITEM.findall(found[1])) + b"]"


def _text(name: bytes) -> str:
    return unquoted(name.decode(errors="replace"))
