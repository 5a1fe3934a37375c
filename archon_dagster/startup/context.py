"""What a start works with. Unlike a backup it needs no repository: see :mod:`archon_dagster.startup.alone`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from archon_dagster.context import OnNews, Step, telling
from archon_dagster.errors import Cancelled, ServiceError
from archon_dagster.health.end_to_end import Outcome, run_end_to_end
from archon_dagster.platform.absence import HOW_TO_START
from archon_dagster.platform.runtime.open import open_runtime
from archon_dagster.platform.runtime.protocol import Runtime
from archon_dagster.platform.settings import Settings
from archon_dagster.startup.start import startable
from archon_dagster.stores.base import Progress, Store, StoreName
from archon_dagster.stores.open import open_stores

Functional = Callable[[Settings, float], Outcome]
"""The end-to-end test: does the platform do its work, within so many seconds."""


def _silent(_: Step | Progress) -> None: ...


@dataclass(frozen=True)
class StartContext:
    """One platform, and a way to stop what is done to it.

    :param cancel: set it to stop; :param report: receives the steps.
    :param open_stores: gives the stores whose records are counted; :param functional: the end-to-end test.
    """

    settings: Settings
    runtime: Runtime
    cancel: threading.Event = field(default_factory=threading.Event)
    report: OnNews = _silent
    functional: Functional = run_end_to_end
    open_stores: Callable[[Settings, Runtime], dict[StoreName, Store]] = open_stores

    def check(self) -> None:
        """Raise :class:`Cancelled` when the start was asked to stop."""
        if self.cancel.is_set():
            raise Cancelled("the start was cancelled on request", todo="go on with: archon start")

    def services(self) -> tuple[str, ...]:
        """The services that can be started; :class:`ServiceError` where there are none."""
        have = startable(self.runtime)
        if not have:
            raise ServiceError(
                "there is no platform that could be started from here; nothing was touched",
                where=f"ARCHON_RUNTIME={self.runtime.kind}, {self.settings.project_dir}",
                todo=HOW_TO_START[self.runtime.kind],
            )
        return have

    @contextmanager
    def step(self, name: str, detail: str = "") -> Iterator[dict[str, str]]:
        """Tell that a step begins and how it ends; a reason put under ``failed`` is told where it raises nothing."""
        self.check()
        with telling(self.report, name, detail) as said:
            yield said


def open_start(settings: Settings, cancel: threading.Event, report: OnNews = _silent) -> StartContext:
    """The context that the settings describe; contacts nothing yet."""
    return StartContext(settings, open_runtime(settings), cancel, report)
