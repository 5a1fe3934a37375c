"""What a server of another kind cannot hold of a schema is named, not expected; anything else still has to be right."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from archon_dagster.repository.manifest import Fingerprint
from archon_dagster.stores.base import Work
from archon_dagster.stores.graph.fingerprint import GraphDigest
from archon_dagster.stores.graph.foreign import accept_what_it_can_hold
from archon_dagster.stores.graph.schema import SchemaObject

INDEX = SchemaObject("index", "label+property", on="File", properties=("path",))
UNIQUE = SchemaObject("constraint", "unique", on="File", properties=("path",))
TEXT = SchemaObject("index", "label_text", "words", on="File")
ENUM = SchemaObject("enum", name="Status", options={"values": ["Good"]})


class Heard:
    """What the store told about the restore."""

    def __init__(self, folder: Path):
        self.expected: list[Fingerprint] = []
        self.warnings: list[str] = []
        self.work = replace(Work(scratch=folder), expect=self.expected.append, warn=self.warnings.append)


@pytest.fixture
def heard(tmp_path: Path) -> Heard:
    return Heard(tmp_path)


def schema_of(objects: list[SchemaObject]) -> Fingerprint:
    digest = GraphDigest()
    digest.schema(objects)
    return digest.fingerprint()


def test_a_complete_schema_is_compared_as_promised(heard: Heard) -> None:
    accept_what_it_can_hold([INDEX, UNIQUE, ENUM], [UNIQUE, INDEX], [], heard.work)
    assert (heard.expected, heard.warnings) == ([], [])


def test_what_is_missing_is_named_and_the_rest_is_expected(heard: Heard) -> None:
    accept_what_it_can_hold([INDEX, UNIQUE], [UNIQUE], [], heard.work)
    assert heard.expected == [schema_of([UNIQUE])]
    (said,) = heard.warnings
    assert str(INDEX) in said


def test_what_was_named_already_is_not_named_twice(heard: Heard) -> None:
    accept_what_it_can_hold([TEXT, UNIQUE], [UNIQUE], [f"{TEXT} is not restored: x has nothing like it"], heard.work)
    assert heard.expected == [schema_of([UNIQUE])]
    assert heard.warnings == []


def test_an_object_nobody_asked_for_is_never_accepted(heard: Heard) -> None:
    accept_what_it_can_hold([INDEX], [UNIQUE], [], heard.work)
    assert heard.expected == []


def test_two_of_a_kind_are_not_one(heard: Heard) -> None:
    accept_what_it_can_hold([INDEX], [INDEX, INDEX], [], heard.work)
    assert heard.expected == []
