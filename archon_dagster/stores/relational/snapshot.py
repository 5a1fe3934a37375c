"""A snapshot of the database, held by a session of its own for as long as something reads from it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from archon_dagster.stores.base import Work
from archon_dagster.stores.relational.programs import Programs
from archon_dagster.stores.relational.running import Program, running
from archon_dagster.stores.relational.sql import QUIET

_BEGIN = b"""\\pset tuples_only on
\\pset format unaligned
SET client_encoding = 'UTF8';
SET statement_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY;
SELECT pg_export_snapshot();
SELECT current_setting('server_version');
"""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """:param name: for ``pg_dump --snapshot``; :param server_version: of the server that holds it."""

    name: str
    server_version: str


@contextmanager
def held_snapshot(programs: Programs, work: Work, database: str) -> Iterator[Snapshot]:
    """A snapshot that stays valid inside the context; leaving it normally makes sure that it was valid to the end."""
    with running(programs, work, "psql", *QUIET, database=database) as session:
        session.write(_BEGIN)
        session.flush()
        yield Snapshot(_answer(session), _answer(session))
        session.write(b"COMMIT;\n")
        session.close_input()
        session.end()


def _answer(session: Program) -> str:
    line = session.readline()
    if not line:
        session.end()
        raise session.failure("it gave no answer")
    return line.decode().strip()
