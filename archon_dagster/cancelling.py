"""Run work so that an interrupt is seen at once and the work still cleans up.

An interrupt (Ctrl-C, a run terminated in the UI) reaches only the main thread, and only between two bytecodes: a main
thread that waits inside a library does not see it. So the work runs in a thread of its own while the main thread
waits in short steps; on an interrupt it sets the cancel event, waits for the clean-up, and lets the interrupt go on.
An impatient second interrupt does not end the clean-up: half a clean-up is worse than none.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

POLL = 0.1  # seconds


def run_cancellable(work: Callable[[], T], cancel: threading.Event, *, cleanup_limit: float) -> T:
    """Run ``work`` in a thread and return its result; an interrupt sets ``cancel`` and is raised after the clean-up.

    :param cleanup_limit: seconds the clean-up may take before the interrupt goes on without it.
    """
    results: list[T] = []
    errors: list[BaseException] = []
    # an event and not Thread.join: before Python 3.13 a join that is interrupted takes the thread for dead
    done = threading.Event()

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:  # noqa: BLE001 - raised again in the waiting thread
            errors.append(error)
        finally:
            done.set()

    thread = threading.Thread(target=run, name="operation", daemon=True)
    try:
        thread.start()
        while not done.wait(POLL):
            pass
    except BaseException:
        cancel.set()
        if thread.ident is not None:
            _wait_for(done, cleanup_limit)
        raise
    if errors:
        raise errors[0]
    return results[0]


def _wait_for(done: threading.Event, limit: float) -> None:
    deadline = time.monotonic() + limit
    while not done.is_set() and time.monotonic() < deadline:
        try:
            done.wait(POLL)
        except BaseException:  # noqa: BLE001, S112 - the first interrupt is raised when the clean-up is done
            continue
