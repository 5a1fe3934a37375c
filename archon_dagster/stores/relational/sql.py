"""Ask the server through ``psql``: statements in, rows out."""

from __future__ import annotations

import csv
import io

from archon_dagster.stores.base import Work
from archon_dagster.stores.relational.programs import Programs
from archon_dagster.stores.relational.running import running

NAME = rb'(?:"(?:[^"]|"")*"|[\w\x80-\xff][\w$\x80-\xff]*)'
"""A name as PostgreSQL's programs write it."""
QUIET = ("--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1")


def query(programs: Programs, work: Work, database: str, script: str) -> list[list[str]]:
    """Run a script and return the rows of all its queries; stops at the first error.

    Raises :class:`~archon_dagster.errors.StoreError` with what the server said.
    """
    with running(programs, work, "psql", *QUIET, "--csv", "--tuples-only", database=database) as psql:
        psql.write(b"SET client_encoding = 'UTF8';\n" + script.encode())
        psql.close_input()
        output = b"".join(iter(psql.read, b""))
        psql.end()
    return list(csv.reader(io.StringIO(output.decode(), newline="")))


def identifier(name: str) -> str:
    """A name quoted for SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text quoted for SQL, whatever ``standard_conforming_strings`` is."""
    return " E'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def unquoted(name: str) -> str:
    """A name as the server knows it, from its form in SQL."""
    return name[1:-1].replace('""', '"') if name.startswith('"') else name
