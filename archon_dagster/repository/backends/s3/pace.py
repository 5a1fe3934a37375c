"""Slow is an error too: a server that sends a byte a minute never runs into a time-out between two bytes.

An object gets a grace of two read time-outs, and beyond it has to move at a rate that any usable line reaches.
"""

from __future__ import annotations

import io
import time

from archon_dagster.repository.backends.base import Buffer
from archon_dagster.repository.backends.heeding import heed
from archon_dagster.repository.backends.s3.errors import TooSlow
from archon_dagster.repository.backends.s3.settings import S3Settings

SLOWEST = 32 << 10  # bytes per second


class Pace:
    """Measures the time spent waiting for the server, not that of whoever uses the bytes."""

    def __init__(self, settings: S3Settings, action: str, where: str):
        self._grace = 2 * settings.read_timeout
        self._action, self._where = action, where
        self._waited, self._moved = 0.0, 0

    def moved(self, size: int, seconds: float) -> None:
        """Note what came and how long it took; :class:`TooSlow` where that is no use any more."""
        self._moved += size
        self._waited += seconds
        if self._waited > self._grace + self._moved / SLOWEST:
            raise TooSlow(
                f"could not {self._action} the repository: the server is too slow",
                where=self._where,
                tried=f"{self._moved} bytes moved in {self._waited:.0f} s",
                todo="check the network and the server's load; ARCHON_S3_READ_TIMEOUT gives it more time",
            )


class PacedBody(io.BytesIO):
    """A body to send, which boto3 reads in small blocks: each is sent within a time-out, all of it within its pace."""

    def __init__(self, data: Buffer, settings: S3Settings, where: str):
        super().__init__(data)
        self._pace, self._asked = Pace(settings, "write", where), 0.0

    def read(self, size: int | None = -1, /) -> bytes:
        heed()
        now = time.monotonic()
        block = super().read(size)
        if self._asked:
            self._pace.moved(len(block), now - self._asked)
        self._asked = time.monotonic()
        return block

    def seek(self, position: int, whence: int = 0, /) -> int:
        self._asked = 0.0  # another attempt: the pause before it is not the server's
        return super().seek(position, whence)
