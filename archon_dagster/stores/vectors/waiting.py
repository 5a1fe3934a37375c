"""Blocking network calls that can be stopped, and transfers that must move.

A socket that waits for a server that hangs cannot be interrupted from outside, and a run that was cancelled must not
wait for its time-out. So the call is made in a thread of its own while the caller polls its cancel event; when that is
set the thread is left to its time-out, which every call has. A transfer has a connection of its own, a :class:`Line`,
which is cut instead: the thread ends at once, and the server learns that nobody listens any more.

A time-out for one answer or one piece says nothing of a server that sends a byte now and then; that is what
:class:`Pace` is for. (A download is no work for a server, so it is not asked whether it works meanwhile, as
:mod:`archon_dagster.stores.patience` does.)
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from queue import Empty, Full, Queue
from typing import Any, TypeVar

from archon_dagster.errors import Cancelled
from archon_dagster.stores.patience import FLOOR

T = TypeVar("T")
Check = Callable[[], None]
Grace = Callable[[], float]
POLL = 0.2  # seconds between two looks at the cancel event
_RESET = struct.pack("ii", 1, 0)
_AHEAD = 64  # pieces: as they come from the network, 64 KiB at most
WINDOW = 120.0  # seconds in which a transfer that moves fewer than FLOOR bytes has stalled


class Stalled(Exception):
    """A transfer does not move, or an answer does not end; told to the operator as a ``StoreUnavailable``."""


class Pace:
    """How a transfer moves, over all its attempts. Safe to use from two threads.

    Only the seconds spent waiting for the server count: a slow disk of ours is not its fault.

    :param patience: the longest wait the run allows; the window is not longer.
    """

    def __init__(self, patience: float = WINDOW) -> None:
        self.window = min(WINDOW, patience)
        self._lock, self._moved, self._waited = threading.Lock(), 0, 0.0

    def moved(self, size: int) -> None:
        with self._lock:
            self._moved += size

    def waited(self, seconds: float) -> None:
        """:raises Stalled: too little has moved in the window that has just ended."""
        with self._lock:
            self._waited += seconds
            if self._waited < self.window:
                return
            moved, self._moved, self._waited = self._moved, 0, 0.0
        if moved < FLOOR:
            raise Stalled(f"{moved} of the {FLOOR} bytes that were expected in {self.window:g} s")


class Line:
    """The connection of one transfer, cut when the context closes: that wakes a thread which waits in it.

    It is reset, so that the server drops at once what is still on its way.
    """

    def __init__(self) -> None:
        self._lock, self._cut = threading.Lock(), False
        self._socket: socket.socket | None = None

    @property
    def extensions(self) -> dict[str, Any]:
        """What makes an httpx request on a new connection tell about it."""
        return {"trace": self._watch}

    def _watch(self, event: str, info: Mapping[str, Any]) -> None:
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            with self._lock:
                self._socket = info["return_value"].get_extra_info("socket")
                if self._cut:
                    self._shut()

    def _shut(self) -> None:
        if self._socket is not None:
            with suppress(OSError):  # closed already
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)  # a TLS socket's own would disturb its reader

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *exc: object) -> None:
        self.cut()

    def cut(self) -> None:
        """Also for the thread itself, before an error of its own makes httpx close the connection in good order."""
        with self._lock:
            self._cut = True
            self._shut()


def never() -> None:
    """A check that never stops anything: for cleaning up."""


def none() -> float:
    """No grace."""
    return 0.0


def call(function: Callable[[], T], check: Check, *, grace: Grace = none, limit: float | None = None) -> T:
    """The function's result; raises what it raises, or what ``check`` raises.

    :param grace: asked once ``check`` has raised :class:`Cancelled`: the seconds a call that has begun may still
        take, for requests whose answer names something on the server that must be removed again.
    :param limit: seconds the whole call may take; a time-out of the call itself may only be one for each byte.
    :raises Stalled: it took longer.
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
    found = _wait(outcome, check, grace, limit)
    if not ok.is_set() and isinstance(found, BaseException):
        raise found
    return found  # type: ignore[return-value]


def _wait(outcome: Queue[T | BaseException], check: Check, grace: Grace, limit: float | None) -> T | BaseException:
    until: float | None = None
    end = None if limit is None else time.monotonic() + limit
    while True:
        try:
            return outcome.get(timeout=POLL)
        except Empty:
            if until is not None and time.monotonic() > until:
                check()
            if until is None:
                until = _stopped(check, grace)
            if end is not None and time.monotonic() > end:
                raise Stalled(f"the answer is not complete after {limit:g} s") from None


def _stopped(check: Check, grace: Grace) -> float | None:
    """When to give up, once ``check`` objects; raises at once where there is no grace."""
    try:
        check()
    except Cancelled:
        if not (seconds := grace()):
            raise
        return time.monotonic() + seconds
    return None


def stream(produce: Callable[[], Iterator[bytes]], check: Check, pace: Pace) -> Iterator[bytes]:
    """The pieces an iterator produces in a thread of its own, a few of them ahead.

    Closing the generator makes the producer stop at its next piece.

    :raises Stalled: they come too slowly.
    """
    pieces: Queue[bytes | BaseException | None] = Queue(maxsize=_AHEAD)
    stop = threading.Event()
    threading.Thread(target=_produce, args=(produce, pieces, stop), daemon=True, name="qdrant-download").start()
    try:
        while True:
            check()
            piece = _next(pieces, pace)
            if piece is None:
                return
            if isinstance(piece, BaseException):
                raise piece
            if piece:
                yield piece
    finally:
        stop.set()


def _next(pieces: Queue[bytes | BaseException | None], pace: Pace) -> bytes | BaseException | None:
    """The next piece, or an empty one when there was none for a moment."""
    began = time.monotonic()
    try:
        piece = pieces.get(timeout=POLL)
    except Empty:
        piece = b""
    if isinstance(piece, bytes):
        pace.moved(len(piece))
        pace.waited(time.monotonic() - began)
    return piece


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
