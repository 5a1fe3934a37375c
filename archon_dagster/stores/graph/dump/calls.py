"""Dates, times, durations and points as a dump writes them, as values of a graph export."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, time
from typing import Any

from archon_dagster.stores.graph.dump.model import NotUnderstood
from archon_dagster.stores.graph.values import Json, UnsupportedValue, decode, encode

_DATE = r"\d{4}-\d\d-\d\d"
_CLOCK = r"(?P<clock>\d\d:\d\d:\d\d)(?:\.(?P<fraction>\d{1,9}))?"
_ZONE = r"(?P<offset>Z|[+-]\d\d:\d\d)?(?:\[(?P<zone>[^\]]+)\])?"
_IS_DATE = re.compile(_DATE)
_IS_TIME = re.compile(_CLOCK)
_IS_LOCAL = re.compile(rf"(?P<date>{_DATE})T{_CLOCK}")
_IS_ZONED = re.compile(rf"(?P<date>{_DATE})T{_CLOCK}{_ZONE}")
_IS_DURATION = re.compile(
    r"(?P<all>-?)P(?:(?P<d>-?\d+)D)?(?:T(?:(?P<h>-?\d+)H)?(?:(?P<m>-?\d+)M)?"
    r"(?:(?P<s>-?\d+)(?:\.(?P<fraction>\d{1,6}))?S)?)?"
)
_DAY = 86_400 * 10**6  # microseconds
_SRIDS = {(7203, 2), (9157, 3), (4326, 2), (4979, 3)}
_AXES = (("x", "longitude"), ("y", "latitude"), ("z", "height"))


def _matched(pattern: re.Pattern[str], text: str, what: str) -> re.Match[str]:
    found = pattern.fullmatch(text)
    if found is None:
        raise NotUnderstood(f"{text!r} is no {what}")
    return found


def _checked_date(text: str) -> str:
    try:
        date.fromisoformat(text)
    except ValueError as error:
        raise NotUnderstood(f"{text!r} is no date: {error}") from error
    return text


def _clock(found: re.Match[str]) -> str:
    try:
        time.fromisoformat(found["clock"])
    except ValueError as error:
        raise NotUnderstood(f"{found['clock']!r} is no time: {error}") from error
    return f"{found['clock']}.{(found['fraction'] or ''):0<9}"


def _date(text: str) -> Json:
    return {"Date": _checked_date(_matched(_IS_DATE, text, "date")[0])}


def _local_time(text: str) -> Json:
    return {"LocalTime": _clock(_matched(_IS_TIME, text, "local time"))}


def _local_datetime(text: str) -> Json:
    found = _matched(_IS_LOCAL, text, "local datetime")
    return {"LocalDateTime": f"{_checked_date(found['date'])}T{_clock(found)}"}


def _datetime(text: str) -> Json:
    found = _matched(_IS_ZONED, text, "datetime with a zone")
    offset, zone = found["offset"], found["zone"]
    if offset is None:
        raise NotUnderstood(f"{text!r} has no offset")
    offset = "+00:00" if offset in ("Z", "-00:00") else offset
    if zone is None and offset == "+00:00":
        zone = "UTC"  # as the driver hands such a value out, and so as an export has it
    zone = f"[{zone}]" if zone else ""
    return _as_the_driver_has_it({"DateTime": f"{_checked_date(found['date'])}T{_clock(found)}{offset}{zone}"})


def _as_the_driver_has_it(value: Json) -> Json:
    """The same instant with the offset that this machine knows for the zone: what an export would say."""
    try:
        return encode(decode(value))
    except (UnsupportedValue, OverflowError) as error:
        raise NotUnderstood(f"{value['DateTime']!r} is no datetime here: {error}") from error


def _duration(text: str) -> Json:
    """Memgraph counts microseconds, and hands them out as days and the rest of a day, both of the same sign."""
    found = _matched(_IS_DURATION, text, "duration")
    total = int(found["d"] or 0) * _DAY + int(found["h"] or 0) * 3600 * 10**6 + int(found["m"] or 0) * 60 * 10**6
    seconds = found["s"] or "0"
    part = int(seconds) * 10**6 + (-1 if seconds.startswith("-") else 1) * int(f"{found['fraction'] or '':0<6}")
    total = (total + part) * (-1 if found["all"] else 1)
    if abs(total) >= 2**63:
        raise NotUnderstood(f"{text!r} is longer than any duration of Memgraph")
    sign = -1 if total < 0 else 1
    days, rest = divmod(abs(total), _DAY)
    whole, micro = divmod(rest, 10**6)
    return {"Duration": ["0", str(sign * days), str(sign * whole), str(sign * micro * 1000)]}


def _point(entries: dict[str, Json]) -> Json:
    known = {name.lower(): value for name, value in entries.items()}
    coordinates = [known[name] for names in _AXES for name in names if name in known]
    srid = known.get("srid")
    if not isinstance(srid, dict) or (int(srid.get("int", 0)), len(coordinates)) not in _SRIDS:
        raise NotUnderstood("this point's reference system and its coordinates do not go together")
    return {"Point": [int(srid["int"]), *(_coordinate(value) for value in coordinates)]}


def _coordinate(value: Json) -> str:
    if isinstance(value, dict) and "int" in value:
        return float(int(value["int"])).hex()
    if isinstance(value, dict) and "float" in value:
        return str(value["float"])
    raise NotUnderstood("a coordinate is no number")


CALLS: dict[str, Callable[[Any], Json]] = {
    "DATE": _date,
    "LOCALTIME": _local_time,
    "LOCALDATETIME": _local_datetime,
    "DATETIME": _datetime,
    "DURATION": _duration,
    "POINT": _point,
}
