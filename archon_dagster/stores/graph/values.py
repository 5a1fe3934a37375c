"""Property values as JSON, exactly: what is decoded is what was encoded, type and all.

JSON knows neither integers beyond 2^53, nor NaN, nor dates; a graph does. Text and booleans stand for themselves, a
list is a list; everything else is an object with one key that names the type, so nothing is ambiguous:

==============================================  ==========================================================
``{"int": "42"}``                               64-bit integer
``{"float": "0x1.8p+0"}``                       double in hexadecimal; also ``nan``, ``inf``, ``-inf``
``{"bytes": "AP8="}``                           base64
``{"map": {…}}``                                a map; its values are encoded in turn
``{"enum": "Status::Good"}``                    a Memgraph enum value (over Bolt: a map that says so)
``{"Date": "2024-02-29"}``
``{"LocalTime": "23:59:59.999999000"}``         nine digits of a second, always
``{"Time": "12:00:00.000000000+01:00"}``
``{"LocalDateTime": "2024-02-29T23:59:59.…"}``
``{"DateTime": "2024-10-27T02:30:00.…+02:00[Europe/Vienna]"}``  the offset decides the doubled autumn hour
``{"Duration": [months, days, seconds, ns]}``   decimal strings
``{"Point": [srid, "0x…", "0x…"]}``             two or three coordinates
==============================================  ==========================================================

Two things are not kept because the driver does not show them: the payload bits of a NaN, and whether a zone of offset
zero was called ``UTC`` or only had that offset (it is written as ``UTC``).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from datetime import timezone as fixed_offset
from typing import Any

Json = Any
ENUM_KEYS = {"__type", "__value"}
INT64 = range(-(2**63), 2**63)


class UnsupportedValue(ValueError):
    """A value of a type this format does not know."""


def encode(value: Any) -> Json:
    """The JSON form of one property value as the driver hands it out."""
    encoder = _BUILTIN.get(type(value))
    return encoder(value) if encoder is not None else _encode_special(value)


def encode_properties(properties: dict[str, Any]) -> dict[str, Json]:
    """The JSON form of a node's or relationship's properties."""
    return {key: encode(value) for key, value in properties.items()}


def decode(value: Json) -> Any:
    """The inverse of :func:`encode`."""
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, list):
        return [decode(item) for item in value]
    if not isinstance(value, dict) or len(value) != 1:
        raise UnsupportedValue(f"not an encoded property value: {value!r:.100}")
    ((tag, content),) = value.items()
    decoder = _DECODERS.get(tag)
    if decoder is None:
        raise UnsupportedValue(f"unknown value type {tag!r}; a newer version may read it")
    try:
        return decoder(content)
    except (TypeError, ValueError, AttributeError, KeyError, IndexError) as error:
        raise UnsupportedValue(f"malformed {tag}: {content!r:.100}") from error


def decode_properties(properties: dict[str, Json]) -> dict[str, Any]:
    """The inverse of :func:`encode_properties`."""
    return {key: decode(value) for key, value in properties.items()}


def kinds(value: Json) -> Iterator[str]:
    """The type names in an encoded value, nested ones too: ``str``, ``bool``, ``null``, ``list`` and the tags."""
    if isinstance(value, list):
        yield "list"
        for item in value:
            yield from kinds(item)
    elif isinstance(value, dict):
        ((tag, content),) = value.items()
        yield "offset DateTime" if tag == "DateTime" and not content.endswith("]") else tag
        if tag == "map":
            for item in content.values():
                yield from kinds(item)
    else:
        yield "null" if value is None else type(value).__name__


# builtins ------------------------------------------------------------------------------------------------------


def _same(value: Any) -> Json:
    return value


def _encode_int(value: int) -> Json:
    if value not in INT64:
        raise UnsupportedValue(f"integer {value} does not fit 64 bits")
    return {"int": str(value)}


def _encode_map(value: dict[str, Any]) -> Json:
    if value.keys() == ENUM_KEYS and value["__type"] == "mg_enum" and type(value["__value"]) is str:
        return {"enum": value["__value"]}
    return {"map": {key: encode(item) for key, item in value.items()}}


_BUILTIN: dict[type, Callable[[Any], Json]] = {
    type(None): _same,
    bool: _same,
    str: _same,
    int: _encode_int,
    float: lambda value: {"float": value.hex()},
    list: lambda value: [encode(item) for item in value],
    dict: _encode_map,
    bytes: lambda value: {"bytes": base64.b64encode(value).decode()},
    bytearray: lambda value: {"bytes": base64.b64encode(value).decode()},
}


def _decode_int(text: str) -> int:
    number = int(text)
    if number not in INT64:
        raise ValueError("does not fit 64 bits")
    return number


# temporal and spatial ------------------------------------------------------------------------------------------


def _encode_special(value: Any) -> Json:
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
    seconds = offset.days * 86400 + offset.seconds
    sign, seconds = ("-", -seconds) if seconds < 0 else ("+", seconds)
    text = f"{sign}{seconds // 3600:02}:{seconds // 60 % 60:02}"
    return f"{text}:{seconds % 60:02}" if seconds % 60 else text


def _encode_datetime(value: Any) -> Json:
    text = f"{_date_text(value)}T{_clock_text(value)}"
    if value.tzinfo is None:
        return {"LocalDateTime": text}
    zone = getattr(value.tzinfo, "zone", None) or getattr(value.tzinfo, "key", None)
    return {"DateTime": text + _offset_text(value.utcoffset()) + (f"[{zone}]" if zone else "")}


_DATE = r"(?P<y>\d{4})-(?P<mo>\d\d)-(?P<d>\d\d)"
_CLOCK = r"(?P<h>\d\d):(?P<mi>\d\d):(?P<s>\d\d)\.(?P<ns>\d{9})"
_ZONE = r"(?P<offset>[+-]\d\d:\d\d(?::\d\d)?)(?:\[(?P<zone>[^\]]+)\])?"
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
    import pytz
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
    hours, minutes, *seconds = (int(part) for part in match["offset"][1:].split(":"))
    return sign * timedelta(hours=hours, minutes=minutes, seconds=seconds[0] if seconds else 0)


def _zone_of(text: str) -> str | None:
    match = _PATTERNS["DateTime"].fullmatch(text)
    return match["zone"] if match else None


def _fixed(offset: timedelta) -> Any:
    """The driver's own class where it has one, so that a decoded value equals the one that was read."""
    import pytz

    minutes, rest = divmod(offset, timedelta(minutes=1))
    return pytz.FixedOffset(minutes) if minutes and not rest else fixed_offset(offset)


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


_DECODERS: dict[str, Callable[[Any], Any]] = {
    "int": _decode_int,
    "float": float.fromhex,
    "bytes": lambda text: base64.b64decode(text, validate=True),
    "map": lambda content: {key: decode(item) for key, item in content.items()},
    "enum": lambda name: {"__type": "mg_enum", "__value": name},
    "Date": _decode_date,
    "LocalTime": _decode_local_time,
    "Time": _decode_time,
    "LocalDateTime": _decode_local_datetime,
    "DateTime": _decode_datetime,
    "Duration": _decode_duration,
    "Point": _decode_point,
}
