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
    # Not Thread.join: before Python 3.13 a join that is interrupted takes the thread for dead. Not an event: one that
    # is interrupted at the wrong bytecode keeps its inner lock, and nobody could set it any more. A lock is one step.
    at_work = threading.Lock()
    at_work.acquire()

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:  # noqa: BLE001 - raised again in the waiting thread
            errors.append(error)
        finally:
            at_work.release()

    thread = threading.Thread(target=run, name="operation", daemon=True)
    try:
        thread.start()
        while not at_work.acquire(timeout=POLL):
            pass
    except BaseException:
        cancel.set()
        if thread.ident is not None:
            _wait_for(lambda: bool(results or errors), cleanup_limit)
        raise
    if errors:
        raise errors[0]
    return results[0]


def _wait_for(ended: Callable[[], bool], limit: float) -> None:
    """Not by the lock: the interrupt may have come just after it was taken."""
    deadline = time.monotonic() + limit
    while not ended() and time.monotonic() < deadline:
        try:
            time.sleep(POLL)
        except BaseException:  # noqa: BLE001, S112 - the first interrupt is raised when the clean-up is done
            continue
