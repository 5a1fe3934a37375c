"""Calls to a distant storage that stop when their caller has to.

A thread that waits for a server cannot be interrupted, and a client that repeats requests by itself may wait for
minutes. So each call is made in a thread of its own while the caller polls its check. When that objects, the caller
goes on at once, and the thread is *left*: it sends nothing any more (the backend asks :func:`heed` before every
request, repetition and block), ends with the answer or the time-out it waits for, and keeps no process alive.

A cancel is heard within :data:`POLL`; a write whose outcome should be known gets a moment more (:func:`after`), and
what has to be put in order shares one budget (:func:`tidying`): together less than two seconds.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Generic, TypeVar

from archon_dagster.errors import ArchonError, Cancelled, RepositoryError
from archon_dagster.repository.backends.base import Backend, Buffer, Check, ObjectInfo, StoredObject, both

A = TypeVar("A")
T = TypeVar("T")
POLL = 0.1  # seconds between two looks at the check
ANSWER = 0.4  # seconds that a write may still take after a cancel, so that its outcome is known
_TIDYING_AFTER_FAILURE = 15.0  # seconds
_PAGE = 1000  # objects of a listing that are waited for at once
_here = threading.local()


class Left(ArchonError):
    """Nobody waits any more for what this thread does."""


def heed() -> None:
    """Raise :class:`Left` where the caller of this thread's work has gone; a backend asks before it sends anything."""
    left: threading.Event | None = getattr(_here, "left", None)
    if left is not None and left.is_set():
        raise Left("the one who asked for this has gone")


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """For what must be put in order even by a thread that was left."""
    left, _here.left = getattr(_here, "left", None), None
    try:
        yield
    finally:
        _here.left = left


def in_parallel(function: Callable[[A], T], items: Iterable[A], threads: int) -> list[T]:
    """The function's result for each item, found by threads that are left together with this one."""
    calls: deque[_Call[T]] = deque()
    results: list[T] = []
    try:
        for item in items:
            if len(calls) == threads:
                results.append(calls.popleft().wait(heed))
            calls.append(_Call(partial(function, item)))
        while calls:
            results.append(calls.popleft().wait(heed))
    finally:
        for call in calls:
            call.leave()
        for call in calls:
            call.ended(POLL)
    return results


def tidying(error: BaseException, where: str, seconds: float) -> Check:
    """A check for putting things in order because of ``error``: it objects when there is no more time for that.

    After a failure there is time. Who has cancelled waits for the end: the first thing to be put in order starts a
    clock that all of them share, because a server that is silent now stays so.

    :param seconds: on that clock, until when this thing may take.
    """
    if not isinstance(error, Cancelled):
        return _until(time.monotonic() + _TIDYING_AFTER_FAILURE, where)
    since: float = vars(error).setdefault("tidying_since", time.monotonic())
    return _until(since + seconds, where)


def _until(deadline: float, where: str) -> Check:
    def check() -> None:
        if time.monotonic() > deadline:
            raise RepositoryError("there was no time left to wait for the storage's answer", where=where)

    return check


def after(check: Check) -> Check:
    """A check that objects :data:`ANSWER` later: for a write whose outcome should be known before it is given up."""
    since: list[float] = []

    def later() -> None:
        try:
            check()
        except Cancelled:
            since.append(time.monotonic())
            if time.monotonic() - since[0] > ANSWER:
                raise

    return later


class _Call(Generic[T]):
    """One call in a thread of its own."""

    def __init__(self, function: Callable[[], T]):
        self._function = function
        self._done, self._left = threading.Event(), threading.Event()
        self._result: list[T] = []
        self._error: BaseException | None = None
        threading.Thread(target=self._run, name="storage", daemon=True).start()

    def _run(self) -> None:
        _here.left = self._left
        try:
            self._result.append(self._function())
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that waits
            self._error = error
        finally:
            self._done.set()

    def leave(self) -> None:
        """Nobody will wait for it any more."""
        self._left.set()

    def ended(self, within: float) -> bool:
        """Whether it has ended, or does so within so many seconds."""
        return self._done.wait(within)

    def wait(self, check: Check) -> T:
        try:
            while not self._done.wait(POLL):
                check()
        except BaseException:
            self.leave()
            raise
        if self._error is not None:
            raise self._error
        return self._result[0]


class HeedingBackend:
    """A backend on a distant server whose calls stop when ``check`` raises; see the module."""

    def __init__(self, backend: Backend, check: Check):
        self._backend, self._check = backend, check
        self.whole = backend.whole

    def heeding(self, check: Check) -> Backend:
        """Heeds both checks."""
        return HeedingBackend(self._backend, both(self._check, check))

    def _call(self, function: Callable[[], T]) -> T:
        self._check()
        return _Call(function).wait(self._check)

    def get(self, key: str, *, limit: int | None = None) -> StoredObject:
        return self._call(lambda: self._backend.get(key, limit=limit))

    def read_start(self, key: str, size: int) -> bytes:
        return self._call(lambda: self._backend.read_start(key, size))

    def put(self, key: str, data: Buffer, *, if_absent: bool = False) -> str:
        return self._call(lambda: self._backend.put(key, data, if_absent=if_absent))

    def replace(self, key: str, data: Buffer, *, if_match: str) -> str:
        return self._call(lambda: self._backend.replace(key, data, if_match=if_match))

    def touch(self, key: str, *, if_match: str) -> None:
        self._call(lambda: self._backend.touch(key, if_match=if_match))

    def exists(self, key: str) -> ObjectInfo | None:
        return self._call(lambda: self._backend.exists(key))

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        listing = self._backend.list(prefix)
        while page := self._call(lambda: tuple(islice(listing, _PAGE))):
            yield from page

    def delete(self, key: str) -> None:
        self._call(lambda: self._backend.delete(key))

    def barrier(self, keys: Iterable[str] = ()) -> None:
        self._call(lambda: self._backend.barrier(keys))

    def sweep(self, prefix: str) -> int:
        return self._call(lambda: self._backend.sweep(prefix))

    def now(self) -> datetime:
        return self._call(self._backend.now)

    def describe(self) -> str:
        return self._backend.describe()
