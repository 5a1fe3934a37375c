"""What scaling works with. Like a start it needs no backup repository; see :mod:`archon_dagster.startup.alone`."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from archon_dagster.context import OnNews, Step, telling
from archon_dagster.errors import Cancelled
from archon_dagster.platform.runtime.open import open_runtime
from archon_dagster.platform.runtime.protocol import Runtime
from archon_dagster.platform.settings import Settings
from archon_dagster.stores.base import Progress


def _silent(_: Step | Progress) -> None: ...


@dataclass(frozen=True)
class ScalingContext:
    """One platform, and a way to stop what is done to it.

    :param cancel: set it to stop; what was begun is taken back. :param report: receives the steps.
    """

    settings: Settings
    runtime: Runtime
    cancel: threading.Event = field(default_factory=threading.Event)
    report: OnNews = _silent

    def check(self) -> None:
        """Raise :class:`Cancelled` when the work was asked to stop."""
        if self.cancel.is_set():
            raise Cancelled("cancelled on request", todo="start it again; nothing has to be repaired")

    @contextmanager
    def step(self, name: str, detail: str = "") -> Iterator[None]:
        """Tell that a step begins and how it ends."""
        self.check()
        with telling(self.report, name, detail):
            yield


def open_scaling(settings: Settings, cancel: threading.Event, report: OnNews = _silent) -> ScalingContext:
    """The context that the settings describe; contacts nothing yet."""
    return ScalingContext(settings, open_runtime(settings), cancel, report)
