"""Add a table of a backup to a live database, under any name.

A database is made beside the live one, with every definition of the archive but only this table's rows, indexes and
constraints. There PostgreSQL itself gives table, indexes and sequences their new names; then ``pg_dump`` takes the
table over in one transaction. Whoever is killed meanwhile leaves a scratch database, which the next restore removes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from archon_dagster.errors import ArchonError, RestoreFailed, StoreError, StoreUnavailable
from archon_dagster.repository.manifest import Artifact
from archon_dagster.stores.base import Work
from archon_dagster.stores.leaving import tidying
from archon_dagster.stores.relational import databases
from archon_dagster.stores.relational.content import Content
from archon_dagster.stores.relational.export import live_content
from archon_dagster.stores.relational.programs import Programs
from archon_dagster.stores.relational.renaming import new_names
from archon_dagster.stores.relational.restoring import Restoring, connection_value
from archon_dagster.stores.relational.running import running
from archon_dagster.stores.relational.script import Statements
from archon_dagster.stores.relational.sql import NAME, QUIET, query, unquoted
from archon_dagster.stores.relational.table import Table, kind_of
from archon_dagster.stores.relational.unpacking import unpacking

LEFT_OUT = "foreign keys, triggers, row policies, owner and privileges: a restore of the whole database has them"
_CLEAN_UP = 120.0  # seconds the removal of the scratch database may take
_OWN = re.compile(
    rb"(?:ALTER TABLE (?:ONLY )?|CREATE (?:UNIQUE )?INDEX " + NAME + rb" ON (?:ONLY )?)"
    rb"(" + NAME + rb")\.(" + NAME + rb")\s+(ADD CONSTRAINT|USING|ENABLE ROW LEVEL SECURITY)(.*)$",
    re.DOTALL,
)
_FOREIGN = re.compile(rb"\s" + NAME + rb"\s+FOREIGN KEY\b")


@dataclass(frozen=True)
class Adding:
    """One table on its way into a live database.

    :param table: what the backup calls it; :param live: what it is called afterwards.
    """

    restoring: Restoring
    table: Table
    live: Table

    def run(self, dump: Artifact, content: Content) -> None:
        """Build beside, compare, take over; the live database gets a whole table or none."""
        exchange = databases.plan_exchange(self.restoring.database)
        self.restoring.clear_leftovers("restore")
        try:
            databases.create(self._programs, self._work, exchange, content.database_statements)
            self._fill(dump, exchange.scratch)
            self._compare(dump, exchange.scratch)
            self._rename(exchange.scratch, content)
            self._take_over(exchange.scratch)
        finally:
            self._remove(exchange.scratch)

    def _fill(self, dump: Artifact, scratch: str) -> None:
        into = f"dbname={connection_value(scratch)}"
        refused = ""
        try:
            self._pg_restore(dump, "--section=pre-data", into=into)
        except StoreUnavailable:
            raise
        except StoreError as error:  # an extension that only a superuser can make is of no concern to most tables
            refused = error.what
        if kind_of(self._programs, self._work, scratch, self.table) is None:
            raise StoreError(
                f"table {self.table} cannot be made from the backup: {refused or 'it has no definition of it'}",
                where=self._programs.address,
                todo="restore the whole database, perhaps into another server (--target)",
            )
        self._pg_restore(dump, "--exit-on-error", "--section=data", *self.table.restore_options, into=into)
        query(self._programs, self._work, scratch, "".join(f"{one}\n" for one in self._own_statements(dump)))

    def _pg_restore(self, dump: Artifact, *arguments: str, into: str) -> None:
        with unpacking(self._programs, self.restoring.source, dump, self._work, *arguments, into=into) as archive:
            archive.finish()

    def _own_statements(self, dump: Artifact) -> list[str]:
        """The indexes and constraints of the table, as the archive makes them."""
        reader, found = Statements(), b""
        with unpacking(self._programs, self.restoring.source, dump, self._work, "--section=post-data") as archive:
            while data := archive.read():
                found += data
            archive.finish()
        statements = [one for line in found.splitlines(keepends=True) for one in reader.feed(line)]
        return [statement.decode() for statement in statements if belongs(statement, self.table)]

    def _compare(self, dump: Artifact, scratch: str) -> None:
        name = f"table {self.table}"
        expected = dump.fingerprint.parts.get(name) if dump.fingerprint else None
        found = live_content(self._programs, self._work, scratch, self.table).fingerprint.parts.get(name)
        if expected is None or found is None or (expected.count, expected.digest) != (found.count, found.digest):
            raise RestoreFailed(
                f"the rows of {self.table} did not arrive as they are in {dump.name}",
                where=f"{self._programs.address}, database {scratch}",
                todo="nothing live was touched; look at the server's log, or restore another backup",
            )

    def _rename(self, scratch: str, content: Content) -> None:
        names = (scratch, self.restoring.database)
        lines = new_names(self._programs, self._work, names, self.table, self.live, content.states)
        query(self._programs, self._work, scratch, "".join(f"{line}\n" for line in lines))

    def _take_over(self, scratch: str) -> None:
        """Begin and commit are written here: a copy that breaks off must not be committed by the end of its input."""
        arguments = ("--format=plain", "--no-owner", "--no-privileges", *self.live.dump_option)
        with (
            running(self._programs, self._work, "pg_dump", *arguments, database=scratch) as dump,
            running(self._programs, self._work, "psql", *QUIET, database=self.restoring.database) as psql,
        ):
            dump.close_input()
            psql.write(b"BEGIN;\n")
            while data := dump.read():
                psql.write(data)
            dump.end()
            psql.write(b"COMMIT;\n")
            psql.close_input()
            psql.end()

    def _remove(self, scratch: str) -> None:
        try:
            databases.drop(self._programs, tidying(self._work, _CLEAN_UP), self.restoring.database, [scratch])
        except ArchonError as residue:
            self._work.warn(f"the scratch database {scratch} stayed on the server ({residue.what}); the next restore "
                            "removes it")  # fmt: skip

    @property
    def _programs(self) -> Programs:
        return self.restoring.programs

    @property
    def _work(self) -> Work:
        return self.restoring.work


def belongs(statement: bytes, table: Table) -> bool:
    """Whether a statement makes an index or a constraint of the table's own, or closes it to strangers."""
    found = _OWN.match(statement)
    if found is None or (unquoted(found[1].decode()), unquoted(found[2].decode())) != (table.schema, table.name):
        return False
    return not (found[3] == b"ADD CONSTRAINT" and _FOREIGN.match(found[4]))
