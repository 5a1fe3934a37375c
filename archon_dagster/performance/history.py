"""The numbers of the newest reports, and a small drawing of each: slowly worse is seen before any check says so."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from archon_dagster.performance.measures import Measurement, Reading

KEPT = 12
"""Reports: a quarter of a year of weekly ones, and as many letters as a table on a narrow screen has room for."""
_BARS = "▁▂▃▄▅▆▇█"


class Point(BaseModel):
    """The numbers of one report. :param at: seconds since the epoch. :param values: by subject and name."""

    model_config = ConfigDict(frozen=True)

    at: float
    values: dict[str, float]


def followed(history: Sequence[Point], measurement: Measurement) -> tuple[Point, ...]:
    """The history with one measurement more; the oldest go."""
    values = {_key(one): one.value for one in measurement.readings}
    return (*history, Point(at=measurement.at, values=values))[-KEPT:]


def drawn(history: Sequence[Point], reading: Reading) -> str:
    """One number through the reports that have it, oldest first; ``·`` where there is nothing to compare yet."""
    key = _key(reading)
    values = [point.values[key] for point in history if key in point.values]
    return sparkline(values) if len(values) > 1 else "·"


def sparkline(values: Sequence[float]) -> str:
    """A bar for each, from nothing to the highest: a difference that is small looks small."""
    highest = max(values)
    return "".join(_BARS[round(value / highest * (len(_BARS) - 1)) if highest > 0 else 0] for value in values)


def _key(reading: Reading) -> str:
    return f"{reading.subject} {reading.name}"
