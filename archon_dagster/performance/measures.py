"""What is measured: plain numbers with a subject, and words beside them.

Shares are 0 to 1. A number is compared with the baseline's where its :class:`Measure` says which way is worse.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict

from archon_dagster.errors import Cancelled
from archon_dagster.platform.runtime.protocol import Runtime
from archon_dagster.platform.settings import Settings

Area = Literal["response_times", "vectors", "graph", "database", "services", "host"]
BUSY = 90.0  # percent of the machine's processors
AREAS: tuple[Area, ...] = ("response_times", "vectors", "graph", "database", "services", "host")


@dataclass(frozen=True, slots=True)
class Measure:
    """A kind of number.

    :param worse: which way is worse; empty: it says nothing by itself.
    :param floor: a difference below that is noise. :param relative: it must also be a share of what was before.
    """

    unit: Literal["ms", "share", "bytes", "%", ""]
    worse: Literal["higher", "lower", ""] = ""
    floor: float = 0.0
    relative: bool = False


_MIB = 2.0**20

MEASURES: dict[str, Measure] = {
    "answers": Measure(""),  # how many good ones the times are of
    # of one question, asked many times; p99 is shown and not compared: among 50 answers it is the slowest one
    "p50": Measure("ms", "higher", 10.0, relative=True),
    "p95": Measure("ms", "higher", 25.0, relative=True),
    "p99": Measure("ms"),
    "failed": Measure("share", "higher", 0.01),
    # vectors
    "points": Measure(""),
    "indexed": Measure("share", "lower", 0.2),
    "segments": Measure("", "higher", 8, relative=True),
    "disk": Measure("bytes"),
    # graph
    "nodes": Measure(""),
    "relationships": Measure(""),
    # database; the shares of rows and blocks are left out where there are too few to say anything
    "cache hits": Measure("share", "lower", 0.05),
    "connections used": Measure("share", "higher", 0.2),
    "dead rows": Measure("share", "higher", 0.2),
    "rolled back": Measure("share", "higher", 0.1),
    "deadlocks": Measure(""),
    "temporary files": Measure("bytes"),
    "size": Measure("bytes"),
    # services and host
    "memory": Measure("bytes", "higher", 128 * _MIB, relative=True),
    "cpu": Measure("%"),
    "load of a core": Measure(""),
    "memory used": Measure("share", "higher", 0.2),
    "swap used": Measure("bytes", "higher", 512 * _MIB, relative=True),
    "disk used": Measure("share", "higher", 0.1),
}


class Reading(BaseModel):
    """One number. :param name: one of :data:`MEASURES`."""

    model_config = ConfigDict(frozen=True)

    area: Area
    subject: str
    name: str
    value: float

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes it the same as one of another measurement."""
        return self.area, self.subject, self.name

    @property
    def measure(self) -> Measure:
        """Its kind; of a measurement that an older version kept, it may be one that is no more."""
        return MEASURES.get(self.name, Measure(""))


class Fact(BaseModel):
    """Something that is no number: a status, a version."""

    model_config = ConfigDict(frozen=True)

    area: Area
    subject: str
    name: str
    text: str


class Missing(BaseModel):
    """What could not be measured, and why."""

    model_config = ConfigDict(frozen=True)

    area: Area
    subject: str
    why: str


Found = Reading | Fact | Missing


class Measurement(BaseModel):
    """Everything, once.

    :param at: when it began, seconds since the epoch.
    :param disturbed: what was at work on the platform meanwhile, e.g. a backup; empty: nothing.
    """

    model_config = ConfigDict(frozen=True)

    at: float
    seconds: float
    readings: tuple[Reading, ...] = ()
    facts: tuple[Fact, ...] = ()
    missing: tuple[Missing, ...] = ()
    disturbed: str = ""

    def of(self, area: Area) -> tuple[Reading, ...]:
        """The numbers of one area."""
        return tuple(one for one in self.readings if one.area == area)

    @property
    def answers(self) -> int:
        """How many good answers its response times are made of."""
        return int(sum(one.value for one in self.readings if one.name == "answers"))

    @property
    def busy(self) -> bool:
        """The machine had hardly anything left when it began: the times may be those of something else at work."""
        return (self.value("host", "cpu") or 0.0) >= BUSY

    def value(self, subject: str, name: str) -> float | None:
        """One number, where it was measured."""
        return next((one.value for one in self.readings if (one.subject, one.name) == (subject, name)), None)


@dataclass(frozen=True)
class Site:
    """The platform that is measured, and a way to stop."""

    settings: Settings
    runtime: Runtime
    cancel: threading.Event

    def check(self) -> None:
        """Raise :class:`Cancelled` when the measurement was asked to stop."""
        if self.cancel.is_set():
            raise Cancelled("the measurement was cancelled on request", todo="archon performance measures again")
