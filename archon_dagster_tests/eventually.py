"""Wait for a condition in a test instead of sleeping for a guess."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(condition: Callable[[], T], within: float = 15.0) -> T:
    """The first true value of ``condition``; fails when there is none within so many seconds."""
    end = time.monotonic() + within
    pause = threading.Event()
    while not (value := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"did not become true within {within:g} s; last value: {value!r}")
        pause.wait(0.02)
    return value
