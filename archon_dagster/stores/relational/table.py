"""One table by name, and what the server says of it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from archon_dagster.errors import ConfigurationError
from archon_dagster.stores.base import Work
from archon_dagster.stores.relational.programs import Programs
from archon_dagster.stores.relational.sql import NAME, identifier, literal, query, unquoted

_NAMED = re.compile(rf"(?:({NAME.decode('latin-1')})\.)?({NAME.decode('latin-1')}|[^\".]+)")
_PLAIN = re.compile(r"\w[\w$]*")
NAME_LIMIT = 63  # bytes PostgreSQL keeps of a name


@dataclass(frozen=True, slots=True)
class Table:
    """A schema and a name in it; as text it is the ``schema.name`` of a backup's counts and fingerprints."""

    schema: str
    name: str

    @classmethod
    def parse(cls, text: str, schema: str = "public") -> Table:
        """``name``, ``schema.name``, or either with parts in double quotes.

        :param schema: where a name without one is.
        """
        found = _NAMED.fullmatch(text)
        if found is None:
            raise ConfigurationError(
                f"{text!r} is not the name of a table", todo='write it as schema.name; quote what has dots: "a.b".c'
            )
        table = cls(unquoted(found[1]) if found[1] else schema, unquoted(found[2]))
        if too_long := [part for part in (table.schema, table.name) if len(part.encode()) > NAME_LIMIT]:
            raise ConfigurationError(
                f"{too_long[0]!r} is longer than the {NAME_LIMIT} bytes PostgreSQL keeps of a name"
            )
        return table

    @classmethod
    def counted(cls, name: str) -> Table:
        """From the ``schema.name`` of a backup's counts; a schema with a dot in its name cannot be told from it."""
        return cls(*name.split(".", 1))

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def typed(self) -> str:
        """As an operator types it; :meth:`parse` understands it."""
        schema = self.schema if _PLAIN.fullmatch(self.schema) else identifier(self.schema)
        name = identifier(self.name) if set(self.name) & set('".') else self.name
        return f"{schema}.{name}"

    @property
    def sql(self) -> str:
        return f"{identifier(self.schema)}.{identifier(self.name)}"

    @property
    def dump_option(self) -> tuple[str, ...]:
        """What makes ``pg_dump`` take this table alone: a pattern, in which quotes take every letter as it is."""
        return (f"--table={self.sql}",)

    @property
    def restore_options(self) -> tuple[str, ...]:
        """What makes ``pg_restore`` take this table alone: names, not patterns."""
        return (f"--schema={self.schema}", f"--table={self.name}")


def kind_of(programs: Programs, work: Work, database: str, table: Table) -> str | None:
    """``r`` for an ordinary table, ``p`` for a partitioned one, ``v`` for a view, …; ``None``: there is nothing."""
    where = f"n.nspname = {literal(table.schema)} AND c.relname = {literal(table.name)}"
    rows = query(
        programs, work, database,
        f"SELECT c.relkind FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {where};\n",
    )  # fmt: skip
    return rows[0][0] if rows else None


def has_schema(programs: Programs, work: Work, database: str, schema: str) -> bool:
    return bool(query(programs, work, database, f"SELECT 1 FROM pg_namespace WHERE nspname = {literal(schema)};\n"))


def columns_of(programs: Programs, work: Work, database: str, table: Table) -> list[str]:
    """The columns that a dump writes, in order: those that are not computed."""
    rows = query(
        programs, work, database,
        f"SELECT attname FROM pg_attribute WHERE attrelid = {literal(table.sql)}::regclass AND attnum > 0 "
        "AND NOT attisdropped AND attgenerated = '' ORDER BY attnum;\n",
    )  # fmt: skip
    return [row[0] for row in rows]
