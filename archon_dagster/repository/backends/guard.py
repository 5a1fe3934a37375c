"""Mutual exclusion between processes that share a directory, for the moment of one compare-and-swap.

The kernel releases the lock when its holder dies, so nothing has to be cleaned up.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from archon_dagster.errors import RepositoryError
from archon_dagster.repository.backends.base import Check

_WAIT = 30.0  # seconds; the guard is held for milliseconds
_POLL = 0.005


@contextlib.contextmanager
def guard(path: Path, check: Check) -> Iterator[None]:
    """Hold the guard file; :class:`RepositoryError` where somebody keeps it for very long.

    :param check: called while waiting; raises to stop.
    """
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + _WAIT
        while not _try_lock(descriptor):
            if time.monotonic() > deadline:
                raise RepositoryError(
                    f"the repository's guard file stayed locked for {_WAIT:.0f} s",
                    where=str(path),
                    todo="look for a stopped process that works on this repository (`fuser` names it)",
                )
            check()
            time.sleep(_POLL)
        yield
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
