"""What is looked at more slowly than a round, and remembered in between."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Tested:
    """The outcome of the end-to-end test: ``None`` where it could not be made."""

    passed: bool | None = None
    detail: str = "not tested yet"
    at: float = 0.0
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Model:
    """How long the vectors of the embedding model really are; ``passed=False``: it returns none."""

    passed: bool | None = None
    length: int | None = None
    detail: str = "not asked yet"
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class Expected:
    """Records by part that the last good backup of a store has."""

    backup: str
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Counts:
    """Live records by part, for stores that a round does not count.

    :param counts: ``None`` where they are not known, with the reason. :param down: the store did not answer.
    """

    counts: Mapping[str, int] | None = None
    detail: str = ""
    down: bool = False


@dataclass(frozen=True, slots=True)
class Knowledge:
    """Everything of that kind. Times are seconds since the epoch; 0: never.

    :param expected: by store; :param live: by store.
    :param claims: by service: whether what it says fits what its store holds.
    """

    end_to_end: Tested = field(default_factory=Tested)
    model: Model = field(default_factory=Model)
    expected: Mapping[str, Expected] = field(default_factory=dict)
    expected_at: float = 0.0
    expected_trouble: str = ""
    live: Mapping[str, Counts] = field(default_factory=dict)
    live_at: float = 0.0
    claims: Mapping[str, Tested] = field(default_factory=dict)
