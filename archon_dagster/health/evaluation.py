"""Confirm failures before anyone is woken.

A probe is one sample; a platform under load loses samples. A service gets *worse* only after ``failures`` bad samples
in a row, and *better* only after ``successes`` good ones. What is not known yet is believed at once when it is good.
Several worse samples in a row that differ count as the mildest of them. A service that keeps changing is *flapping*:
one alert, not twenty. In maintenance nothing is counted, and afterwards everything is judged anew.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from archon_dagster.health.check_state import Checks, advance_checks
from archon_dagster.health.samples import Facet, Sample, Verdict

State = Literal["healthy", "degraded", "unhealthy", "unknown", "maintenance"]

_RANK: dict[str, int] = {"healthy": 0, "degraded": 1, "unhealthy": 2}


@dataclass(frozen=True, slots=True)
class Policy:
    """When a state is believed.

    :param failures: bad samples in a row before a service is worse. :param successes: good ones before it is better.
    :param flap_changes: so many changes within ``flap_window`` seconds are flapping.
    :param unknown_after: seconds without a sample that says anything after which nothing is known any more.
    """

    failures: int = 3
    successes: int = 2
    flap_changes: int = 6
    flap_window: float = 900.0
    unknown_after: float = 180.0


@dataclass(frozen=True, slots=True)
class ServiceState:
    """What is believed of one service, and what speaks against it.

    :param since: when it came to this state, by its confirmation; 0: never looked at.
    :param first_seen: the first sample of the row that led here, so that the time to detect can be told.
    :param pending: the state that samples in a row speak for; empty: none. :param streak: how many.
    :param pending_since: the first of them.
    :param changes: times of the changes within the flapping window, newest last.
    :param failed: what was wrong in the last sample. :param detail: the last sample in one line.
    :param last_known: time of the last sample that said anything.
    :param checks: each of its checks, confirmed on its own.
    """

    state: State = "unknown"
    since: float = 0.0
    first_seen: float = 0.0
    pending: Verdict | Literal[""] = ""
    streak: int = 0
    pending_since: float = 0.0
    changes: tuple[float, ...] = ()
    flapping: bool = False
    failed: tuple[Facet, ...] = ()
    detail: str = ""
    reached: bool = True
    last_known: float = 0.0
    checks: Checks = field(default_factory=dict)

    @property
    def in_doubt(self) -> bool:
        """Samples speak for another state, and it is not confirmed yet."""
        return self.streak > 0


@dataclass(frozen=True, slots=True)
class Change:
    """A confirmed change of one service.

    :param at: when it was confirmed. :param first_seen: the first sample that spoke for it.
    :param failed: the facets that fail in the new state.
    :param reached: something accepts connections there.
    :param flapping: it is flapping now; a change with ``old == new`` says that this began or ended.
    """

    service: str
    at: float
    old: State
    new: State
    first_seen: float
    detail: str
    failed: tuple[Facet, ...] = ()
    reached: bool = True
    flapping: bool = False


def advance(state: ServiceState, sample: Sample, now: float, policy: Policy) -> tuple[ServiceState, Change | None]:
    """The next state of a service after one more sample, and the change if it is confirmed by it."""
    checks = advance_checks(state.checks, sample, now, policy.failures, policy.successes)
    state = replace(state, checks=checks)
    seen = _seen(state, sample, now)
    target = _target(seen, sample, now, policy)
    if target is None or target == seen.state:
        moved = seen if target is None else _settled(seen)
        return _flapping(state, moved, sample, now, policy)
    first_seen = seen.pending_since or now
    kept = seen if target == "unknown" else _settled(seen)  # what speaks against it goes on counting
    moved = replace(kept, state=target, since=now, first_seen=first_seen, changes=_counted(seen, target, now, policy))
    moved = replace(moved, flapping=_is_flapping(moved, now, policy))
    return moved, _change(state, moved, sample, now)


def _seen(state: ServiceState, sample: Sample, now: float) -> ServiceState:
    """Count the sample, and remember what it said."""
    if sample.maintenance:
        return replace(_settled(state), detail=sample.maintenance, failed=())
    verdict = sample.verdict
    if verdict == "unknown":
        return state
    state = replace(state, failed=sample.failed, detail=sample.text, reached=sample.reached, last_known=now)
    known = state.state in _RANK
    if known and verdict == state.state:
        return _settled(state)
    if not known and verdict == "healthy":
        return replace(_settled(state), pending=verdict, streak=1, pending_since=now)
    same_direction = state.streak > 0 and _worse(verdict, state.state) == _worse(str(state.pending), state.state)
    if not same_direction:
        return replace(state, pending=verdict, streak=1, pending_since=now)
    nearest = min(verdict, str(state.pending), key=lambda one: abs(_RANK[one] - _RANK.get(state.state, 0)))
    return replace(state, pending=nearest, streak=state.streak + 1)  # type: ignore[arg-type]


def _target(state: ServiceState, sample: Sample, now: float, policy: Policy) -> State | None:
    """The state to be in now; ``None``: the one it is in, with its doubts."""
    if sample.maintenance:
        return "maintenance"
    if state.state == "maintenance" and not state.in_doubt:
        return "unknown"
    if state.in_doubt and state.pending:
        if state.state not in _RANK and state.pending == "healthy":
            return "healthy"
        needed = policy.failures if _worse(state.pending, state.state) else policy.successes
        if state.streak >= needed:
            return state.pending
        return "unknown" if state.state == "maintenance" else None
    silent = now - state.last_known > policy.unknown_after
    return "unknown" if silent and state.state != "unknown" else None


def _worse(verdict: str, state: str) -> bool:
    return _RANK[verdict] > _RANK.get(state, 0)


def _settled(state: ServiceState) -> ServiceState:
    return replace(state, pending="", streak=0, pending_since=0.0)


def _counted(state: ServiceState, target: State, now: float, policy: Policy) -> tuple[float, ...]:
    """The changes within the window; coming from or going to where nothing is judged is none."""
    recent = tuple(at for at in state.changes if now - at < policy.flap_window)
    return (*recent, now) if state.state in _RANK and target in _RANK else recent


def _is_flapping(state: ServiceState, now: float, policy: Policy) -> bool:
    """Begins with ``flap_changes`` changes in the window and ends when fewer than half of them are left in it."""
    recent = sum(now - at < policy.flap_window for at in state.changes)
    return recent >= (policy.flap_changes / 2 if state.flapping else policy.flap_changes)


def _flapping(
    before: ServiceState, state: ServiceState, sample: Sample, now: float, policy: Policy
) -> tuple[ServiceState, Change | None]:
    """Without a change of the state, flapping may still have ended."""
    flapping = _is_flapping(state, now, policy)
    if flapping == state.flapping:
        return state, None
    state = replace(state, flapping=flapping)
    return state, _change(before, state, sample, now)


def _change(before: ServiceState, state: ServiceState, sample: Sample, now: float) -> Change:
    return Change(
        service=sample.service,
        at=now,
        old=before.state,
        new=state.state,
        first_seen=state.first_seen,
        detail=state.detail,
        failed=state.failed if state.state in _RANK else (),
        reached=state.reached,
        flapping=state.flapping,
    )
