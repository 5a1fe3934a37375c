"""Write the generated tables with ``psql``: one transaction drops those of an earlier run and streams the rows."""

from __future__ import annotations

from importlib.resources import files

from archon_dagster.errors import StoreError, StoreUnavailable
from archon_dagster.sandbox.seed.scale.refusals import Refusals
from archon_dagster.sandbox.seed.scale.table_rows import TABLES, Table, lines
from archon_dagster.stores.base import Progress, Work
from archon_dagster.stores.relational.running import Program, running
from archon_dagster.stores.relational.sql import QUIET, query
from archon_dagster.stores.relational.store import RelationalStore

_BLOCK = 1 << 18  # bytes
_EVERY = 5000  # rows between two reports
_NUMBERED = (("sources", "id"), ("documents", "id"), ('"Odd ""Events"""', "select"))
# what PostgreSQL may have or not, or take or not: how to ask, and what is added where it does
_QUESTIONS: tuple[tuple[str, str, str], ...] = (
    ("NUL in text", "SELECT E'a\\000b'::text", ""),
    ("NUL in jsonb", "SELECT '\"\\u0000\"'::jsonb", ""),
    ("infinite numeric", "SELECT 'Infinity'::numeric", "ALTER TABLE nothing ADD endless numeric DEFAULT 'Infinity'"),
    ("multiranges", "SELECT '{[1,3),[5,7)}'::int4multirange", "ALTER TABLE nothing ADD spans int4multirange"),
    (
        "indexes on expressions with included columns",
        "SELECT 1 WHERE current_setting('server_version_num')::int >= 110000",
        "CREATE INDEX odd_included ON documents (day) INCLUDE (status)",
    ),
)


class TableSeed:
    """The generated tables of one server, in a schema of their own.

    :ivar refusals: what the server does not have.
    """

    def __init__(self, store: RelationalStore, scale: int, work: Work):
        self._store, self._scale, self._work = store, scale, work
        self.refusals = Refusals()

    def write(self) -> dict[str, int]:
        """Make all of them anew; returns the rows of each. All or nothing."""
        extras = self._extras()
        options = (*QUIET, "--single-transaction", "--output=/dev/null")
        with running(self._store.programs, self._work, "psql", *options, database=self._store.database) as psql:
            psql.write(b"SET client_encoding = 'UTF8'; SET client_min_messages = warning;\n" + _script("tables.sql"))
            counts = {f"archon_scale.{table.name}": self._copy(psql, table) for table in TABLES}
            for table, column in _NUMBERED:
                psql.write(_continue(table, column))
            psql.write(_script("tables_after.sql") + "".join(f"{text};\n" for text in extras).encode())
            psql.close_input()
            while psql.read():
                pass
            psql.end()
        return counts

    def _copy(self, psql: Program, table: Table) -> int:
        psql.write(f"COPY {table.name} ({table.columns}) FROM stdin;\n".encode())
        pending, count = bytearray(), table.count(self._scale)
        for done, line in enumerate(lines(table, self._scale), start=1):
            pending += line
            if len(pending) >= _BLOCK:
                psql.write(bytes(pending))
                pending.clear()
            if done % _EVERY == 0 or done == count:
                self._work.report(Progress("relational", table.name, done, count, "rows"))
        psql.write(bytes(pending) + b"\\.\n")
        return count

    def _extras(self) -> list[str]:
        """What this server has besides."""
        found = []
        for what, question, statement in _QUESTIONS:
            try:
                query(self._store.programs, self._work, self._store.database, question)
            except StoreUnavailable:
                raise
            except StoreError as error:
                self.refusals.add(what, error.what.rpartition("it said: ")[2])
            else:
                found += [statement] if statement else []
        return found


def _script(name: str) -> bytes:
    return files(__package__).joinpath(name).read_bytes()


def _continue(table: str, column: str) -> bytes:
    """The sequence goes on behind the rows."""
    quoted = f'"{column}"'
    highest = f"SELECT max({quoted}) FROM {table}"
    text = f"SELECT setval(pg_get_serial_sequence('{table}', '{column}'), coalesce(({highest}), 1), true);\n"
    return text.encode()
