"""How many replicas the load asks for: one step at a time, and only after it has lasted.

A decision is a function of what is read now and of the few numbers remembered from before; it touches nothing. Load
has to stay above ``high`` for some readings before a replica is added, and below ``low`` before one is taken away;
between the two nothing happens. After each step there is a cool-down. A replica is not taken away where the others
could not carry its share without passing ``high`` again: that is how a scaler flaps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from archon_dagster.errors import ConfigurationError

Action = Literal["up", "hold", "down"]


@dataclass(frozen=True, slots=True)
class Policy:
    """When to scale.

    :param high: load above which a replica is added; :param low: below which one is taken away. In the unit of the
        readings: milliseconds of p95 latency, or percent of one core for each replica.
    :param rising: readings in a row above ``high`` before a step; :param falling: below ``low``.
    :param cool_down: seconds after a step during which there is no other.
    :raises ConfigurationError: the numbers contradict each other.
    """

    minimum: int = 1
    maximum: int = 4
    high: float = 800.0
    low: float = 200.0
    rising: int = 3
    falling: int = 10
    cool_down: float = 300.0

    def __post_init__(self) -> None:
        wrong = [
            text
            for bad, text in (
                (not 1 <= self.minimum <= self.maximum, f"replicas from {self.minimum} to {self.maximum}"),
                (not 0 <= self.low < self.high, f"low {self.low:g} is not below high {self.high:g}"),
                (self.rising < 1 or self.falling < 1, "fewer than one reading before a step"),
                (self.cool_down < 0, f"a cool-down of {self.cool_down:g} s"),
            )
            if bad
        ]
        if wrong:
            raise ConfigurationError(
                f"the autoscaling policy makes no sense: {'; '.join(wrong)}",
                todo="correct it; nothing was scaled",
            )


@dataclass(frozen=True, slots=True)
class Memory:
    """What is remembered between two readings.

    :param above: readings in a row above ``high``; :param below: below ``low``.
    :param stepped: when the last step was decided, in seconds since the epoch; ``None``: never.
    """

    above: int = 0
    below: int = 0
    stepped: float | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """The load now. :param load: ``None`` where nothing is known, which is no reason to do anything."""

    replicas: int
    load: float | None


@dataclass(frozen=True, slots=True)
class Decision:
    """How many replicas there should be, and why."""

    action: Action
    replicas: int
    why: str


def decide(policy: Policy, memory: Memory, reading: Reading, now: float) -> tuple[Decision, Memory]:
    """What to do now, and what to remember. Outside of its bounds a service is brought back, cool-down or not."""
    memory = _counted(policy, _not_in_future(memory, now), reading)
    have = reading.replicas
    within = min(max(have, policy.minimum), policy.maximum)
    if within != have:
        why = f"{have} replicas are outside of {policy.minimum} to {policy.maximum}"
        return _step(have, within, why, now)
    if reading.load is None:
        return Decision("hold", have, "the load is not known"), memory
    if memory.above >= policy.rising:
        return _up(policy, memory, reading, now)
    if memory.below >= policy.falling:
        return _down(policy, memory, reading, now)
    return Decision("hold", have, _unsettled(policy, memory, reading.load)), memory


def _not_in_future(memory: Memory, now: float) -> Memory:
    """A clock that was set back must not make a cool-down last for hours."""
    if memory.stepped is None or memory.stepped <= now:
        return memory
    return replace(memory, stepped=now)


def _counted(policy: Policy, memory: Memory, reading: Reading) -> Memory:
    load = reading.load
    above = memory.above + 1 if load is not None and load > policy.high else 0
    below = memory.below + 1 if load is not None and load < policy.low else 0
    return replace(memory, above=above, below=below)


def _up(policy: Policy, memory: Memory, reading: Reading, now: float) -> tuple[Decision, Memory]:
    have, said = reading.replicas, f"{reading.load:g} is above {policy.high:g} for {memory.above} readings"
    if have == policy.maximum:
        return Decision("hold", have, f"{said}, and {have} is the most there may be"), memory
    if left := _cooling(policy, memory, now):
        return Decision("hold", have, f"{said}; the cool-down lasts {left:.0f} s more"), memory
    return _step(have, have + 1, said, now)


def _down(policy: Policy, memory: Memory, reading: Reading, now: float) -> tuple[Decision, Memory]:
    have, load = reading.replicas, reading.load or 0.0
    said = f"{load:g} is below {policy.low:g} for {memory.below} readings"
    if have == policy.minimum:
        return Decision("hold", have, f"{said}, and {have} is the least there may be"), memory
    if left := _cooling(policy, memory, now):
        return Decision("hold", have, f"{said}; the cool-down lasts {left:.0f} s more"), memory
    expected = load * have / (have - 1)
    if expected > policy.high:
        why = f"{said}, but {have - 1} replicas would have {expected:g}, above {policy.high:g}"
        return Decision("hold", have, why), memory
    return _step(have, have - 1, said, now)


def _step(have: int, want: int, why: str, now: float) -> tuple[Decision, Memory]:
    return Decision("up" if want > have else "down", want, why), Memory(stepped=now)


def _cooling(policy: Policy, memory: Memory, now: float) -> float:
    """Seconds of the cool-down that are left."""
    return 0.0 if memory.stepped is None else max(0.0, memory.stepped + policy.cool_down - now)


def _unsettled(policy: Policy, memory: Memory, load: float) -> str:
    if memory.above:
        return f"{load:g} is above {policy.high:g}, {memory.above} of {policy.rising} readings"
    if memory.below:
        return f"{load:g} is below {policy.low:g}, {memory.below} of {policy.falling} readings"
    return f"{load:g} is between {policy.low:g} and {policy.high:g}"
