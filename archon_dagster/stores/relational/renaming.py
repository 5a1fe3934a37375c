"""Give a table in a scratch database the names it is to have in the live one.

Indexes (and with them the constraints they are of) and sequences share their names with everything else in a schema,
so each gets one that is free in the live database. The sequences go on where the backup has them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping

from archon_dagster.stores.base import Work
from archon_dagster.stores.relational.programs import Programs
from archon_dagster.stores.relational.sequences import States, owned, set_each
from archon_dagster.stores.relational.sql import identifier, literal, query
from archon_dagster.stores.relational.table import NAME_LIMIT, Table

_PARENTS = """SELECT p.oid::regclass, p.relkind FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhparent
WHERE i.inhrelid = %s::regclass;
"""
_INDEXES = "SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = %s::regclass;\n"
_TAKEN = "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s;\n"


def new_names(
    programs: Programs, work: Work, databases: tuple[str, str], table: Table, live: Table, states: States
) -> list[str]:
    """The statements, to be run in the scratch database.

    :param databases: the scratch one, in which ``table`` is, and the live one, in which it will be ``live``.
    :param states: those of the sequences in the backup.
    """
    scratch, target = databases
    itself = literal(table.sql)
    sequences = owned(programs, work, scratch, table)
    indexes = [row[0] for row in query(programs, work, scratch, _INDEXES % itself)]
    parents = dict(query(programs, work, scratch, _PARENTS % itself))
    taken = {row[0] for row in query(programs, work, target, _TAKEN % literal(live.schema))} | {live.name}
    return [
        *set_each(dict.fromkeys(sequences, False), states),
        *_leave(table, parents),
        *_rename_each("INDEX", indexes, table, live, taken),
        *_rename_each("SEQUENCE", [one.name for one in sequences], table, live, taken),
        *_rename_table(table, live),
    ]


def _leave(table: Table, parents: Mapping[str, str]) -> Iterator[str]:
    """A partition, or a table that inherits, becomes one of its own."""
    for parent, kind in parents.items():
        yield (
            f"ALTER TABLE {parent} DETACH PARTITION {table.sql};"
            if kind == "p"
            else f"ALTER TABLE {table.sql} NO INHERIT {parent};"
        )


def _rename_each(kind: str, names: Iterable[str], table: Table, live: Table, taken: set[str]) -> Iterator[str]:
    for name in names:
        new = renamed(name, table.name, live.name, taken)
        if new != name:
            yield f"ALTER {kind} {Table(table.schema, name).sql} RENAME TO {identifier(new)};"


def _rename_table(table: Table, live: Table) -> Iterator[str]:
    if live.name != table.name:
        yield f"ALTER TABLE {table.sql} RENAME TO {identifier(live.name)};"
    if live.schema != table.schema:
        yield f"CREATE SCHEMA IF NOT EXISTS {identifier(live.schema)};"
        yield f"ALTER TABLE {Table(table.schema, live.name).sql} SET SCHEMA {identifier(live.schema)};"


def renamed(name: str, old: str, new: str, taken: set[str]) -> str:
    """What an index or sequence of table ``old`` is called when the table is ``new``; it is then taken."""
    wanted = name if new == old else f"{new}{name.removeprefix(old)}" if name.startswith(old) else f"{new}_{name}"
    found, number = _short(wanted), 0
    while found in taken:
        number += 1
        found = _short(f"{wanted}_{number}")
    taken.add(found)
    return found


def _short(name: str) -> str:
    """A name that would be cut by the server, and might then be taken, ends in its own digest instead."""
    if len(name.encode()) <= NAME_LIMIT:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name.encode()[: NAME_LIMIT - 9].decode(errors='ignore')}_{digest}"
