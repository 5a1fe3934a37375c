"""Put the rows of a backup in the place of a live table's rows, in one transaction.

The table itself stays: its indexes, triggers, privileges, the views on it and the foreign keys that point at it. Its
triggers do not fire for rows that come back, and no ``ON DELETE CASCADE`` reaches other tables; before the transaction
ends every foreign key of the table and to it is checked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from archon_dagster.errors import StoreError, StoreUnavailable
from archon_dagster.repository.manifest import Artifact
from archon_dagster.stores.base import Source, Work
from archon_dagster.stores.relational.programs import Programs
from archon_dagster.stores.relational.running import Program, running
from archon_dagster.stores.relational.sql import NAME, QUIET, literal, query, unquoted
from archon_dagster.stores.relational.table import Table, columns_of
from archon_dagster.stores.relational.unpacking import Unpacking, unpacking

_COPY = re.compile(rb"^COPY " + NAME + rb"\." + NAME + rb" \((.*)\) FROM stdin;$", re.MULTILINE)
_COLUMN = re.compile(NAME)
_HEAD = 1 << 20  # bytes of SQL before the rows begin, at most
_CHECK = """
DO $check$
DECLARE found boolean; fk record;
BEGIN
  FOR fk IN
    SELECT con.conname, con.conrelid::regclass AS child, con.confrelid::regclass AS parent,
      string_agg(format('c.%I IS NOT NULL', ca.attname), ' AND ') AS filled,
      string_agg(format('c.%I = p.%I', ca.attname, pa.attname), ' AND ') AS equal
    FROM pg_constraint con CROSS JOIN LATERAL unnest(con.conkey, con.confkey) AS k(c, p)
    JOIN pg_attribute ca ON ca.attrelid = con.conrelid AND ca.attnum = k.c
    JOIN pg_attribute pa ON pa.attrelid = con.confrelid AND pa.attnum = k.p
    WHERE con.contype = 'f' AND con.convalidated AND <table>::regclass IN (con.conrelid, con.confrelid)
    GROUP BY con.oid, con.conname, con.conrelid, con.confrelid
  LOOP
    EXECUTE format('SELECT EXISTS (SELECT FROM %s c WHERE %s AND NOT EXISTS (SELECT FROM %s p WHERE %s))',
                   fk.child, fk.filled, fk.parent, fk.equal) INTO found;
    IF found THEN
      RAISE EXCEPTION 'foreign key % of % would point at rows of % that do not exist',
        fk.conname, fk.child, fk.parent;
    END IF;
  END LOOP;
END $check$;
"""
_REFERENCED = "SELECT 1 FROM pg_constraint WHERE contype = 'f' AND confrelid = %s::regclass LIMIT 1;\n"


def replace_rows(
    programs: Programs, source: Source, dump: Artifact, work: Work, database: str, table: Table, live: Table
) -> None:
    """Make the rows of ``live`` those that ``table`` has in the archive; on any failure they stay as they were."""
    columns = columns_of(programs, work, database, live)
    with unpacking(programs, source, dump, work, "--data-only", *table.restore_options) as archive:
        head = _head(archive)
        _require_columns(head, columns, live, programs.address)
        with running(programs, work, "psql", *QUIET, database=database) as psql:
            psql.write(_begin(programs, work, database, live).encode())
            for piece in _rest(head, archive):
                psql.write(piece)
            archive.finish()
            psql.write(f"{_CHECK.replace('<table>', literal(live.sql))}COMMIT;\n".encode())
            _end(psql, live)


def _head(archive: Unpacking) -> bytes:
    """The SQL up to the statement that the rows follow, and some of these."""
    head = b""
    while not _COPY.search(head) and len(head) < _HEAD and (data := archive.read()):
        head += data
    return head


def _require_columns(head: bytes, columns: list[str], live: Table, where: str) -> None:
    found = _COPY.search(head)
    names = [unquoted(name.decode()) for name in _COLUMN.findall(found[1])] if found else []
    if names != columns:
        raise StoreError(
            f"table {live} has other columns now than in the backup; nothing was touched",
            where=where,
            tried=f"now {', '.join(columns)}; in the backup {', '.join(names)}",
            todo="restore it under a new name (--as) and copy from there what is wanted",
        )


def _begin(programs: Programs, work: Work, database: str, live: Table) -> str:
    referenced = query(programs, work, database, _REFERENCED % literal(live.sql))
    return "\n".join(
        [
            "BEGIN;",
            f"SET LOCAL lock_timeout = {int(work.deadline * 1000)};",
            f"LOCK TABLE {live.sql} IN ACCESS EXCLUSIVE MODE;",
            "SET LOCAL session_replication_role = replica;",
            f"{'DELETE FROM' if referenced else 'TRUNCATE'} {live.sql};",
            "",
        ]
    )


def _rest(head: bytes, archive: Unpacking) -> Iterator[bytes]:
    yield head
    while data := archive.read():
        yield data


def _end(psql: Program, live: Table) -> None:
    psql.close_input()
    try:
        psql.end()
    except StoreUnavailable:
        raise
    except StoreError as error:
        raise StoreError(
            f"the rows of {live} could not be replaced, they are as they were: {error.what}",
            where=error.where,
            todo="restore the tables that belong together (the whole store), or this one under a new name (--as)",
        ) from error
