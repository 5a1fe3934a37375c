"""The moment in which a run that was cancelled still cleans up behind itself on a server.

A cancelled run ends within two seconds, also where its server hangs. So what it left there is removed as long as the
server answers at once; the rest is left to the next run, which finds it: by a note that was made before the server was
asked for it, or by a name that only we give.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace

from archon_dagster.errors import Cancelled
from archon_dagster.stores.base import Work

MOMENT = 1.5  # seconds from when the cancel is seen; with a look for it five times a second the run ends within two
GRACE = 1.0  # of these, for the answer to a request that was under way: what it names can then be removed in the rest


class Leaving:
    """Counts the moment, from when the cancel is first seen. Safe to use from several threads.

    :param check: raises :class:`Cancelled` when the run was asked to stop.
    """

    def __init__(self, check: Callable[[], None]) -> None:
        self._check, self._lock = check, threading.Lock()
        self._seen: float | None = None

    def check(self) -> None:
        """For cleaning up: raises what the run's own check raises, but a moment later."""
        try:
            self._check()
        except Cancelled:
            if self._passed() >= MOMENT:
                raise

    def grace(self) -> float:
        """Seconds that a request which was under way when the run was cancelled may still take."""
        return max(0.0, GRACE - self._passed())

    def anew(self) -> None:
        """The moment begins again: what came before had to be waited for."""
        with self._lock:
            self._seen = None

    def _passed(self) -> float:
        with self._lock:
            now = time.monotonic()
            self._seen = now if self._seen is None else self._seen
            return now - self._seen


class _Later(threading.Event):
    """Set when the moment is over."""

    def __init__(self, leaving: Leaving) -> None:
        super().__init__()
        self._leaving = leaving

    def is_set(self) -> bool:
        try:
            self._leaving.check()
        except Cancelled:
            return True
        return False


def tidying(work: Work, deadline: float) -> Work:
    """The same run, for cleaning up: it goes on although it was cancelled, but only for a moment.

    :param deadline: seconds any single step of it may take in a run that was not cancelled.
    """
    later = _Later(Leaving(work.check))
    later.is_set()  # a moment that has begun is counted from here
    return replace(work, cancel=later, deadline=min(work.deadline, deadline))
