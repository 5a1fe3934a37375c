"""Reading source code for the sample data."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from archon_dagster.sandbox.seed import graph_rows, points
from archon_dagster.sandbox.seed.identity import full_range_u64
from archon_dagster.sandbox.seed.sources import SourceFile, read_sources, source_paths

CODE = '''"""A module."""
import os
from . import other
from .other import thing


class Base:
    """The base."""


class Child(Base):
    def method(self):
        self.method()
        return helper()


def helper():
    return 1


def helper():
    return 2
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for path, text in {
        "pkg/__init__.py": "",
        "pkg/code.py": CODE,
        "pkg/other.py": "thing = 1\n",
        "pkg/broken.py": "def (:\n",
        "pkg/tests/test_code.py": "x = 1\n",
        "site-packages/foreign.py": "x = 1\n",
        "pkg/surrogate.py": '"""A \\ud800 and a \\0."""\n',
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    return tmp_path


@pytest.fixture
def files(folder: Path) -> list[SourceFile]:
    return list(read_sources(folder, None))


def named(files: list[SourceFile], path: str) -> SourceFile:
    return next(source for source in files if source.path == path)


def test_tests_and_foreign_packages_are_left_out(folder: Path) -> None:
    found = [path.relative_to(folder).as_posix() for path in source_paths(folder)]
    assert found == ["pkg/__init__.py", "pkg/broken.py", "pkg/code.py", "pkg/other.py", "pkg/surrogate.py"]


def test_what_does_not_parse_is_skipped(files: list[SourceFile]) -> None:
    assert "pkg/broken.py" not in [source.path for source in files]


def test_the_limit_counts_files_in_the_order_of_their_paths(folder: Path) -> None:
    assert [source.path for source in read_sources(folder, 2)] == ["pkg/__init__.py", "pkg/code.py"]


def test_definitions_are_found_once_each_with_their_qualified_names(files: list[SourceFile]) -> None:
    entities = {entity.name: entity.kind for entity in named(files, "pkg/code.py").entities}
    assert entities == {"Base": "class", "Child": "class", "Child.method": "function", "helper": "function"}


def test_relative_imports_become_absolute(files: list[SourceFile]) -> None:
    assert named(files, "pkg/code.py").imports == ("os", "pkg", "pkg.other", "pkg.other.thing")


def test_docstrings_hold_nothing_that_no_store_can_hold(files: list[SourceFile]) -> None:
    assert named(files, "pkg/surrogate.py").doc == "A ? and a ."


def test_relationships_come_from_the_code(files: list[SourceFile]) -> None:
    names = {row["entity_id"]: row["name"] for rows in graph_rows.nodes("p", files).values() for row in rows
             if "name" in row}  # fmt: skip
    links = {
        (link.properties.get("relationship_type", link.kind), names.get(link.source[1]), names.get(link.target[1]))
        for link in graph_rows.links("p", files)
    }
    assert {
        ("INHERITS", "Child", "Base"),
        ("DEFINES", "Child", "Child.method"),
        ("CALLS", "Child.method", "helper"),
        ("CALLS", "Child.method", "Child.method"),
        ("IMPORTS", "code.py", "other.py"),
        ("CONTAINS", "p", "pkg"),
        ("CONTAINS", "pkg", "code.py"),
        ("CONTAINS", "code.py", "helper"),
    } <= links


def test_every_relationship_has_both_ends(files: list[SourceFile]) -> None:
    there = {(label, row["entity_id"]) for label, rows in graph_rows.nodes("p", files).items() for row in rows}
    assert all(link.source in there and link.target in there for link in graph_rows.links("p", files))


def test_all_rows_of_a_label_have_the_same_properties(files: list[SourceFile]) -> None:
    for rows in graph_rows.nodes("p", files).values():
        assert len({tuple(row) for row in rows}) == 1


def test_points_have_both_kinds_of_ids(files: list[SourceFile]) -> None:
    ids = [point["id"] for point in points.documents("p", files, None)]
    assert {uuid.UUID(i).version for i in ids if isinstance(i, str)} == {4}
    assert all(0 <= i < 2**64 for i in ids if isinstance(i, int))
    assert len(set(ids)) == len(files) + 4


def test_ids_use_the_full_range_of_unsigned_64_bits(files: list[SourceFile]) -> None:
    many = [full_range_u64(str(n)) for n in range(64)]
    assert any(i >= 2**63 for i in many)


def test_the_same_folder_gives_the_same_points(folder: Path) -> None:
    once, again = ([*points.documents("p", list(read_sources(folder, None)), None)] for _ in range(2))
    assert points.as_json(once) == points.as_json(again)
