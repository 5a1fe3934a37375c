"""Put the rows of a backup in the place of a live table's rows, in one transaction.

The table itself stays: its indexes, triggers, privileges, the views on it and the foreign keys that point at it. Only
its own rows change, not those of tables that inherit from it. None of its triggers fires, not even one that is enabled
for replicas or always, and no ``ON DELETE CASCADE`` reaches other tables; before the transaction ends every foreign
key of the table and to it is checked. The sequences that its columns own get the state they have in the backup.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from archon_dagster.errors import StoreError, StoreUnavailable
from archon_dagster.repository.manifest import Artifact
from archon_dagster.stores.base import Source, Work
from archon_dagster.stores.relational.programs import Programs
from archon_dagster.stores.relational.running import Program, running
from archon_dagster.stores.relational.sequences import States, owned, set_each
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
    WITH RECURSIVE own AS (  -- a key of a partition, or to one, is part of the key of the whole, which is what holds
      SELECT oid, conparentid FROM pg_constraint WHERE contype = 'f' AND <table>::regclass IN (conrelid, confrelid)
      UNION SELECT whole.oid, whole.conparentid FROM own JOIN pg_constraint whole ON whole.oid = own.conparentid)
    SELECT con.conname, con.conrelid::regclass AS child, con.confrelid::regclass AS parent,
      CASE child.relkind WHEN 'p' THEN '' ELSE 'ONLY ' END AS of_child,  -- a key is of a table, not of its heirs
      CASE parent.relkind WHEN 'p' THEN '' ELSE 'ONLY ' END AS of_parent,
      string_agg(format('c.%I IS NOT NULL', ca.attname), ' AND ') AS filled,
      string_agg(format('c.%I = p.%I', ca.attname, pa.attname), ' AND ') AS equal
    FROM pg_constraint con JOIN own ON own.oid = con.oid CROSS JOIN LATERAL unnest(con.conkey, con.confkey) AS k(c, p)
    JOIN pg_class child ON child.oid = con.conrelid JOIN pg_class parent ON parent.oid = con.confrelid
    JOIN pg_attribute ca ON ca.attrelid = con.conrelid AND ca.attnum = k.c
    JOIN pg_attribute pa ON pa.attrelid = con.confrelid AND pa.attnum = k.p
    WHERE con.conparentid = 0 AND con.convalidated
    GROUP BY con.oid, con.conname, con.conrelid, con.confrelid, child.relkind, parent.relkind
  LOOP
    EXECUTE format('SELECT EXISTS (SELECT FROM %s%s c WHERE %s AND NOT EXISTS (SELECT FROM %s%s p WHERE %s))',
                   fk.of_child, fk.child, fk.filled, fk.of_parent, fk.parent, fk.equal) INTO found;
    IF found THEN
      RAISE EXCEPTION 'foreign key % of % would point at rows of % that do not exist',
        fk.conname, fk.child, fk.parent;
    END IF;
  END LOOP;
END $check$;
"""
# what fires although session_replication_role says replica; the statements that put it back are kept in a setting
_SILENCE = """
DO $silence$
DECLARE one record; again text := '';
BEGIN
  FOR one IN
    SELECT 'TRIGGER' AS kind, tgname AS name, tgenabled AS enabled FROM pg_trigger WHERE tgrelid = <table>::regclass
    UNION ALL SELECT 'RULE', rulename, ev_enabled FROM pg_rewrite WHERE ev_class = <table>::regclass
  LOOP
    CONTINUE WHEN one.enabled NOT IN ('A', 'R');
    EXECUTE format('ALTER TABLE ONLY %s DISABLE %s %I', <table>, one.kind, one.name);
    again := again || format('ALTER TABLE ONLY %s ENABLE %s %s %I;', <table>,
      CASE one.enabled WHEN 'A' THEN 'ALWAYS' ELSE 'REPLICA' END, one.kind, one.name);
  END LOOP;
  PERFORM set_config('archon.silenced', again, true);
END $silence$;
"""
_RELEASE = "DO $release$ BEGIN EXECUTE current_setting('archon.silenced'); END $release$;\n"
_UTF8 = "SET client_encoding = 'UTF8';\n"  # an archive sets that of its database
_REFERENCED = "SELECT 1 FROM pg_constraint WHERE contype = 'f' AND confrelid = %s::regclass LIMIT 1;\n"


def replace_rows(
    programs: Programs,
    source: Source,
    dump: Artifact,
    work: Work,
    database: str,
    table: Table,
    live: Table,
    states: States,
) -> None:
    """Make the rows of ``live`` those that ``table`` has in the archive; on any failure they stay as they were.

    :param states: those of the sequences in the archive.
    """
    columns = columns_of(programs, work, database, live)
    sequences = owned(programs, work, database, live)
    with unpacking(programs, source, dump, work, "--data-only", *table.restore_options) as archive:
        head = _head(archive)
        _require_columns(head, columns, live, programs.address)
        with running(programs, work, "psql", *QUIET, database=database) as psql:
            psql.write(_begin(programs, work, database, live).encode())
            for piece in _rest(head, archive):
                psql.write(piece)
            archive.finish()
            psql.write(_finish(work, live, set_each(sequences, states)).encode())
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
            f"{_UTF8}BEGIN;",
            _lock_timeout(work),
            f"LOCK TABLE ONLY {live.sql} IN ACCESS EXCLUSIVE MODE;",
            "SET LOCAL session_replication_role = replica;",
            _SILENCE.replace("<table>", literal(live.sql)),
            f"{'DELETE FROM' if referenced else 'TRUNCATE'} ONLY {live.sql};",
            "",
        ]
    )


def _finish(work: Work, live: Table, sequences: Iterator[str]) -> str:
    check = _CHECK.replace("<table>", literal(live.sql))
    return "\n".join([_UTF8, _lock_timeout(work), check, _RELEASE, *sequences, "COMMIT;", ""])


def _lock_timeout(work: Work) -> str:
    """An archive begins with a statement that takes it away."""
    return f"SET LOCAL lock_timeout = {int(work.deadline * 1000)};"


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
