"""The operators' page of faults promises only what a test proves: every test it names is there."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "faults.md"
REFERENCE = re.compile(r"`([\w/]+\.py)::(\w+)`")
ROWS = [line for line in PAGE.read_text().splitlines() if line.startswith("| ") and not line.startswith("| What")]


@cache
def names_in(path: Path) -> frozenset[str]:
    """The names of the tests in a file, which is read and not imported."""
    tree = ast.parse(path.read_text())
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip())
def test_every_case_names_tests_that_exist(row: str) -> None:
    references = REFERENCE.findall(row)
    assert references, "no test proves this row"
    for path, name in references:
        assert (TESTS / path).is_file(), f"there is no {path}"
        assert name in names_in(TESTS / path), f"there is no test {name} in {path}"


def test_every_row_has_its_four_columns() -> None:
    assert len(ROWS) > 60
    assert [row for row in ROWS if row.count(" | ") != 3] == []
