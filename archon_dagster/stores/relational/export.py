"""Write a database and the roles of its server into artifacts; what was captured is read from the bytes written."""

from __future__ import annotations

import time
from collections.abc import Callable

from archon_dagster.errors import StoreError, VersionMismatch
from archon_dagster.stores.base import ArtifactWriter, Progress, Sink, Work
from archon_dagster.stores.naming import artifact_name
from archon_dagster.stores.parts import PART
from archon_dagster.stores.relational.archive import HEAD, read_head, with_fixed_time
from archon_dagster.stores.relational.content import Content
from archon_dagster.stores.relational.inspection import Inspection, inspecting
from archon_dagster.stores.relational.programs import Programs, major_version
from archon_dagster.stores.relational.roles import read_globals
from archon_dagster.stores.relational.running import Program, output_of, running
from archon_dagster.stores.relational.snapshot import Snapshot, held_snapshot
from archon_dagster.stores.relational.table import Table

GLOBALS = "postgres/globals"
DUMP_KIND, TABLE_KIND, GLOBALS_KIND = "database-dump", "table-dump", "globals"
_REPORT_EVERY = 0.5  # seconds


def dump_name(database: str) -> str:
    """The artifact of a database; one called ``globals`` must not hide the roles."""
    return artifact_name("postgres", database, {GLOBALS})


def export_globals(programs: Programs, sink: Sink, work: Work, database: str) -> None:
    """Roles without their passwords, which are kept only encrypted; a server that keeps them to itself is named."""
    arguments = ("--globals-only", "--no-role-passwords", f"--database=dbname={_in_conninfo(database)}")
    try:
        script = output_of(programs, work, "pg_dumpall", *arguments)
    except StoreError as error:
        if "permission denied" not in str(error):
            raise
        sink.not_covered("relational", "roles: the server does not let this user read them")
        return
    script = _without_noise(script)
    with sink.artifact("relational", GLOBALS, GLOBALS_KIND, media_type="application/sql", cut="whole") as writer:
        writer.write(script)
        roles = read_globals(script.splitlines(keepends=True)).roles
        writer.counts, writer.details = {"roles": len(roles)}, {"roles": list(roles)}
    sink.not_covered(
        "relational", "passwords of roles: they are not stored without encryption; set them after a restore"
    )


def _in_conninfo(name: str) -> str:
    """A database quoted so that one called ``a=b`` is not taken for connection parameters."""
    return "'" + name.replace("\\", "\\\\").replace("'", "\\'") + "'"


def export_database(programs: Programs, sink: Sink, work: Work, database: str, table: Table | None = None) -> None:
    """The database as of one instant; ``work.captured`` is called as soon as that instant is fixed.

    :param table: only this one; the artifact's kind then keeps it from being taken for the whole database.
    """
    kind = DUMP_KIND if table is None else TABLE_KIND
    with (
        sink.artifact(
            "relational", dump_name(database), kind, media_type="application/vnd.postgresql.custom", cut="content"
        ) as writer,
        held_snapshot(programs, work, database) as snapshot,
    ):
        _check_client(programs, work, snapshot)
        content = _dump(programs, writer, work, database, snapshot, table)
        if table is not None:
            writer.details[PART] = [["table", table.typed]]
        writer.counts, writer.fingerprint = content.counts, content.fingerprint


def live_content(programs: Programs, work: Work, database: str, table: Table | None = None) -> Content:
    """What the live database contains, read like an archive; of one table, only its rows."""
    content = Content()
    report = _reporter(work, "fingerprint")
    total = 0
    what = ("--create",) if table is None else ("--data-only", *table.dump_option)
    arguments = ("--format=plain", *what, _lock_timeout(work))
    with running(programs, work, "pg_dump", *arguments, database=database) as dump:
        dump.close_input()
        while data := dump.read():
            content.feed(data)
            total += len(data)
            report(total)
        dump.end()
    if not content.complete:
        raise StoreError("pg_dump ended before the end of its output", where=programs.address)
    return content


def _dump(
    programs: Programs, writer: ArtifactWriter, work: Work, database: str, snapshot: Snapshot, table: Table | None
) -> Content:
    what = () if table is None else table.dump_option
    arguments = (
        "--format=custom", "--compress=none", f"--snapshot={snapshot.name}", *what, _lock_timeout(work))  # fmt: skip
    with (
        inspecting(programs, work) as inspection,
        running(programs, work, "pg_dump", *arguments, database=database) as dump,
    ):
        dump.close_input()
        _copy(dump, writer, inspection, work)
        dump.end()
        return inspection.finish()


def _copy(dump: Program, writer: ArtifactWriter, inspection: Inspection, work: Work) -> None:
    report = _reporter(work, "export")
    head = b""
    while len(head) < HEAD and (data := dump.read()):
        head += data
    if not head:
        dump.end()
    # the first bytes come when pg_dump has locked every table: from now on not even TRUNCATE, which would show
    # through a snapshot, can change what it reads
    work.captured()
    data = _described(head, writer)
    while data:
        writer.write(data)
        inspection.write(data)
        report(writer.size)
        data = dump.read()


def _described(head: bytes, writer: ArtifactWriter) -> bytes:
    """Note who made the archive; an archive of an unknown layout is stored as it is."""
    known = read_head(head)
    if known is None:
        return head
    writer.details = {
        "server_version": known.server_version,
        "dump_version": known.dump_version,
        "archive_format": known.format,
        "database": known.database,
    }
    return with_fixed_time(head, known)


def _check_client(programs: Programs, work: Work, snapshot: Snapshot) -> None:
    client = output_of(programs, work, "pg_dump", "--version").decode().strip()
    if major_version(client) < major_version(snapshot.server_version):
        raise VersionMismatch(
            f"{client} cannot dump a server of version {snapshot.server_version}",
            where=programs.address,
            todo="install PostgreSQL's client programs of the server's version or newer",
        )


def _without_noise(script: bytes) -> bytes:
    """Without the random keys that newer programs write, so that the same roles give the same bytes."""
    lines = script.splitlines(keepends=True)
    return b"".join(line for line in lines if not line.startswith((b"\\restrict ", b"\\unrestrict ")))


def _lock_timeout(work: Work) -> str:
    return f"--lock-wait-timeout={int(work.deadline * 1000)}"


def _reporter(work: Work, step: str) -> Callable[[int], None]:
    last = 0.0

    def report(done: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _REPORT_EVERY:
            last = now
            work.report(Progress("relational", step, done))

    return report
