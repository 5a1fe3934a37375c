"""What others may ask the monitor: what is confirmed now, and what has changed since."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from archon_dagster.health import events
from archon_dagster.health import state as states
from archon_dagster.health.evaluation import State
from archon_dagster.health.events import Event
from archon_dagster.health.samples import Facet
from archon_dagster.platform.services import BY_NAME

SILENT_AFTER = 5  # intervals of the monitor, and at least three minutes
_UNSETTLED = ("unknown", "maintenance")


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
class FailingCheck:
    """One check that is confirmed to fail, see :mod:`archon_dagster.health.check_state`.

    :param since: the first sample that showed it. :param minor: it makes the service degraded, not unhealthy.
    :param causes: other unwell services that explain it; :param affected: unwell services that this one explains.
    """

    service: str
    check: str
    detail: str
    since: float
    minor: bool
    causes: tuple[str, ...] = ()
    affected: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Standing:
    """The whole picture.

    :param at: the end of the last tick, in seconds since the epoch; 0: the monitor has never run here. Who acts on
        this must look at it: what is minutes old says nothing.
    :param states: of every watched service. :param left_out: the others, with the reason.
    :param failing: the checks that are confirmed to fail.
    :param unsettled: services of which nothing is to be concluded now: not known, or in maintenance.
    :param flapping: services that keep changing, and the first change that counts.
    """

    at: float
    confirmed: tuple[Confirmed, ...]
    states: dict[str, State]
    left_out: dict[str, str]
    failing: tuple[FailingCheck, ...] = ()
    unsettled: frozenset[str] = frozenset()
    flapping: Mapping[str, float] = field(default_factory=dict)


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
    failing = tuple(
        FailingCheck(
            service=name,
            check=check,
            detail=known.facet.detail if known.facet else "",
            since=known.since,
            minor=bool(known.facet and known.facet.minor),
            causes=state.causes.get(name, ()),
            affected=tuple(sorted(other for other, causes in explained.items() if name in causes)),
        )
        for name, one in state.services.items()
        for check, known in one.checks.items()
        if known.failing
    )
    return Standing(
        state.at,
        confirmed,
        {name: one.state for name, one in state.services.items()},
        dict(state.left_out),
        failing,
        frozenset(name for name, one in state.services.items() if one.state in _UNSETTLED),
        {name: min(one.changes, default=one.since) for name, one in state.services.items() if one.flapping},
    )


def confirmed(home: Path) -> tuple[Confirmed, ...]:
    """The services that are confirmed not to be well, root causes and affected ones, in start order."""
    return standing(home).confirmed


def changes(home: Path, after: int = 0) -> list[Event]:
    """The confirmed changes with a number higher than ``after``, in order; the older ones are gone by and by."""
    return events.read(home, after)


def silent_after(interval: float) -> float:
    """Seconds without a sample after which nothing is known any more: a monitor whose last tick is older is silent.

    :param interval: seconds between two rounds.
    """
    return max(180.0, SILENT_AFTER * interval)
