"""What a dump says, statement by statement, and what can be wrong with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from archon_dagster.errors import DamagedBackup
from archon_dagster.stores.graph.schema import SchemaObject
from archon_dagster.stores.graph.values import Json

EXCERPT = 80  # characters of a statement shown in a message

Form = Literal["statements", "table", "csv"]


class UnreadableDump(DamagedBackup):
    """A file is no dump, or ends too early; names the file and the line."""


class NotUnderstood(ValueError):
    """A statement, or something in it, that does not belong in a dump; the message says why."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement as text, and the line of the file it begins on (from 1)."""

    line: int
    text: str

    @property
    def excerpt(self) -> str:
        """Its beginning, fit to be shown in one line."""
        text = " ".join(self.text.split())
        return text if len(text) <= EXCERPT else text[: EXCERPT - 1] + "…"


@dataclass(frozen=True, slots=True)
class DumpNode:
    """:param id: the dump's own number for it, or ``None`` in a statement written by hand."""

    id: int | None
    labels: list[str]
    properties: dict[str, Json]


@dataclass(frozen=True, slots=True)
class DumpRelationship:
    type: str
    start: int
    end: int
    properties: dict[str, Json]


@dataclass(frozen=True, slots=True)
class Scaffold:
    """A statement that only helps replaying: the temporary index and label.

    :param last: the one that removes them again; a dump with nodes and without it was cut off.
    """

    last: bool = False


@dataclass(frozen=True, slots=True)
class DumpSchema:
    """:param lost: what the object is made without."""

    item: SchemaObject
    lost: str | None = None


Parsed = DumpNode | DumpRelationship | DumpSchema | Scaffold


@dataclass(frozen=True, slots=True)
class Problem:
    """A statement that could not be applied: where, why, and how it begins."""

    line: int
    reason: str
    excerpt: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.reason}: {self.excerpt}"
