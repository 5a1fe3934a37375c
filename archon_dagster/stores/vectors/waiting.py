"""Blocking network calls that can be stopped.

A socket that waits for a server that hangs cannot be interrupted from outside, and a run that was cancelled must not
wait for its time-out. So the call is made in a thread of its own while the caller polls its cancel event; when that is
set the thread is left to its time-out, which every call has.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from queue import Empty, Full, Queue
from typing import TypeVar

from archon_dagster.errors import Cancelled

T = TypeVar("T")
Check = Callable[[], None]
POLL = 0.2  # seconds between two looks at the cancel event


def never() -> None:
    """A check that never stops anything: for cleaning up."""


def call(function: Callable[[], T], check: Check, *, grace: float = 0.0) -> T:
    """The function's result; raises what it raises, or what ``check`` raises.

    :param grace: seconds a call that has begun may still take once ``check`` has raised: for requests whose answer
        names something on the server that must be removed again.
    """
    outcome: Queue[T | BaseException] = Queue(maxsize=1)
    ok = threading.Event()

    def run() -> None:
        try:
            result = function()
            ok.set()
            outcome.put(result)
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that waits
            outcome.put(error)

    threading.Thread(target=run, daemon=True, name="qdrant-request").start()
    found = _wait(outcome, check, grace)
    if not ok.is_set() and isinstance(found, BaseException):
        raise found
    return found  # type: ignore[return-value]


def _wait(outcome: Queue[T | BaseException], check: Check, grace: float) -> T | BaseException:
    until: float | None = None
    while True:
        try:
            return outcome.get(timeout=POLL)
        except Empty:
            if until is not None and time.monotonic() > until:
                check()
            if until is None:
                until = _stopped(check, grace)


def _stopped(check: Check, grace: float) -> float | None:
    """When to give up, once ``check`` objects; raises at once where there is no grace."""
    try:
        check()
    except Cancelled:
        if not grace:
            raise
        return time.monotonic() + grace
    return None


def stream(produce: Callable[[], Iterator[bytes]], check: Check) -> Iterator[bytes]:
    """The pieces an iterator produces in a thread of its own, a few of them ahead.

    Closing the generator makes the producer stop at its next piece.
    """
    pieces: Queue[bytes | BaseException | None] = Queue(maxsize=4)
    stop = threading.Event()
    threading.Thread(target=_produce, args=(produce, pieces, stop), daemon=True, name="qdrant-download").start()
    try:
        while True:
            check()
            try:
                piece = pieces.get(timeout=POLL)
            except Empty:
                continue
            if piece is None:
                return
            if isinstance(piece, BaseException):
                raise piece
            yield piece
    finally:
        stop.set()


def _produce(
    produce: Callable[[], Iterator[bytes]], pieces: Queue[bytes | BaseException | None], stop: threading.Event
) -> None:
    def put(piece: bytes | BaseException | None) -> None:
        while not stop.is_set():
            try:
                pieces.put(piece, timeout=POLL)
                return
            except Full:
                continue

    try:
        for piece in produce():
            put(piece)
            if stop.is_set():
                return
        put(None)
    except BaseException as error:  # noqa: BLE001 - raised again by the thread that reads
        put(error)


def pause(seconds: float, check: Check) -> None:
    """Wait between two attempts, polling ``check``."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        check()
        time.sleep(min(POLL, left))
