"""From a file to statements: what it is, where each statement begins, and where it was cut off."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archon_dagster.stores.graph.dump import splitting
from archon_dagster.stores.graph.dump.model import Form, Statement, UnreadableDump
from archon_dagster.stores.graph.dump.splitting import split
from archon_dagster.stores.graph.dump.unwrapping import form_of, statements
from archon_dagster_tests.unit.dump_printer import csv_of, printed_name, printed_text, table_of
from archon_dagster_tests.unit.graph_values import TEXT
from archon_dagster_tests.unit.memgraph_double import DATA

EVERY_TYPE = DATA / "every-type.dump.cypher"
ROWS = [
    "CREATE (:`a;b` {`p`: \"x; \\\" // no comment\"});",
    "CREATE (:`new\nline` {`p`: 'it\\'s; /* none */'});",
    "CREATE INDEX ON :`L``;`(`p`);",
    "CREATE TRIGGER t BEFORE COMMIT EXECUTE RETURN 1 // why;",
]  # fmt: skip


def texts(found: list[Statement]) -> list[str]:
    return [statement.text for statement in found]


def of(text: str) -> list[Statement]:
    return list(split(io.StringIO(text).read, "x"))


def test_a_semicolon_inside_quotes_or_a_comment_ends_nothing() -> None:
    assert texts(of("\n".join(ROWS) + "\n")) == ROWS


def test_each_statement_knows_the_line_it_begins_on() -> None:
    text = "// a dump\n\n" + "\n".join(ROWS) + "\n/* two\nlines */ RETURN 1;"
    assert [statement.line for statement in of(text)] == [3, 4, 6, 7, 9]


def test_several_statements_may_share_a_line() -> None:
    assert texts(of("RETURN 1; RETURN 2;RETURN 3;")) == ["RETURN 1;", "RETURN 2;", "RETURN 3;"]


@given(st.lists(TEXT, min_size=1, max_size=5), st.integers(1, 7))
@settings(max_examples=50)
def test_it_does_not_matter_how_the_text_arrives(words: list[str], step: int) -> None:
    rows = [f"CREATE (:{printed_name(word)} {{{printed_name(word)}: {printed_text(word)}}});" for word in words]
    stream = io.StringIO("\n".join(rows), newline="\n")
    assert texts(list(split(lambda size: stream.read(step), "x"))) == rows


@pytest.mark.parametrize("rest", ["RETURN 1", 'RETURN "x;', "RETURN `x;", "RETURN 1 /* ;", "CREATE (:L {p: 'x\\';"])
def test_a_file_that_ends_inside_a_statement_is_refused_with_the_line(rest: str) -> None:
    with pytest.raises(UnreadableDump, match="ends inside the statement on line 3"):
        of(f"RETURN 0;\n\n{rest}")


def test_a_statement_longer_than_any_server_takes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splitting, "LONGEST", 100)
    monkeypatch.setattr(splitting, "READ", 10)
    with pytest.raises(UnreadableDump, match="statement on line 2 is longer"):
        of('RETURN 1;\nRETURN "' + "x" * 1000)


# the forms of a file -------------------------------------------------------------------------------------------------


def plain_of(rows: list[str]) -> str:
    return "".join(f"{row}\n" for row in rows)


def raw_table_of(rows: list[str]) -> str:
    """A table as older consoles print it: the rows as they are."""
    width = max(len(row) for row in rows) + 2
    rule = f"+{'-' * width}+\n"
    return rule + f"| {'QUERY':{width - 1}}|\n" + rule + "".join(f"| {row:{width - 1}}|\n" for row in rows) + rule


def plain_csv_of(rows: list[str]) -> str:
    """CSV by the book, as other clients write it."""
    return "QUERY\n" + "".join('"' + row.replace('"', '""') + '"\n' for row in rows)


def backslash_csv_of(rows: list[str]) -> str:
    """``mgconsole --output-format=csv --csv-doublequote=false``."""
    return '"QUERY"\n' + "".join('"' + printed_text(row).replace('"', '\\"') + '"\n' for row in rows)


FORMS: list[tuple[Callable[[list[str]], str], Form]] = [
    (plain_of, "statements"), (table_of, "table"), (raw_table_of, "table"), (csv_of, "csv"), (plain_csv_of, "csv"),
    (backslash_csv_of, "csv"),
]  # fmt: skip


def written(path: Path, text: str) -> Path:
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    return path


@pytest.mark.parametrize(("make", "form"), FORMS)
def test_every_form_has_the_same_statements(tmp_path: Path, make: Callable[[list[str]], str], form: Form) -> None:
    recorded = texts(list(statements(EVERY_TYPE)))
    path = written(tmp_path / "dump", make(recorded))
    assert form_of(path) == form
    assert texts(list(statements(path))) == recorded


@pytest.mark.parametrize(("make", "form"), FORMS)
def test_line_ends_of_a_terminal_change_nothing(tmp_path: Path, make: Callable[[list[str]], str], form: Form) -> None:
    rows = [row for row in ROWS if "\n" not in row]
    path = written(tmp_path / "dump", make(rows).replace("\n", "\r\n"))
    assert texts(list(statements(path))) == rows


def test_what_an_interactive_console_says_around_the_table_is_passed_over(tmp_path: Path) -> None:
    text = "mgconsole 1.4 is available\nmemgraph> DUMP DATABASE;\n" + table_of(ROWS) + "4 rows in set (0.002 sec)\n"
    assert texts(list(statements(written(tmp_path / "dump", text)))) == ROWS


def test_gzip_and_a_byte_order_mark_are_seen_through(tmp_path: Path) -> None:
    path = tmp_path / "dump.gz"
    path.write_bytes(gzip.compress(b"\xef\xbb\xbf" + plain_of(ROWS).encode()))
    assert texts(list(statements(path))) == ROWS


def test_a_damaged_gzip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "dump.gz"
    path.write_bytes(gzip.compress(EVERY_TYPE.read_bytes())[:-20])
    with pytest.raises(UnreadableDump, match="gzip"):
        list(statements(path))


def test_a_table_cut_to_the_width_of_a_screen_is_refused(tmp_path: Path) -> None:
    text = '+------------+\n| QUERY      |\n+------------+\n| "CREATE... |\n+------------+\n'
    with pytest.raises(UnreadableDump, match="line 4 was cut to the width"):
        list(statements(written(tmp_path / "dump", text)))


@pytest.mark.parametrize(("text", "what"), [
    ("", "is empty"), (" \n\n", "is empty"),
    ("Error response from daemon: No such container: memgraph\n", "no dump; it begins with: Error response"),
    ("Failed to connect to Memgraph\n", "no dump"), ('{"not": "a dump"}', "no dump"),
])  # fmt: skip
def test_what_is_no_dump_is_refused_and_shown(tmp_path: Path, text: str, what: str) -> None:
    with pytest.raises(UnreadableDump, match=what):
        form_of(written(tmp_path / "dump", text))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnreadableDump, match="cannot be read"):
        form_of(tmp_path / "nothing")


@pytest.mark.parametrize("make", [table_of, csv_of])
def test_rows_that_were_cut_off_anywhere_are_never_taken_for_others(
    tmp_path: Path, make: Callable[[list[str]], str]
) -> None:
    rows = ["CREATE (:`a` {`p`: 1});", 'CREATE (:`b|c` {`p`: "x"});']
    whole = make(rows)
    path = tmp_path / "dump"
    for length in range(len(whole)):
        try:
            found = texts(list(statements(written(path, whole[:length]))))
        except UnreadableDump:
            continue
        assert found == (rows if make is table_of else rows[: len(found)])
