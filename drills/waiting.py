"""Wait for something that is looked at from outside; no wait is without an end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

LOOK_EVERY = 0.2  # seconds


class TooLate(Exception):
    """It did not become true in time; says what was waited for, and what was seen instead."""


def wait_for(
    what: str,
    look: Callable[[], T | None],
    within: float,
    seen: Callable[[], str] = lambda: "",
    every: float = LOOK_EVERY,
) -> T:
    """The first true answer of ``look``; :class:`TooLate` where there is none within so many seconds."""
    end, pause = time.monotonic() + within, threading.Event()
    while not (found := look()):
        if time.monotonic() > end:
            detail = seen()
            raise TooLate(f"{what}: not within {within:.0f} s" + (f"; {detail}" if detail else ""))
        pause.wait(every)
    return found
