"""What has become worse since another measurement, beyond noise."""

from __future__ import annotations

from dataclasses import dataclass

from archon_dagster.performance.measures import Measurement, Reading


@dataclass(frozen=True, slots=True)
class Change:
    """One number beside the baseline's. :param worse: by more than the tolerance and the noise."""

    reading: Reading
    before: float
    worse: bool

    @property
    def share(self) -> float | None:
        """By how much it changed, as a share of what it was."""
        return (self.reading.value - self.before) / self.before if self.before else None


@dataclass(frozen=True)
class Comparison:
    """A measurement and the one it is compared with.

    :param changes: of every number that both have. :param lost: questions that were answered then and are not now.
    """

    changes: tuple[Change, ...] = ()
    lost: tuple[str, ...] = ()

    @property
    def worse(self) -> tuple[Change, ...]:
        """The regressions."""
        return tuple(change for change in self.changes if change.worse)


def compare(now: Measurement, then: Measurement, tolerance: float) -> Comparison:
    """:param tolerance: share by which a time or a size may be worse, e.g. 0.5: half as much again."""
    before = {one.key: one.value for one in then.readings}
    changes = [
        Change(one, before[one.key], is_worse(one, before[one.key], tolerance))
        for one in now.readings
        if one.key in before
    ]
    asked = {one.key for one in now.readings}
    lost = [one.subject for one in then.readings if one.name == "p50" and one.key not in asked]
    return Comparison(tuple(changes), tuple(dict.fromkeys(lost)))


def is_worse(reading: Reading, before: float, tolerance: float) -> bool:
    """Whether a number is worse than before by more than its noise (and, where it is relative, the tolerance)."""
    measure = reading.measure
    if not measure.worse:
        return False
    by = reading.value - before if measure.worse == "higher" else before - reading.value
    least = max(measure.floor, tolerance * abs(before)) if measure.relative else measure.floor
    return by > least
