"""How soon after a cancel a run must have stopped."""

from __future__ import annotations

import threading
import time

PROMPT = 2.0 + 0.5  # seconds: those that are promised, and what a busy machine may add


class Cancel(threading.Event):
    """A cancel event that tells how long ago it was set."""

    def __init__(self) -> None:
        super().__init__()
        self._at = 0.0

    def set(self) -> None:
        if not self.is_set():
            self._at = time.monotonic()
        super().set()

    @property
    def passed(self) -> float:
        """Seconds since then."""
        assert self._at, "it was never cancelled"
        return time.monotonic() - self._at
