"""One connection, from a client to a replica: bytes, each direction ending by itself.

No request is read, so that nothing of it can be misunderstood. What is known is who spoke last: a replica that has
answered and hears nothing more is between two requests, and there a connection to one that is being drained is ended.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, field

from archon_dagster.sandbox.balancer.rotation import Replica

_PIECE = 64 * 1024  # bytes
_BETWEEN = 0.5  # seconds of silence after an answer: the next request has not begun


@dataclass(eq=False)
class Link:
    """A connection that is open. :param answered: when the replica spoke last; 0: the client did."""

    replica: Replica
    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    answered: float = field(default_factory=time.monotonic)

    @property
    def between_requests(self) -> bool:
        """Nobody waits for an answer on it."""
        return self.answered > 0 and time.monotonic() - self.answered > _BETWEEN

    def close(self) -> None:
        """End it on both sides."""
        for side in (self.client, self.server):
            side.close()

    async def forward(self, from_client: asyncio.StreamReader, from_server: asyncio.StreamReader) -> None:
        """Move bytes until the replica has said its last word, or a side is gone."""
        asking = asyncio.create_task(self._move(from_client, self.server, answers=False))
        try:
            await self._move(from_server, self.client, answers=True)
        finally:
            asking.cancel()
            with suppress(asyncio.CancelledError):
                await asking
            self.close()

    async def _move(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, answers: bool) -> None:
        with suppress(OSError):  # a side that is gone ends the connection, whatever it was doing
            while piece := await source.read(_PIECE):
                self.answered = time.monotonic() if answers else 0.0
                sink.write(piece)
                await sink.drain()
            if sink.can_write_eof():
                sink.write_eof()
