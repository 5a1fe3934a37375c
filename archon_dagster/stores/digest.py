"""The order-independent digest that fingerprints are made of.

Each record is hashed on its own and the hashes are added modulo 2^256: any order gives the same sum, a record that
is missing, doubled or changed gives another one.
"""

from __future__ import annotations

import hashlib

from archon_dagster.repository.manifest import SAMPLE_BELOW, Part

_MODULUS = 1 << 256


class Multiset:
    """Adds records one by one; :meth:`part` is the result so far."""

    __slots__ = ("_sample_sum", "_sum", "count", "sample_count")

    def __init__(self) -> None:
        self.count = self.sample_count = 0
        self._sum = self._sample_sum = 0

    def add(self, record: bytes, key: bytes | None = None) -> None:
        """Add one record in canonical form.

        :param key: identifies the record across restores (a point's id); records with a key can be sampled.
        """
        value = int.from_bytes(hashlib.sha256(record).digest(), "big")
        self._sum = (self._sum + value) % _MODULUS
        self.count += 1
        if key is not None and in_sample(key):
            self._sample_sum = (self._sample_sum + value) % _MODULUS
            self.sample_count += 1

    def part(self, *, sampled: bool = False) -> Part:
        """The digest; with ``sampled`` the sample's digest stands beside it."""
        return Part(
            count=self.count,
            digest=f"{self._sum:064x}",
            sample_count=self.sample_count if sampled else None,
            sample_digest=f"{self._sample_sum:064x}" if sampled else None,
        )


def in_sample(key: bytes) -> bool:
    """Whether the record with this key belongs to the sample (one in 64, the same everywhere)."""
    return hashlib.sha256(key).digest()[0] < SAMPLE_BELOW
