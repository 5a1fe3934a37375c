"""Ids and instants of sample data: they look random and are the same on every run."""

from __future__ import annotations

import hashlib
import uuid
from datetime import UTC, datetime, timedelta

_NAMESPACE = uuid.UUID("6f1d7c1e-5b0a-4e0e-9d55-0a2c6b1f3e77")
EPOCH = datetime(2025, 11, 3, 8, 15, 0, tzinfo=UTC)
"""The first instant of the sample's history; no clock is read."""


def hexdigits(text: str, count: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:count]


def number(text: str, below: int) -> int:
    """A number from 0 to ``below - 1`` that depends on the text only."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") % below


def file_id(path: str) -> str:
    return f"file_{hexdigits(path, 12)}"


def entity_id(qualified_name: str) -> str:
    digits = hexdigits(qualified_name, 16)
    return f"entity_{digits[:8]}_{digits[8:]}"


def random_looking_uuid(text: str) -> str:
    """A version 4 UUID, as the search service makes them, but derived from the text."""
    raw = bytearray(uuid.uuid5(_NAMESPACE, text).bytes)
    raw[6] = raw[6] & 0x0F | 0x40
    return str(uuid.UUID(bytes=bytes(raw)))


def full_range_u64(text: str) -> int:
    """An unsigned 64-bit number, as the indexer makes its point ids: half of them do not fit a signed one."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def instant(text: str) -> datetime:
    """A microsecond-exact instant within 20 days of :data:`EPOCH`."""
    return EPOCH + timedelta(microseconds=number(text, 20 * 86_400_000_000))
