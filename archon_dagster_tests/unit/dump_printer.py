"""Prints a graph the way ``DUMP DATABASE`` does, from values as the driver hands them out; and says what that loses.

Written after the recorded dumps: floats with seventeen digits, names in backticks, enums without quotes.
"""

from __future__ import annotations

import math
from typing import Any

from neo4j.spatial import Point
from neo4j.time import Date, DateTime, Duration, Time

_ESCAPES = {"\\": "\\\\", "'": "\\'", '"': '\\"', "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_WORDS = {None: "Null", True: "true", False: "false"}


def printed_text(text: str) -> str:
    return '"' + "".join(_ESCAPES.get(letter, letter) for letter in text) + '"'


def printed_name(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def printed_properties(properties: dict[str, Any]) -> str:
    return "{" + ", ".join(f"{printed_name(name)}: {printed(value)}" for name, value in properties.items()) + "}"


def printed(value: Any) -> str:
    """One value."""
    if value is None or isinstance(value, bool):
        return _WORDS[value]
    if isinstance(value, str):
        return printed_text(value)
    if isinstance(value, float):
        return f"{value:.17g}"
    if isinstance(value, list):
        return "[" + ", ".join(printed(item) for item in value) + "]"
    if isinstance(value, dict):
        return str(value["__value"]) if value.get("__type") == "mg_enum" else printed_properties(value)
    return str(value) if isinstance(value, int) else _printed_special(value)


def _printed_special(value: Any) -> str:
    if isinstance(value, Point):
        axes = ", ".join(f"{axis}:{part:.17g}" for axis, part in zip("xyz", value, strict=False))
        return f"POINT({{ {axes}, srid: {value.srid} }})"
    if isinstance(value, Duration):
        seconds = abs(value.seconds)
        sign = "-" if value.seconds < 0 or value.nanoseconds < 0 else ""
        rest = f"{sign}{seconds % 60}.{abs(value.nanoseconds) // 1000:06}"
        hours, minutes = (f"{'-' if part and sign else ''}{part}" for part in (seconds // 3600, seconds // 60 % 60))
        return f'DURATION("P{value.days}DT{hours}H{minutes}M{rest}S")'
    if isinstance(value, DateTime):
        return _printed_datetime(value)
    if isinstance(value, Date):
        return f'DATE("{value.iso_format()}")'
    assert isinstance(value, Time)
    return f'LOCALTIME("{_clock(value)}")'


def _clock(value: Any) -> str:
    return f"{value.hour:02}:{value.minute:02}:{value.second:02}.{value.nanosecond // 1000:06}"


def _printed_datetime(value: DateTime) -> str:
    text = f"{value.year:04}-{value.month:02}-{value.day:02}T{_clock(value)}"
    if value.tzinfo is None:
        return f'LOCALDATETIME("{text}")'
    offset = value.utcoffset()
    assert offset is not None
    minutes = round(offset.total_seconds() / 60)
    zone = getattr(value.tzinfo, "zone", None)
    shown = f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"
    return f'DATETIME("{text}{shown}{f"[{zone}]" if zone else ""}")'


def after_a_dump(value: Any) -> Any:
    """What a dump leaves of a value: doubles that look like integers are some."""
    if isinstance(value, list):
        return [after_a_dump(item) for item in value]
    if isinstance(value, dict):
        return value if value.get("__type") == "mg_enum" else {key: after_a_dump(item) for key, item in value.items()}
    if isinstance(value, float) and math.isfinite(value) and set(f"{value:.17g}") <= set("-0123456789"):
        return value if value == 0 and math.copysign(1, value) < 0 else int(value)
    return value


def table_of(rows: list[str]) -> str:
    """``mgconsole``'s table of these rows, as the runbook's script got it."""
    cells = [printed_text(row) for row in rows]
    width = max([len("QUERY"), *(len(cell.encode()) for cell in cells)]) + 2
    rule = f"+{'-' * width}+\n"
    lines = [f"| {cell}{' ' * (width - 1 - len(cell.encode()))}|\n" for cell in ["QUERY", *cells]]
    return rule + lines[0] + rule + "".join(lines[1:]) + rule


def csv_of(rows: list[str]) -> str:
    """``mgconsole --output-format=csv`` of these rows."""
    doubled = [printed_text(row).replace('"', '""') for row in rows]
    return '"QUERY"\n' + "".join(f'"{row}"\n' for row in doubled)
