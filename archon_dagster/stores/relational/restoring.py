"""Put an archive in the live database's place, without touching the live one before the new one is whole."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

from archon_dagster.errors import ArchonError, Cancelled, DamagedBackup, RestoreFailed, StoreError, VersionMismatch
from archon_dagster.repository.manifest import Artifact, Fingerprint
from archon_dagster.stores.base import ArtifactReader, Progress, Source, Work
from archon_dagster.stores.leaving import tidying
from archon_dagster.stores.relational import databases, roles
from archon_dagster.stores.relational.content import Content
from archon_dagster.stores.relational.databases import Exchange
from archon_dagster.stores.relational.export import live_content
from archon_dagster.stores.relational.inspection import inspecting
from archon_dagster.stores.relational.programs import Programs, major_version
from archon_dagster.stores.relational.running import BLOCK, ask, output_of, running
from archon_dagster.stores.relational.sql import query

_CLEAN_UP = 120.0  # seconds any single step of the cleaning up may take
_CANCELLED_ASK = 1.0  # seconds a cancelled restore gives the server to show that cleaning up is possible


@dataclass(frozen=True)
class Restoring:
    """One restore of one database."""

    programs: Programs
    source: Source
    work: Work
    database: str

    def run(self, dump: Artifact, globals_: Artifact | None) -> None:
        """Check, restore beside the live database, compare, exchange; the live one stays as it was on any failure."""
        self.check_versions(dump)
        content = self.inspect(dump)
        exchange = databases.plan_exchange(self.database)
        made: tuple[str, ...] = ()
        try:
            self.clear_leftovers("restore")
            made = self._roles(globals_, exchange)
            self._fill(exchange, dump, content)
            databases.exchange_databases(self.programs, self.work, exchange)
        except BaseException as error:
            self._undo(exchange, made, error)
            raise
        self.clear_leftovers("before")

    def check_versions(self, dump: Artifact) -> None:
        """Raise :class:`VersionMismatch` where the programs or the server are older than the archive."""
        made_by = str(dump.details.get("dump_version", ""))
        client = output_of(self.programs, self.work, "pg_restore", "--version").decode().strip()
        if major_version(client) < major_version(made_by):
            raise VersionMismatch(
                f"{client} is older than the pg_dump {made_by} that wrote {dump.name}",
                where=self.programs.address,
                todo="install PostgreSQL's client programs of that version or newer; nothing was touched",
            )
        ((server,),) = query(self.programs, self.work, self._maintenance, "SHOW server_version;\n")
        if major_version(server) < major_version(str(dump.details.get("server_version", ""))):
            raise VersionMismatch(
                f"{dump.name} was made on PostgreSQL {dump.details['server_version']}, this server is {server}",
                where=self.programs.address,
                todo="restore to a server of that version or newer; nothing was touched",
            )

    def inspect(self, dump: Artifact) -> Content:
        """Read the whole archive first: one that is damaged is found before anything is changed."""
        self.work.report(Progress("relational", "check the archive", 0, dump.size))
        content = read_archive(self.programs, self.source, dump, self.work)
        _compare(dump, content.fingerprint, DamagedBackup, f"backup {self.source.backup_id}, {dump.name}")
        return content

    def _roles(self, globals_: Artifact | None, exchange: Exchange) -> tuple[str, ...]:
        if globals_ is None:
            return ()
        with self.source.open(globals_) as reader:
            parsed = roles.read_globals(reader.read().splitlines(keepends=True))
        return roles.create_missing(self.programs, self.work, exchange.maintenance, parsed)

    def _fill(self, exchange: Exchange, dump: Artifact, content: Content) -> None:
        databases.create(self.programs, self.work, exchange, content.database_statements)
        target = f"--dbname=dbname={connection_value(exchange.scratch)}"
        with running(self.programs, self.work, "pg_restore", "--exit-on-error", target) as program:
            feed(self.source.open(dump), program.write, self.work, Progress("relational", "restore", 0, dump.size))
            program.close_input()
            program.end()
        databases.apply_settings(self.programs, self.work, exchange, content.database_statements)
        found = live_content(self.programs, self.work, exchange.scratch).fingerprint
        _compare(dump, found, RestoreFailed, f"{self.programs.address}, database {exchange.scratch}")

    def _undo(self, exchange: Exchange, made: tuple[str, ...], error: BaseException) -> None:
        """Remove what was made beside the live database; after a cancel, what the server does not do at once is left.

        Only the way back of an exchange that has taken effect is waited for.
        """
        work = replace(self.work, cancel=threading.Event(), deadline=min(self.work.deadline, _CLEAN_UP))
        if isinstance(error, Cancelled) and ask(self.programs, _CANCELLED_ASK) == "silent":
            error.add_note(f"the server does not answer; the next restore removes the database {exchange.scratch}")
            return
        try:
            databases.exchange_back(self.programs, work, exchange)
            at_once = tidying(self.work, _CLEAN_UP)
            databases.drop(self.programs, at_once, self.database, [exchange.scratch])
            roles.drop(self.programs, at_once, exchange.maintenance, made)
        except ArchonError as residue:
            error.add_note(f"the scratch database {exchange.scratch} may have stayed on the server: {residue}")

    def clear_leftovers(self, kind: str) -> None:
        """Databases of this restore and of earlier ones that were killed."""
        present = databases.names(self.programs, self.work, self.database)
        old = databases.leftovers(present, self.database, kind)
        databases.drop(self.programs, self.work, self.database, old)

    @property
    def _maintenance(self) -> str:
        return databases.maintenance_of(self.database)


def read_archive(programs: Programs, source: Source, dump: Artifact, work: Work) -> Content:
    """What an archive contains; raises :class:`StoreError` where ``pg_restore`` cannot read it to its end."""
    with inspecting(programs, work) as inspection:
        feed(source.open(dump), inspection.write, work, Progress("relational", "read", 0, dump.size))
        return inspection.finish()


def feed(reader: ArtifactReader, write: Callable[[bytes], object], work: Work, progress: Progress) -> None:
    """Pump an artifact into a program, block by block."""
    done = 0
    with reader:
        while data := reader.read(BLOCK):
            work.check()
            write(data)
            done += len(data)
            if done % (64 * BLOCK) < len(data):
                work.report(replace(progress, done=done))


def _compare(dump: Artifact, found: Fingerprint, kind: type[ArchonError], where: str) -> None:
    if dump.fingerprint is None:
        raise StoreError(f"{dump.name} carries no fingerprint to compare with", where=where)
    different = dump.fingerprint.differences(found)
    if different:
        raise kind(
            f"{dump.name} does not hold what its manifest says: {'; '.join(different[:10])}",
            where=where,
            todo="the live database was not touched; restore another backup",
        )


def connection_value(name: str) -> str:
    """A value in a connection string."""
    return "'" + name.replace("\\", "\\\\").replace("'", "\\'") + "'"
