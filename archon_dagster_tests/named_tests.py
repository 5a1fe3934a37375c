"""The tests that an operators' page names as proof: ``path::name``, relative to this directory."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

TESTS = Path(__file__).parent
DOCS = TESTS.parent / "docs"
_REFERENCE = re.compile(r"`([\w/]+\.py)::(\w+)`")


def references(text: str) -> list[tuple[str, str]]:
    """What a row names: file and test."""
    return _REFERENCE.findall(text)


def require_named_tests(row: str) -> None:
    """Fail where a row names no test, or one that is not there."""
    named = references(row)
    assert named, "no test proves this row"
    for path, name in named:
        assert (TESTS / path).is_file(), f"there is no {path}"
        assert name in _tests_in(TESTS / path), f"there is no test {name} in {path}"


@cache
def _tests_in(path: Path) -> frozenset[str]:
    """The names of the tests in a file, which is read and not imported."""
    tree = ast.parse(path.read_text())
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef))
