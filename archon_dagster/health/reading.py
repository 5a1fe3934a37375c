"""What others may ask the monitor: what is confirmed now, and what has changed since."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from archon_dagster.health import events
from archon_dagster.health import state as states
from archon_dagster.health.evaluation import State
from archon_dagster.health.events import Event
from archon_dagster.health.samples import Facet
from archon_dagster.platform.services import BY_NAME


@dataclass(frozen=True, slots=True)
class Confirmed:
    """One service that is confirmed not to be well, now.

    :param state: ``unhealthy``, or ``degraded``: it works, slowly or in part.
    :param since: when this was confirmed; :param first_seen: the first sample that showed it.
    :param failed: what is wrong; see :data:`~archon_dagster.health.samples.Problem`.
    :param causes: other unwell services that explain it; none: it is a root cause.
    :param affected: unwell services that this one explains.
    :param reached: something accepts connections there (a process that is gone is not reached, a frozen one is).
    """

    service: str
    state: State
    since: float
    first_seen: float
    detail: str
    failed: tuple[Facet, ...]
    causes: tuple[str, ...]
    affected: tuple[str, ...]
    reached: bool
    flapping: bool

    @property
    def problems(self) -> frozenset[str]:
        """What is wrong, for programs."""
        return frozenset(facet.problem for facet in self.failed if facet.problem)

    @property
    def external(self) -> bool:
        """Nobody here can start or restore it."""
        return BY_NAME[self.service].external


@dataclass(frozen=True, slots=True)
class Standing:
    """The whole picture.

    :param at: the end of the last tick, in seconds since the epoch; 0: the monitor has never run here. Who acts on
        this must look at it: what is minutes old says nothing.
    :param states: of every watched service. :param left_out: the others, with the reason.
    """

    at: float
    confirmed: tuple[Confirmed, ...]
    states: dict[str, State]
    left_out: dict[str, str]


def standing(home: Path) -> Standing:
    """What the monitor believed at the end of its last tick."""
    state = states.load(home)
    unwell = {name: one for name, one in state.services.items() if one.state in ("degraded", "unhealthy")}
    explained = {name: state.causes.get(name, ()) for name in unwell}
    confirmed = tuple(
        Confirmed(
            service=name,
            state=one.state,
            since=one.since,
            first_seen=one.first_seen,
            detail=one.detail,
            failed=one.failed,
            causes=explained[name],
            affected=tuple(sorted(other for other, causes in explained.items() if name in causes)),
            reached=one.reached,
            flapping=one.flapping,
        )
        for name, one in sorted(unwell.items(), key=lambda item: (BY_NAME[item[0]].order, item[0]))
    )
    return Standing(
        state.at, confirmed, {name: one.state for name, one in state.services.items()}, dict(state.left_out)
    )


def confirmed(home: Path) -> tuple[Confirmed, ...]:
    """The services that are confirmed not to be well, root causes and affected ones, in start order."""
    return standing(home).confirmed


def changes(home: Path, after: int = 0) -> list[Event]:
    """The confirmed changes with a number higher than ``after``, in order; the older ones are gone by and by."""
    return events.read(home, after)
