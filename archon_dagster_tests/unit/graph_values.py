"""Hypothesis strategies for what a graph can hold, as the driver hands it out."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytz  # type: ignore[import-untyped]
from hypothesis import strategies as st
from neo4j.spatial import CartesianPoint, Point, WGS84Point
from neo4j.time import Date, DateTime, Duration, Time

INT64 = st.integers(-(2**63), 2**63 - 1)
ZONES = st.sampled_from(["Europe/Vienna", "America/New_York", "Asia/Kolkata", "Etc/UTC", "UTC", "Australia/Lord_Howe"])
OFFSETS = st.integers(-18 * 60, 18 * 60)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NANOSECONDS = st.integers(0, 999_999_999)

dates = st.dates().map(lambda d: Date(d.year, d.month, d.day))
clocks = st.tuples(st.integers(0, 23), st.integers(0, 59), st.integers(0, 59), NANOSECONDS)
local_times = clocks.map(lambda c: Time(*c))
times = st.builds(lambda c, o: Time(c[0], c[1], c[2], c[3], tzinfo=pytz.FixedOffset(o)), clocks, OFFSETS)
days = st.dates(min_value=date(2, 1, 1), max_value=date(9998, 12, 31))
local_datetimes = st.builds(lambda d, c: DateTime(d.year, d.month, d.day, *c), days, clocks)


def in_zone(local: DateTime, zone: Any) -> DateTime:
    """As the driver hydrates it: an instant in UTC, moved to its zone."""
    return local.replace(tzinfo=pytz.UTC).as_timezone(zone)


datetimes = st.one_of(
    st.builds(lambda t, zone: in_zone(t, pytz.timezone(zone)), local_datetimes, ZONES),
    st.builds(lambda t, offset: in_zone(t, pytz.FixedOffset(offset)), local_datetimes, OFFSETS),
)
durations = st.builds(
    lambda sign, mo, d, s, ns: Duration(months=sign * mo, days=sign * d, seconds=sign * s, nanoseconds=sign * ns),
    st.sampled_from([1, -1]), st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**9), NANOSECONDS,
)  # fmt: skip


def _point(srid: int, *coordinates: float) -> Point:
    point = Point(coordinates)
    point.srid = srid
    return point


FLOATS = st.floats()
points = st.one_of(
    st.builds(lambda x, y: CartesianPoint((x, y)), FLOATS, FLOATS),
    st.builds(lambda x, y, z: CartesianPoint((x, y, z)), FLOATS, FLOATS, FLOATS),
    st.builds(lambda x, y: WGS84Point((x, y)), FLOATS, FLOATS),
    st.builds(lambda x, y, z: WGS84Point((x, y, z)), FLOATS, FLOATS, FLOATS),
    st.builds(_point, st.integers(1, 99999).filter(lambda n: n not in (7203, 9157, 4326, 4979)), FLOATS, FLOATS),
)
enums = st.builds(lambda name: {"__type": "mg_enum", "__value": name}, TEXT)
scalars = st.one_of(
    st.none(), st.booleans(), INT64, FLOATS, TEXT, st.binary(max_size=8), dates, local_times, times, local_datetimes,
    datetimes, durations, points, enums,
)  # fmt: skip
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=6
)
properties = st.dictionaries(TEXT, values, max_size=4)
