"""Splitting SQL into statements."""

from __future__ import annotations

import pytest

from archon_dagster.stores.relational.script import Statements


def split(text: str) -> list[str]:
    reader = Statements()
    found = [s.decode() for line in text.encode().splitlines(keepends=True) for s in reader.feed(line)]
    assert reader.between, "something was begun and never ended"
    return found


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 'a;b';",
        "SELECT 'it''s; fine';",
        "SELECT '''';",
        "SELECT E'a\\';b';",
        "SELECT E'\\\\';",
        "SELECT '\\';",
        'SELECT "a;b""c";',
        "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS $$ SELECT 1; -- no comment\n\nSELECT 'x' $$;",
        "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS $a$ SELECT $$x;$$; $a$;",
        "COMMENT ON TABLE t IS 'one\n-- two;\n\\three';",
    ],
)
def test_a_semicolon_inside_does_not_end_a_statement(statement: str) -> None:
    assert split(f"{statement}\nSELECT 2;\n") == [statement, "SELECT 2;"]


def test_comments_and_commands_between_statements_are_dropped() -> None:
    assert split("--\n-- Name: t; Type: TABLE\n--\n\n\\restrict abc\nSELECT 1;\n\\unrestrict abc\n") == ["SELECT 1;"]


def test_several_statements_may_share_a_line() -> None:
    assert split("BEGIN; SELECT 1; COMMIT;\n") == ["BEGIN;", "SELECT 1;", "COMMIT;"]


def test_white_space_inside_a_statement_is_kept() -> None:
    assert split("CREATE VIEW v AS\n SELECT 1\n\n AS a;\n") == ["CREATE VIEW v AS\n SELECT 1\n\n AS a;"]
