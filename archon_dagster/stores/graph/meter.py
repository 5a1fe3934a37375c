"""News for whoever waits: at most four times a second."""

from __future__ import annotations

import time

from archon_dagster.stores.base import Progress, Work

_PERIOD = 0.25  # seconds


class Meter:
    """Counts towards a total, reports now and then, and stops a cancelled run."""

    def __init__(self, work: Work, step: str, total: int | None, unit: str):
        self._work, self._step, self._total, self._unit = work, step, total, unit
        self._next = 0.0
        self.done = 0

    def add(self, count: int = 1) -> None:
        self.done += count
        if (now := time.monotonic()) >= self._next:
            self._next = now + _PERIOD
            self._work.check()
            self.report()

    def report(self) -> None:
        self._work.report(Progress("graph", self._step, self.done, self._total, self._unit))

    def __str__(self) -> str:
        return f"{self.done:,}" + (f" of {self._total:,}" if self._total is not None else "") + f" {self._unit}"
