"""What is aimed at, and whether it is reached: every target is one line of the page, reached or not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.repository import OURS
from benchmarks.results import Part, Parts

MEMORY = 256.0  # MiB above the idle process
GRAPH_LOAD = 5.0  # times as fast as statement by statement
OF_RESTIC = 1 / 3  # of the bytes that restic adds
COLD_START = 15.0  # seconds


@dataclass(frozen=True)
class Target:
    """One figure that is aimed at.

    :param topic: what it is about; the bound of a missed one is found by it.
    :param at_most: the figure must not be more than ``wanted``; else not less.
    """

    topic: str
    what: str
    found: float
    wanted: float
    unit: str = ""
    at_most: bool = False

    @property
    def reached(self) -> bool:
        return self.found <= self.wanted if self.at_most else self.found >= self.wanted


def targets(parts: Parts) -> list[Target]:
    """The targets of all parts that were measured, in the order of the page."""
    return [target for name, made in _BY_PART.items() if name in parts for target in made(parts[name])]


def _repository(part: Part) -> Iterator[Target]:
    for row in part.rows:
        for name, wanted in row.targets.items():
            yield Target(row.title, f"times as long as ours, {name}", row.ratio(name), wanted)
        if row.title == "unchanged, read again" and (added := part.fact("unchanged_added")) is not None:
            yield Target(row.title, "content added", added, 0, "bytes", at_most=True)
    ours, theirs = (part.fact("half_percent_added", name) for name in (OURS, "restic"))
    if ours is not None and theirs:
        yield Target("half a percent changed", "of the bytes that restic adds", ours / theirs, OF_RESTIC, at_most=True)


def _memory(part: Part) -> Iterator[Target]:
    for what, figures in part.facts["mib_above_idle"].items():
        yield Target("memory", f"{what}, at 1x and 10x", max(figures.values()), MEMORY, "MiB", at_most=True)


def _platform(part: Part) -> Iterator[Target]:
    if (ratio := part.fact("graph_load", "times_as_fast_as_replay")) is not None:
        yield Target("graph load", "times as fast as statement by statement", ratio, GRAPH_LOAD)


def _startup(part: Part) -> Iterator[Target]:
    if (cold := part.fact("cold_to_healthy")) is not None:
        yield Target("start", "cold to all healthy", cold, COLD_START, "s", at_most=True)


_BY_PART = {"repository": _repository, "platform": _platform, "memory": _memory, "startup": _startup}
