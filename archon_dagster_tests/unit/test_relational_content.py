"""The fingerprint of a dump, from its SQL."""

from __future__ import annotations

import pytest

from archon_dagster.stores.relational.content import Content
from archon_dagster.stores.relational.sequences import State
from archon_dagster.stores.relational.table import Table

DUMP = r"""--
-- PostgreSQL database dump
--

\restrict RANDOMKEY

-- Dumped from database version 18.4

SET statement_timeout = 0;
SELECT pg_catalog.set_config('search_path', '', false);

CREATE DATABASE archon WITH TEMPLATE = template0 ENCODING = 'UTF8';

ALTER DATABASE archon OWNER TO postgres;

\connect archon

SET default_tablespace = '';

CREATE TABLE public.t (
    id integer
);

COPY public.t (id, "na;me") FROM stdin;
1	x\ty
2	SELECT 1;
3	-- no comment
\.

COPY public."Odd na.me"  FROM stdin;

\.

SELECT pg_catalog.setval('public.t_id_seq', 3, true);

BEGIN;

SELECT pg_catalog.lo_open('12345', 131072);
SELECT pg_catalog.lowrite(0, '\xdead');
SELECT pg_catalog.lowrite(0, '\xbeef');
SELECT pg_catalog.lo_close(0);

COMMIT;

-- PostgreSQL database dump complete
--

\unrestrict RANDOMKEY
"""


def read(dump: str, size: int = 1 << 20) -> Content:
    content, raw = Content(), dump.encode()
    for start in range(0, len(raw), size):
        content.feed(raw[start : start + size])
    return content


def test_rows_are_counted_by_table() -> None:
    assert read(DUMP).counts == {"public.Odd na.me": 1, "public.t": 3}


def test_the_states_of_sequences_are_known_by_name() -> None:
    odd = """SELECT pg_catalog.setval('public."Odd ""s''e.q"', -7, false);"""
    found = read(DUMP.replace("BEGIN;", odd))
    assert found.states == {
        Table("public", "t_id_seq"): State(3, used=True),
        Table("public", "Odd \"s'e.q"): State(-7, used=False),
    }


def test_the_size_of_the_pieces_does_not_matter() -> None:
    assert read(DUMP, 7).fingerprint == read(DUMP).fingerprint
    assert read(DUMP, 7).complete


def test_a_cut_dump_is_not_complete() -> None:
    assert not read(DUMP[: len(DUMP) // 2]).complete


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("RANDOMKEY", "OTHERKEY"),
        ("version 18.4", "version 18.5"),
        ("statement_timeout = 0", "statement_timeout = 5"),
        ("archon", "archon_restore_0123abcd"),
        ("1\tx\\ty\n2\tSELECT 1;", "2\tSELECT 1;\n1\tx\\ty"),
    ],
)
def test_what_says_nothing_about_the_content_changes_nothing(before: str, after: str) -> None:
    assert before in DUMP
    assert read(DUMP.replace(before, after)).fingerprint == read(DUMP).fingerprint


@pytest.mark.parametrize(
    ("before", "after", "part"),
    [
        ("x\\ty", "x\\tz", "table public.t"),
        ("3\t-- no comment\n", "", "table public.t"),
        ("id integer", "id bigint", "schema"),
        ("OWNER TO postgres", "OWNER TO other", "schema"),
        ("default_tablespace = ''", "default_tablespace = fast", "schema"),
        ("3, true", "4, true", "sequences"),
        ("beef", "beee", "large objects"),
        ("12345", "12346", "large objects"),
    ],
)
def test_every_change_of_content_shows_in_its_part(before: str, after: str, part: str) -> None:
    assert before in DUMP
    differences = read(DUMP).fingerprint.differences(read(DUMP.replace(before, after)).fingerprint)
    assert [line.partition(":")[0] for line in differences] == [part]


def test_both_printings_of_the_same_list_are_the_same() -> None:
    first = "CHECK (((a)::text = ANY ((ARRAY['x'::character varying, 'it''s'::character varying])::text[])));\n"
    again = "CHECK (((a)::text = ANY (ARRAY[('x'::character varying)::text, ('it''s'::character varying)::text])));\n"
    assert read(first).fingerprint == read(again).fingerprint
    assert read(first).fingerprint != read(again.replace("'x'", "'y'")).fingerprint


def test_the_statements_about_the_database_can_be_applied_to_another_name() -> None:
    statements = [before + b"other" + after for before, after in read(DUMP).database_statements]
    assert statements == [
        b"CREATE DATABASE other WITH TEMPLATE = template0 ENCODING = 'UTF8';",
        b"ALTER DATABASE other OWNER TO postgres;",
    ]
