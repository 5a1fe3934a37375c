"""Roles: they belong to the server, not to the database, so a dump does not contain them.

``pg_dumpall --globals-only`` does. Restoring makes the roles that are missing on the target and leaves the others as
they are: other databases of that server use them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from archon_dagster.stores.base import Work
from archon_dagster.stores.relational.programs import Programs
from archon_dagster.stores.relational.script import Statements
from archon_dagster.stores.relational.sql import identifier, query, unquoted

_NAME = r'(?:"(?:[^"]|"")*"|[\w\x80-\xff$]+)'
_OF_ROLE = re.compile(rf"(?:CREATE|ALTER|COMMENT ON) ROLE ({_NAME})(?! IN DATABASE)(?=[ ;])")
_MEMBERSHIP = re.compile(rf"GRANT ({_NAME}) TO ({_NAME})(?: |;)")


@dataclass(frozen=True, slots=True)
class Globals:
    """The roles of a server, and the statements that make them, in order."""

    roles: tuple[str, ...]
    statements: tuple[str, ...]


def read_globals(lines: Iterable[bytes]) -> Globals:
    """Parse the output of ``pg_dumpall --globals-only``."""
    reader, statements = Statements(), []
    for line in lines:
        statements += [statement.decode() for statement in reader.feed(line)]
    roles = [unquoted(found[1]) for s in statements if s.startswith("CREATE ROLE") and (found := _OF_ROLE.match(s))]
    return Globals(tuple(roles), tuple(statements))


def statements_for(missing: set[str], globals_: Globals) -> list[str]:
    """The statements that make the missing roles what they were: attributes, settings, memberships."""
    chosen: list[str] = []
    for statement in globals_.statements:
        of_role, membership = _OF_ROLE.match(statement), _MEMBERSHIP.match(statement)
        names = {unquoted(of_role[1])} if of_role else set()
        if membership:
            names = {unquoted(membership[1]), unquoted(membership[2])}
        if names & missing:
            chosen.append(_without_grantor(statement) if membership else statement)
    return chosen


def create_missing(programs: Programs, work: Work, database: str, globals_: Globals) -> tuple[str, ...]:
    """Make the roles that the server does not have, all or none; returns their names."""
    there = {row[0] for row in query(programs, work, database, "SELECT rolname FROM pg_roles;\n")}
    missing = [role for role in globals_.roles if role not in there]
    if missing:
        script = "\n".join(["BEGIN;", *statements_for(set(missing), globals_), "COMMIT;", ""])
        query(programs, work, database, script)
    return tuple(missing)


def drop(programs: Programs, work: Work, database: str, roles: Iterable[str]) -> None:
    """Remove roles made by :func:`create_missing` again."""
    script = "".join(f"DROP ROLE IF EXISTS {identifier(role)};\n" for role in roles)
    if script:
        query(programs, work, database, script)


def _without_grantor(statement: str) -> str:
    """The grantor is a role of the old server and may not be one here; whoever restores is the grantor."""
    return re.sub(rf" GRANTED BY {_NAME}", "", statement)
