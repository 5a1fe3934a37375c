"""The sequences that belong to a table's columns, and the states in which a backup has them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from archon_dagster.stores.base import Work
from archon_dagster.stores.relational.programs import Programs
from archon_dagster.stores.relational.sql import NAME, literal, query, unquoted
from archon_dagster.stores.relational.table import Table

_SETVAL = re.compile(rb"SELECT pg_catalog\.setval\('((?:[^']|'')+)', (-?\d+), (true|false)\);$")
_NAMED = re.compile(rb"(" + NAME + rb")\.(" + NAME + rb")")
_OWNED = """SELECT s.relname, EXISTS (
  SELECT FROM pg_depend u JOIN pg_attrdef f ON f.oid = u.objid
  WHERE u.classid = 'pg_attrdef'::regclass AND u.refclassid = 'pg_class'::regclass AND u.refobjid = s.oid
    AND f.adrelid <> d.refobjid)
FROM pg_depend d JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S'
WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
  AND d.refobjsubid > 0 AND d.refobjid = %s::regclass;
"""


@dataclass(frozen=True, slots=True)
class State:
    """:param last: the last value; :param used: whether that one has been handed out, or comes next."""

    last: int
    used: bool


States = Mapping[Table, State]
"""By the name of the sequence, which is written like a table's."""


def read_state(statement: bytes) -> tuple[Table, State] | None:
    """What a dump's ``setval`` says."""
    found = _SETVAL.match(statement)
    named = _NAMED.fullmatch(found[1].replace(b"''", b"'")) if found else None
    if found is None or named is None:
        return None
    schema, name = (unquoted(part.decode(errors="replace")) for part in named.groups())
    return Table(schema, name), State(int(found[2]), found[3] == b"true")


def owned(programs: Programs, work: Work, database: str, table: Table) -> dict[Table, bool]:
    """The sequences that go when the table goes, serial and identity columns' too; whether other tables' defaults
    take numbers from them as well, as those of tables that inherit do.
    """
    rows = query(programs, work, database, _OWNED % literal(table.sql))
    return {Table(table.schema, name): shared == "t" for name, shared in rows}


def set_each(sequences: Mapping[Table, bool], states: States) -> Iterator[str]:
    """The statements that put sequences in the state of the backup, undone where their transaction is rolled back.

    One that other tables use too only goes on, never back: those have the numbers already. One that the backup does
    not have stays as it is.
    """
    for sequence, shared in sequences.items():
        if (state := states.get(sequence)) is None:
            continue
        itself = f"{literal(sequence.sql)}::pg_catalog.regclass"
        setval = f"SELECT pg_catalog.setval({itself}, {state.last}, {str(state.used).lower()})"
        if shared:
            yield (
                f"{setval} FROM {sequence.sql} s JOIN pg_catalog.pg_sequence q ON q.seqrelid = {itself} "
                f"WHERE CASE WHEN q.seqincrement > 0 THEN s.last_value < {state.last} "
                f"ELSE s.last_value > {state.last} END OR (s.last_value = {state.last} AND NOT s.is_called);"
            )
        else:  # setval by itself outlives a rollback; a restart gives the sequence new storage, which does not
            yield f"ALTER SEQUENCE {sequence.sql} RESTART;"
            yield f"{setval};"
