"""Rows of the generated tables as lines of ``COPY`` text."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from archon_dagster.sandbox.seed.scale import odd_json
from archon_dagster.sandbox.seed.scale.mixing import SENTENCES, instant, mixed, prose, turn, uuid_of
from archon_dagster.sandbox.seed.tables import copy_field

Row = tuple[Any, ...]
_JSON = tuple((name, value) for name, value in odd_json.VALUES if name != "NUL")
_TEXTS = tuple(text for name, text in odd_json.TEXTS if name != "NUL")
_STATES = ("todo", "in progress", "it's done", "größer")
_WEIGHTS = ("1", "-0", "5e-324", "1.7976931348623157e308", "1e17", "NaN", "Infinity", "-Infinity", "0.1")
_QUALITIES = ("1.000000000000", "0.1", "NaN", "123456789012345678.123456789012", "0", "-0.000000000001")
_LARGEST = (2**63 - 1, -(2**63), 2**53 + 1, 0)
_ZONED = (
    "infinity",
    "-infinity",
    "2024-10-27 00:30:00+00",
    "0044-03-15 12:00:00+00 BC",
    "9999-12-31 23:59:59.999999+00",
)
_INTERVALS = ("1 year 2 mons -3 days +04:05:06.789", "-00:00:00.000001", "0", "P1Y2M3D")
_ADDRESSES = ("127.0.0.1", "::1", "10.0.0.0/8", "fe80::1:2:3:4")
_ODD_TEXTS = (*_TEXTS, odd_json.large_text())


def sources(scale: int) -> int:
    return scale // 100 + 1


def events(scale: int) -> int:
    return scale // 2


def source(number: int) -> Row:
    """Every source but the first has an earlier one above it."""
    above = None if number == 0 else mixed(number, 41) % number + 1
    return number + 1, f"source {number} – {SENTENCES[number & 255][:30]}", above, {"number": number, "share": 1.0}


def document(number: int) -> Row:
    bits, place = mixed(number, 42), turn(number, len(_JSON))
    odd = place is not None
    return (
        number + 1, number // 100 + 1, uuid_of(number, 43), SENTENCES[bits & 255],
        _ODD_TEXTS[(place or 0) % len(_ODD_TEXTS)] if odd else None if number % 50 == 3 else prose(number),
        _json(_JSON[place or 0][1]) if odd else None,
        None if bits >> 8 & 15 == 0 else _array(SENTENCES[bits >> 12 & 255].split()[: bits >> 20 & 3]),
        "{{1,2},{3,NULL}}" if odd else None, bits.to_bytes(8, "big") * (bits >> 24 & 3),
        _QUALITIES[(place or 0) % 6] if odd else f"{bits >> 28 & 1023}.5",
        _WEIGHTS[(place or 0) % 9] if odd else (bits >> 32 & 1023) / 4, (bits >> 36 & 255) / 8,
        _LARGEST[(place or 0) % 4] if odd else number, _STATES[bits >> 40 & 3], bits >> 42 & 1 == 1,
        _ZONED[(place or 0) % 5] if odd else instant(number), instant(number).replace(tzinfo=None),
        instant(number).date().isoformat(), f"{bits >> 44 & 15:02}:{bits >> 48 & 31:02}:00.{number % 10**6:06}",
        _INTERVALS[(place or 0) % 4] if odd else f"{bits >> 50 & 63} minutes",
    )  # fmt: skip


def event(number: int) -> Row:
    """Mostly plain; the awkward texts again, under awkward names."""
    bits, place = mixed(number, 44), turn(number, len(_TEXTS))
    text = _TEXTS[place] if place is not None else SENTENCES[bits & 255] if number % 3 else None
    span = f"[{bits >> 8 & 255},{(bits >> 8 & 255) + 7})" if number % 5 else "empty"
    return number + 1, text, _ADDRESSES[bits >> 16 & 3], number + 1 if number % 7 else None, span


def line(row: Row) -> bytes:
    return ("\t".join(map(copy_field, row)) + "\n").encode()


@dataclass(frozen=True, slots=True)
class Table:
    """One generated table.

    :param name: as SQL; :param columns: of its ``COPY``; :param count: its rows at a scale; :param make: one of them.
    """

    name: str
    columns: str
    count: Callable[[int], int]
    make: Callable[[int], Row]


TABLES = (
    Table("sources", "id, name, parent, metadata", sources, source),
    Table(
        "documents",
        "id, source, external, title, content, odd, tags, grid, digest, quality, weight, ratio, largest, status, "
        "verified, created_at, noted_at, day, hour, took",
        lambda scale: scale,
        document,
    ),
    Table('"Odd ""Events"""', '"select", "With Space", "ключ", document, span', events, event),
)
"""Referenced tables first."""


def lines(table: Table, scale: int) -> Iterator[bytes]:
    for number in range(table.count(scale)):
        yield line(table.make(number))


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _array(items: list[str]) -> str:
    return "{" + ",".join(items) + "}"
