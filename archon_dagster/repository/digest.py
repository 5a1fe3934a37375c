"""The SHA-256 of a stream, computed beside the thread that produces the stream.

A chunk's digest and the whole artifact's are both needed, and each takes as long as everything else together; hashing
lets go of the interpreter, so the two run at once. The digest is never far behind: a producer waits for it.
"""

from __future__ import annotations

import hashlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor

_SMALL = 64 << 10  # bytes that are hashed sooner than handed over
_BEHIND = 16 << 20  # bytes the digest may be behind the stream


class StreamDigest:
    """As :func:`hashlib.sha256`; for one producer."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._thread: ThreadPoolExecutor | None = None
        self._waiting: deque[tuple[int, Future[None]]] = deque()
        self._behind = 0

    def update(self, data: bytes) -> None:
        """The next bytes of the stream."""
        if len(data) < _SMALL and not self._waiting:
            self._digest.update(data)
            return
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="digest")
        self._waiting.append((len(data), self._thread.submit(self._digest.update, data)))
        self._behind += len(data)
        self._catch_up(_BEHIND)

    def hexdigest(self) -> str:
        """The digest of all bytes so far."""
        self._catch_up(0)
        return self._digest.hexdigest()

    def close(self) -> None:
        """No more bytes will come; the digest can still be asked for. May be called twice."""
        if self._thread is not None:
            self._thread.shutdown(wait=False)

    def _catch_up(self, behind: int) -> None:
        while self._waiting and (self._behind > behind or self._waiting[0][1].done()):
            size, hashed = self._waiting.popleft()
            hashed.result()
            self._behind -= size
