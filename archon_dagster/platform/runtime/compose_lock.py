"""A lock file that also the child of a killed holder holds.

``docker compose`` goes on when whoever started it is killed, and two of its commands at once disturb each other. It
inherits the open file, and the lock is free when the last one that has it open has ended.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from archon_dagster.errors import ServiceError

_POLL = 0.05  # seconds between two attempts


@contextmanager
def held(file: Path, limit: float, what: str) -> Iterator[int]:
    """Hold the lock; yields the file's descriptor, for a child to inherit.

    :param limit: seconds to wait for somebody else.
    :param what: is worked on, for the error. :raises ServiceError: the time is up.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _take(descriptor, time.monotonic() + limit, file, what)
        yield descriptor
    finally:
        os.close(descriptor)


def _take(descriptor: int, deadline: float, file: Path, what: str) -> None:
    pause = threading.Event()
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError as error:
            if time.monotonic() > deadline:
                raise ServiceError(
                    f"somebody else has been working on {what} for too long",
                    where=str(file),
                    todo="look who: ps -ef | grep 'docker compose'; then run this again",
                ) from error
        pause.wait(_POLL)
