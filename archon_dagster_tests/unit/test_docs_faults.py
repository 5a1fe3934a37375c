"""The operators' page of faults promises only what a test proves: every test it names is there."""

from __future__ import annotations

import pytest

from archon_dagster_tests.named_tests import DOCS, require_named_tests

PAGE = DOCS / "faults.md"
ROWS = [line for line in PAGE.read_text().splitlines() if line.startswith("| ") and not line.startswith("| What")]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip())
def test_every_case_names_tests_that_exist(row: str) -> None:
    require_named_tests(row)


def test_every_row_has_its_four_columns() -> None:
    assert len(ROWS) > 60
    assert [row for row in ROWS if row.count(" | ") != 3] == []
