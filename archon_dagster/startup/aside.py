"""Do something aside that may hang, and stop waiting for it when the start is cancelled."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

POLL = 0.05  # seconds between two looks


class Aside(Generic[T]):
    """Work in a daemon thread, begun at once; what is left behind ends by itself or with the process."""

    def __init__(self, work: Callable[[], T], name: str = "aside"):
        self._work, self._done = work, threading.Event()
        self._results: list[T] = []
        self._errors: list[BaseException] = []
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def _run(self) -> None:
        try:
            self._results.append(self._work())
        except BaseException as error:  # noqa: BLE001 - raised again in the waiting thread
            self._errors.append(error)
        self._done.set()

    def result(self, check: Callable[[], None], limit: float | None = None) -> T:
        """What the work gave, or the error it ended with.

        :param check: called while waiting; raises to stop.
        :raises TimeoutError: it took longer than ``limit`` seconds.
        """
        deadline = None if limit is None else time.monotonic() + limit
        while not self._done.wait(POLL):
            check()
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutError(f"no answer within {limit:g} s")
        if self._errors:
            raise self._errors[0]
        return self._results[0]
