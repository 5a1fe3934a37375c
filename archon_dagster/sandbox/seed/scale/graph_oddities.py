"""Property values and labels of every kind a graph server may have; the server is asked which it takes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from archon_dagster.sandbox.seed.scale import odd_json


@dataclass(frozen=True)
class Oddity:
    """One kind of peculiar node: extra properties, or labels instead of the ordinary ones."""

    name: str
    properties: dict[str, Any] = field(default_factory=dict)
    labels: tuple[str, ...] | None = None


def oddities() -> tuple[Oddity, ...]:
    """All of them, always in the same order. The driver's types are imported here, where a graph is written."""
    return (*_labels(), *_of_json(), *_numbers(), *_moments(), *_places())


def _labels() -> tuple[Oddity, ...]:
    return (
        Oddity("several labels", labels=("Entity", "File", "Archived")),
        Oddity("no label", labels=()),
        Oddity("label with a space and a backtick", labels=("With `tick` and space",)),
        Oddity("label of another script", labels=("Größe", "名前")),
        Oddity("label with a tilde", labels=("a~b",)),
        Oddity("long label", labels=("L" * 200,)),
    )


def _of_json() -> tuple[Oddity, ...]:
    """The values JSON has, except those that only JSON has; keys become properties as well."""
    keys = {"with space": 1, "back`tick": 2, "ключ": 3, "a.b": 4, "1st": 5, "match": 6}
    skipped = ("unsigned 64 bits", "null", "empty map", "awkward keys", "many keys")
    values = (Oddity(name, {"odd": value}) for name, value in odd_json.VALUES if name not in skipped)
    return (
        *values,
        Oddity("map", {"odd": {"a": {"b": [1, 2.0]}, "with space": None}}),
        Oddity("awkward property names", keys),
        Oddity("many properties", {f"property_{number}": number / 2 for number in range(200)}),
    )


def _numbers() -> tuple[Oddity, ...]:
    return (
        Oddity("not a number", {"odd": float("nan")}),
        Oddity("infinities", {"odd": [float("inf"), float("-inf")]}),
        Oddity("bytes", {"odd": bytes(range(256))}),
    )


def _moments() -> tuple[Oddity, ...]:
    import pytz  # type: ignore[import-untyped]
    from neo4j.time import Date, DateTime, Duration, Time

    def in_zone(zone: Any, month: int, day: int, hour: int, minute: int, nanosecond: int = 0) -> DateTime:
        utc = DateTime(2024, month, day, hour, minute, 0, nanosecond, tzinfo=pytz.UTC)
        return utc.as_timezone(zone)  # as the driver makes them

    vienna, offset = pytz.timezone("Europe/Vienna"), pytz.FixedOffset(330)
    return (
        Oddity("date", {"odd": Date(2024, 2, 29), "ends": [Date(1, 1, 1), Date(9999, 12, 31)]}),
        Oddity("local time", {"odd": Time(23, 59, 59, 999_999_000)}),
        Oddity("time with offset", {"odd": Time(12, 0, 0, 0, tzinfo=offset)}),
        Oddity("local datetime", {"odd": DateTime(2024, 2, 29, 23, 59, 59, 123_456_000)}),
        Oddity("local datetime with nanoseconds", {"odd": DateTime(2024, 2, 29, 23, 59, 59, 123_456_789)}),
        Oddity("local datetime before 1970", {"odd": DateTime(1969, 7, 20, 20, 17, 40, 500_000_000)}),
        Oddity("datetime with zone", {"odd": in_zone(vienna, 6, 1, 10, 0, 1000)}),
        Oddity("first of the doubled hour", {"odd": in_zone(vienna, 10, 27, 0, 30)}),
        Oddity("second of the doubled hour", {"odd": in_zone(vienna, 10, 27, 1, 30)}),
        Oddity("datetime with offset", {"odd": in_zone(offset, 6, 1, 10, 0)}),
        Oddity("datetime in UTC", {"odd": in_zone(pytz.UTC, 6, 1, 10, 0)}),
        Oddity("duration", {"odd": Duration(days=3, seconds=7, nanoseconds=1000)}),
        Oddity("negative duration", {"odd": Duration(days=-3, seconds=-7)}),
        Oddity("duration with months", {"odd": Duration(months=14, days=3)}),
    )


def _places() -> tuple[Oddity, ...]:
    from neo4j.spatial import CartesianPoint, WGS84Point

    return (
        Oddity("point", {"odd": WGS84Point((16.37, 48.21))}),
        Oddity("point with height", {"odd": WGS84Point((16.37, 48.21, 171.5))}),
        Oddity("cartesian point", {"odd": CartesianPoint((-1.0, 1e-300))}),
        Oddity("cartesian point in space", {"odd": CartesianPoint((1.0, 2.0, 3.0))}),
    )
