"""What a change of the configuration works with."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from archon_dagster.configuration.history import History, Origin
from archon_dagster.configuration.journal import JournalFile
from archon_dagster.context import OnNews, Step, telling
from archon_dagster.errors import Cancelled
from archon_dagster.platform.runtime.open import open_runtime
from archon_dagster.platform.runtime.protocol import Runtime
from archon_dagster.platform.settings import Settings
from archon_dagster.platform.usable_settings import usable_settings
from archon_dagster.stores.base import Progress


def _silent(_: Step | Progress) -> None: ...


@dataclass(frozen=True)
class ConfigurationContext:
    """One platform, and a way to stop what is done to it.

    :param reload: the settings as they are once the file has changed; services may be at other addresses then.
    :param cancel: set it to stop: the file before is put back; :param report: receives the steps.
    """

    settings: Settings
    runtime: Runtime
    reload: Callable[[], Settings] = usable_settings
    origin: Origin = "terminal"
    cancel: threading.Event = field(default_factory=threading.Event)
    report: OnNews = _silent

    @property
    def history(self) -> History:
        return History(self.settings.home)

    @property
    def journal(self) -> JournalFile:
        return JournalFile(self.settings.home)

    def check(self) -> None:
        """Raise :class:`Cancelled` when the change was asked to stop."""
        stop_on(self.cancel, "the change of the configuration")

    @contextmanager
    def step(self, name: str, detail: str = "") -> Iterator[None]:
        """Tell that a step begins and how it ends."""
        self.check()
        with telling(self.report, name, detail):
            yield


def stop_on(cancel: threading.Event, what: str) -> None:
    """Raise :class:`Cancelled` when somebody has asked for it."""
    if cancel.is_set():
        raise Cancelled(f"{what} was cancelled on request")


def open_configuration(
    settings: Settings,
    cancel: threading.Event,
    report: OnNews = _silent,
    *,
    origin: Origin = "terminal",
    reload: Callable[[], Settings] = usable_settings,
) -> ConfigurationContext:
    """The context that the settings describe; contacts nothing yet."""
    return ConfigurationContext(settings, open_runtime(settings), reload, origin, cancel, report)
