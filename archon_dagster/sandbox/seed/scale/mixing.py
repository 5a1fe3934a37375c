"""Numbers, ids and words that look random and follow from a record's number alone.

Record ``i`` is the same whatever else is generated, so a larger scale contains the records of a smaller one, and any
part can be made without what comes before it. Arithmetic instead of a hash: a million records take several numbers
each.
"""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta

from archon_dagster.sandbox.seed.identity import EPOCH

_MASK = 2**64 - 1
_GOLDEN = 0x9E3779B97F4A7C15
_HISTORY = 20 * 86_400 * 10**6  # microseconds

SPECIAL_IDS: tuple[int | str, ...] = (
    0, 2**64 - 1, 2**63, 2**63 - 1, 2**53 + 1, 1,
    "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff",
)  # fmt: skip
"""Ids of the first points: the ends of both kinds, and what a float or a signed integer gets wrong."""

_WORDS = (
    "backup", "restore", "snapshot", "shard", "segment", "vector", "graph", "entity", "relation", "bridge",
    "index", "search", "document", "chunk", "page", "source", "project", "agent", "task", "prompt", "token",
    "model", "answer", "quality", "pattern", "memory", "stream", "batch", "query", "filter", "payload",
)  # fmt: skip


def mixed(number: int, salt: int = 0) -> int:
    """64 bits; different numbers give different results under the same salt (SplitMix64)."""
    z = (number * _GOLDEN + salt * 0xD1B54A32D192ED03 + 0x632BE59BD9B4E019) & _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return z ^ (z >> 31)


def uuid_of(number: int, salt: int = 0) -> str:
    """A UUID of version 4 that belongs to the number."""
    bits = mixed(number, salt) << 64 | mixed(number, salt + 1)
    return str(uuid.UUID(int=bits & ~(0xF000 << 64 | 0xC000 << 48) | 0x4000 << 64 | 0x8000 << 48))


def point_id(number: int) -> int | str:
    """Unsigned 64-bit numbers of full range and UUIDs in turn."""
    if number < len(SPECIAL_IDS):
        return SPECIAL_IDS[number]
    return uuid_of(number, 11) if number % 2 else mixed(number, 12)


def instant(number: int) -> datetime:
    return EPOCH + timedelta(microseconds=mixed(number, 13) % _HISTORY)


def sentence(seed: int) -> str:
    """Twelve words."""
    return " ".join(_WORDS[(seed >> 5 * place) % len(_WORDS)] for place in range(12))


SENTENCES = tuple(sentence(mixed(number, 14)) for number in range(256))


def prose(number: int) -> str:
    """A few sentences that differ from those of other numbers."""
    bits = mixed(number, 15)
    chosen = (SENTENCES[(bits >> 8 * place) & 255] for place in range(3 + bits % 4))
    return f"{number}: {'. '.join(chosen)}."


def turn(number: int, kinds: int, first: int = 0) -> int | None:
    """Which of ``kinds`` peculiarities the record has: each once from record ``first`` on, then one in a hundred."""
    if first <= number < first + kinds:
        return number - first
    return number // 100 % kinds if number > first and number % 100 == 7 else None
