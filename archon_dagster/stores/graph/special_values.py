"""Dates, times, durations and points of the driver as JSON and back; see :mod:`archon_dagster.stores.graph.values`."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta, tzinfo
from typing import Any

Json = Any


class UnsupportedValue(ValueError):
    """A value of a type this format does not know."""


def encode_special(value: Any) -> Json:
    from neo4j import spatial, time

    if isinstance(value, time.DateTime):
        return _encode_datetime(value)
    if isinstance(value, time.Date):
        return {"Date": _date_text(value)}
    if isinstance(value, time.Time):
        tag = "LocalTime" if value.tzinfo is None else "Time"
        return {tag: _clock_text(value) + _offset_text(value.utcoffset())}
    if isinstance(value, time.Duration):
        return {"Duration": [str(part) for part in (value.months, value.days, value.seconds, value.nanoseconds)]}
    if isinstance(value, spatial.Point):
        return {"Point": [value.srid, *(float(part).hex() for part in value)]}
    raise UnsupportedValue(f"a value of type {type(value).__module__}.{type(value).__qualname__} cannot be kept")


def _date_text(value: Any) -> str:
    return f"{value.year:04}-{value.month:02}-{value.day:02}"


def _clock_text(value: Any) -> str:
    return f"{value.hour:02}:{value.minute:02}:{value.second:02}.{value.nanosecond:09}"


def _offset_text(offset: timedelta | None) -> str:
    if offset is None:
        return ""
    minutes, rest = divmod(offset, timedelta(minutes=1))
    if rest:
        raise UnsupportedValue(f"a zone offset of {offset} (Bolt drivers know whole minutes only)")
    sign, minutes = ("-", -minutes) if minutes < 0 else ("+", minutes)
    return f"{sign}{minutes // 60:02}:{minutes % 60:02}"


def _encode_datetime(value: Any) -> Json:
    text = f"{_date_text(value)}T{_clock_text(value)}"
    if value.tzinfo is None:
        return {"LocalDateTime": text}
    zone = getattr(value.tzinfo, "zone", None) or getattr(value.tzinfo, "key", None)
    return {"DateTime": text + _offset_text(value.utcoffset()) + (f"[{zone}]" if zone else "")}


_DATE = r"(?P<y>\d{4})-(?P<mo>\d\d)-(?P<d>\d\d)"
_CLOCK = r"(?P<h>\d\d):(?P<mi>\d\d):(?P<s>\d\d)\.(?P<ns>\d{9})"
_ZONE = r"(?P<offset>[+-]\d\d:\d\d)(?:\[(?P<zone>[^\]]+)\])?"
_PATTERNS = {
    "Date": re.compile(_DATE),
    "LocalTime": re.compile(_CLOCK),
    "Time": re.compile(_CLOCK + _ZONE),
    "LocalDateTime": re.compile(f"{_DATE}T{_CLOCK}"),
    "DateTime": re.compile(f"{_DATE}T{_CLOCK}{_ZONE}"),
}


def _parts(tag: str, text: str, *names: str) -> list[int]:
    match = _PATTERNS[tag].fullmatch(text)
    if match is None:
        raise ValueError(f"not a {tag}")
    return [int(match[name]) for name in names]


def _decode_date(text: str) -> Any:
    from neo4j.time import Date

    return Date(*_parts("Date", text, "y", "mo", "d"))


def _decode_local_time(text: str) -> Any:
    from neo4j.time import Time

    hour, minute, second, nanosecond = _parts("LocalTime", text, "h", "mi", "s", "ns")
    return Time(hour, minute, second, nanosecond)


def _decode_time(text: str) -> Any:
    from neo4j.time import Time

    hour, minute, second, nanosecond = _parts("Time", text, "h", "mi", "s", "ns")
    return Time(hour, minute, second, nanosecond, tzinfo=_fixed(_offset_of("Time", text)))


def _decode_local_datetime(text: str) -> Any:
    from neo4j.time import DateTime

    year, month, day, hour, minute, second, nanosecond = _parts(
        "LocalDateTime", text, "y", "mo", "d", "h", "mi", "s", "ns"
    )
    return DateTime(year, month, day, hour, minute, second, nanosecond)


def _decode_datetime(text: str) -> Any:
    """By way of UTC, as the driver does it, so that the doubled hour of autumn comes back as the right one."""
    import pytz  # type: ignore[import-untyped]
    from neo4j.time import DateTime

    year, month, day, hour, minute, second, nanosecond = _parts("DateTime", text, "y", "mo", "d", "h", "mi", "s", "ns")
    offset, zone = _offset_of("DateTime", text), _zone_of(text)
    if zone is None:
        return DateTime(year, month, day, hour, minute, second, nanosecond, tzinfo=_fixed(offset))
    utc = datetime(year, month, day, hour, minute, second) - offset
    instant = DateTime(utc.year, utc.month, utc.day, utc.hour, utc.minute, utc.second, nanosecond, tzinfo=pytz.UTC)
    return instant.as_timezone(pytz.timezone(zone))


def _offset_of(tag: str, text: str) -> timedelta:
    match = _PATTERNS[tag].fullmatch(text)
    if match is None:
        raise ValueError(f"not a {tag}")
    sign = -1 if match["offset"][0] == "-" else 1
    hours, minutes = (int(part) for part in match["offset"][1:].split(":"))
    return sign * timedelta(hours=hours, minutes=minutes)


def _zone_of(text: str) -> str | None:
    match = _PATTERNS["DateTime"].fullmatch(text)
    return match["zone"] if match else None


def _fixed(offset: timedelta) -> Any:
    """The driver's own class: it cannot send a time whose zone is one of the standard library's."""
    import pytz

    return pytz.FixedOffset(offset // timedelta(minutes=1))


class _BareOffset(tzinfo):
    """Offset zero without a name; the driver's own object for it has one, ``UTC``, and would send that."""

    def utcoffset(self, moment: datetime | None) -> timedelta:
        return timedelta(0)

    def dst(self, moment: datetime | None) -> None:
        return None

    def tzname(self, moment: datetime | None) -> None:
        return None


_BARE_OFFSET = _BareOffset()


def utc_as_offset(value: Any) -> Any:
    """The value with every datetime in the zone ``UTC`` made one with the offset zero, inside lists and maps too."""
    import pytz
    from neo4j.time import DateTime

    if isinstance(value, list):
        return [utc_as_offset(item) for item in value]
    if isinstance(value, dict):
        return {key: utc_as_offset(item) for key, item in value.items()}
    if isinstance(value, DateTime) and value.tzinfo is pytz.UTC:
        return value.replace(tzinfo=_BARE_OFFSET)
    return value


def offset_as_text(value: Any) -> Any:
    """A datetime with an offset and no zone name as the text for it; any other value as it is."""
    from neo4j.time import DateTime

    if isinstance(value, DateTime) and value.tzinfo is not None and getattr(value.tzinfo, "zone", None) is None:
        return f"{_date_text(value)}T{_clock_text(value)}{_offset_text(value.utcoffset())}"
    return value


def _decode_duration(parts: list[str]) -> Any:
    from neo4j.time import Duration

    months, days, seconds, nanoseconds = (int(part) for part in parts)
    return Duration(months=months, days=days, seconds=seconds, nanoseconds=nanoseconds)


def _decode_point(parts: list[Any]) -> Any:
    from neo4j.spatial import CartesianPoint, Point, WGS84Point

    srid, coordinates = int(parts[0]), tuple(float.fromhex(part) for part in parts[1:])
    known = {(7203, 2): CartesianPoint, (9157, 3): CartesianPoint, (4326, 2): WGS84Point, (4979, 3): WGS84Point}
    if (kind := known.get((srid, len(coordinates)))) is not None:
        return kind(coordinates)
    point = Point(coordinates)
    point.srid = srid  # what the driver does with a reference system it has no class for
    return point


SPECIAL_DECODERS: dict[str, Callable[[Any], Any]] = {
    "Date": _decode_date,
    "LocalTime": _decode_local_time,
    "Time": _decode_time,
    "LocalDateTime": _decode_local_datetime,
    "DateTime": _decode_datetime,
    "Duration": _decode_duration,
    "Point": _decode_point,
}
