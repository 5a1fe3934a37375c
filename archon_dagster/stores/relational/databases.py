"""Make a database beside the live one, and put it in its place when it is whole.

The live database is not touched until then. The exchange is one transaction of two renames: whoever is killed
meanwhile leaves either the old database or the new one under the name, never none.
"""

from __future__ import annotations

import re
import secrets
import time
from dataclasses import dataclass

from archon_dagster.errors import StoreError, StoreUnavailable
from archon_dagster.stores.base import Work
from archon_dagster.stores.relational.programs import Programs
from archon_dagster.stores.relational.sql import identifier, literal, query

_NAME_LIMIT = 63  # bytes PostgreSQL keeps of a name
_IN_USE = "being accessed by other users"


@dataclass(frozen=True, slots=True)
class Exchange:
    """The names of one restore: the live database, the scratch one beside it, and what the old one is called meanwhile.

    :param maintenance: another database of the server, to give orders from.
    """

    live: str
    scratch: str
    before: str
    maintenance: str


def plan_exchange(database: str) -> Exchange:
    """Fresh names for a restore of this database."""
    token = secrets.token_hex(4)
    return Exchange(
        live=database,
        scratch=f"{_prefix(database)}_restore_{token}",
        before=f"{_prefix(database)}_before_{token}",
        maintenance=maintenance_of(database),
    )


def maintenance_of(database: str) -> str:
    """A database that is not this one and that every server has."""
    return "template1" if database == "postgres" else "postgres"


def names(programs: Programs, work: Work, database: str) -> set[str]:
    """All databases of the server."""
    rows = query(programs, work, maintenance_of(database), "SELECT datname FROM pg_database;\n")
    return {row[0] for row in rows}


def leftovers(present: set[str], database: str, kind: str) -> list[str]:
    """What earlier, killed restores left: ``kind`` is ``restore`` (scratch) or ``before`` (replaced)."""
    pattern = re.compile(rf"{re.escape(_prefix(database))}_{kind}_[0-9a-f]{{8}}")
    return sorted(name for name in present if pattern.fullmatch(name))


def create(programs: Programs, work: Work, exchange: Exchange, statements: list[tuple[bytes, bytes]]) -> None:
    """Make the scratch database with the encoding and locale the archive says."""
    made = [after for before, after in statements if before.startswith(b"CREATE ")]
    how = made[0].decode() if made else " WITH TEMPLATE = template0;"
    query(programs, work, exchange.maintenance, f"CREATE DATABASE {identifier(exchange.scratch)}{how}\n")


def apply_settings(programs: Programs, work: Work, exchange: Exchange, statements: list[tuple[bytes, bytes]]) -> None:
    """Give the scratch database its owner, settings, privileges and comment; after the data: some forbid writing."""
    name = identifier(exchange.scratch)
    lines = [
        before.decode() + name + after.decode() for before, after in statements if not before.startswith(b"CREATE ")
    ]
    if lines:
        query(programs, work, exchange.maintenance, "\n".join([*lines, ""]))


def drop(programs: Programs, work: Work, database: str, doomed: list[str]) -> None:
    """Remove databases, whoever uses them."""
    for name in doomed:
        statement = f"DROP DATABASE IF EXISTS {identifier(name)} WITH (FORCE);\n"
        query(programs, work, maintenance_of(database), statement)


def exchange_databases(programs: Programs, work: Work, exchange: Exchange) -> None:
    """Put the scratch database in the live one's place; the old one is kept under another name."""
    renames = [(exchange.scratch, exchange.live)]
    if exchange.live in names(programs, work, exchange.live):
        renames.insert(0, (exchange.live, exchange.before))
    _rename(programs, work, exchange, renames)


def exchange_back(programs: Programs, work: Work, exchange: Exchange) -> None:
    """Undo :func:`exchange_databases` if it has taken effect."""
    if exchange.before in names(programs, work, exchange.live):
        _rename(programs, work, exchange, [(exchange.live, exchange.scratch), (exchange.before, exchange.live)])


def _rename(programs: Programs, work: Work, exchange: Exchange, renames: list[tuple[str, str]]) -> None:
    """All renames in one transaction; whoever still uses one of the databases is sent away."""
    lines = [f"ALTER DATABASE {identifier(old)} RENAME TO {identifier(new)};" for old, new in renames]
    script = "\n".join(["BEGIN;", *lines, "COMMIT;", ""])
    deadline = time.monotonic() + work.deadline
    while True:
        _end_sessions(programs, work, exchange.maintenance, [old for old, _ in renames])
        try:
            query(programs, work, exchange.maintenance, script)
            return
        except StoreUnavailable:
            raise
        except StoreError as error:
            # the server itself waits 5 s for the sessions to leave; others may have come meanwhile
            if _IN_USE not in str(error) or time.monotonic() > deadline:
                raise


def _end_sessions(programs: Programs, work: Work, maintenance: str, used: list[str]) -> None:
    where = f"datname IN ({', '.join(map(literal, used))}) AND pid <> pg_backend_pid()"
    query(programs, work, maintenance, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {where};\n")


def _prefix(database: str) -> str:
    """The beginning of a name that stays within PostgreSQL's limit with ``_restore_<8 digits>`` behind it."""
    return database.encode()[: _NAME_LIMIT - len("_restore_01234567")].decode(errors="ignore")
