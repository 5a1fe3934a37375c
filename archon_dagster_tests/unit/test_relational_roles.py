"""Roles from ``pg_dumpall --globals-only``."""

from __future__ import annotations

from archon_dagster.stores.relational.roles import read_globals, statements_for

GLOBALS = """--
-- PostgreSQL database cluster dump
--
SET client_encoding = 'UTF8';
CREATE ROLE app;
ALTER ROLE app WITH NOSUPERUSER INHERIT LOGIN;
CREATE ROLE "Odd;role";
ALTER ROLE "Odd;role" WITH NOSUPERUSER;
CREATE ROLE postgres;
ALTER ROLE postgres WITH SUPERUSER;
ALTER ROLE app SET search_path TO 'public';
GRANT "Odd;role" TO app WITH INHERIT TRUE GRANTED BY postgres;
"""


def lines() -> list[bytes]:
    return GLOBALS.encode().splitlines(keepends=True)


def test_roles_are_named_in_order() -> None:
    assert read_globals(lines()).roles == ("app", "Odd;role", "postgres")


def test_only_what_makes_the_missing_roles_is_run() -> None:
    assert statements_for({"app"}, read_globals(lines())) == [
        "CREATE ROLE app;",
        "ALTER ROLE app WITH NOSUPERUSER INHERIT LOGIN;",
        "ALTER ROLE app SET search_path TO 'public';",
        'GRANT "Odd;role" TO app WITH INHERIT TRUE;',
    ]


def test_roles_that_are_there_are_left_alone() -> None:
    assert statements_for(set(), read_globals(lines())) == []
