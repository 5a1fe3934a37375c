"""Everything one operation works with: the settings, the runtime, the stores, the repository, and a way to stop it.

Jobs and the command line build the same context and call the same functions with it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil

from archon_dagster.errors import Cancelled
from archon_dagster.known_repository import open_repository
from archon_dagster.platform.runtime.elsewhere import ElsewhereRuntime
from archon_dagster.platform.runtime.open import open_runtime
from archon_dagster.platform.runtime.protocol import Runtime
from archon_dagster.platform.settings import Settings
from archon_dagster.repository.manifest import Fingerprint
from archon_dagster.repository.repository import Repository
from archon_dagster.stores.base import STORES, Progress, Store, StoreName, Work
from archon_dagster.stores.open import open_stores

DONE, FAILED = ": done in ", ": FAILED, "
"""What stands in a line of news between a step's name and how it ended."""


@dataclass(frozen=True)
class Step:
    """News of an operation: a named step began (``seconds`` is ``None``) or ended after ``seconds``.

    :param failed: why it has not done what it should, in a line; empty where it has.
    """

    name: str
    detail: str = ""
    seconds: float | None = None
    failed: str = ""

    @property
    def line(self) -> str:
        """The news as one line of a run's log, from which the command line draws what it shows."""
        text = f"{self.name}: {self.detail}" if self.detail else self.name
        if self.seconds is None:
            return f"{text} …"
        return f"{text}{FAILED}{self.failed}" if self.failed else f"{text}{DONE}{self.seconds:.2f} s"


OnNews = Callable[[Step | Progress], None]
"""Receives what an operation tells while it works."""


@contextmanager
def telling(report: OnNews, name: str, detail: str = "") -> Iterator[dict[str, str]]:
    """Tell that a step begins and how it ends; a reason put under ``failed`` is told where it raises nothing."""
    news, begin, said = Step(name, detail), time.monotonic(), dict[str, str]()
    report(news)
    try:
        yield said
    except BaseException as error:
        why = str(error).partition("\n")[0] or type(error).__name__
        report(replace(news, seconds=time.monotonic() - begin, failed=why))
        raise
    report(replace(news, seconds=time.monotonic() - begin, failed=said.get("failed", "")))


def _ignore(_: Step | Progress) -> None: ...


def _unheard(_: str) -> None: ...


def _as_promised(_: Fingerprint) -> None: ...


def _uncounted(_: str, __: float) -> None: ...


def _require_wanted(cancel: threading.Event) -> None:
    if cancel.is_set():
        raise Cancelled("cancelled on request", todo="start it again; nothing has to be repaired")


@dataclass(frozen=True)
class OperationContext:
    """What an operation needs; see the module.

    :param cancel: set it to stop the operation; it cleans up and raises :class:`Cancelled`.
    :param report: receives steps and progress while the operation works.
    """

    settings: Settings
    runtime: Runtime
    stores: dict[StoreName, Store]
    repository: Repository
    cancel: threading.Event = field(default_factory=threading.Event)
    report: OnNews = _ignore

    def check(self) -> None:
        """Raise :class:`Cancelled` when the operation was asked to stop."""
        _require_wanted(self.cancel)

    def sweep(self) -> None:
        """Remove the scratch directories of processes that are gone; call it with the lock held."""
        for directory in (self.settings.home / "scratch").glob("work-*-*"):
            pid = directory.name.split("-")[1]
            if pid.isdigit() and not psutil.pid_exists(int(pid)):
                shutil.rmtree(directory, ignore_errors=True)

    def fingerprints(self, names: Iterable[StoreName] = STORES) -> dict[StoreName, Fingerprint]:
        """What the live stores hold now, one after the other."""
        found: dict[StoreName, Fingerprint] = {}
        for name in names:
            with self.work() as work:
                found[name] = self.stores[name].fingerprint(work)
        return found

    @contextmanager
    def work(
        self,
        cancel: threading.Event | None = None,
        captured: Callable[[], None] | None = None,
        verified: Iterable[str] = (),
        warn: Callable[[str], None] = _unheard,
        expect: Callable[[Fingerprint], None] = _as_promised,
        portable: bool = False,
        took: Callable[[str, float], None] = _uncounted,
    ) -> Iterator[Work]:
        """What a store needs, with a scratch directory of its own that is removed afterwards."""
        parent = self.settings.home / "scratch"
        parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f"work-{os.getpid()}-", dir=parent))
        try:
            yield Work(
                scratch=scratch,
                cancel=cancel or self.cancel,
                report=self.report,
                captured=captured or (lambda: None),
                verified=frozenset(verified),
                warn=warn,
                expect=expect,
                portable=portable,
                took=took,
                deadline=self.settings.store_deadline,
                silence=self.settings.store_silence,
            )
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def open_context(
    settings: Settings,
    *,
    cancel: threading.Event | None = None,
    report: OnNews = _ignore,
    live: bool = True,
) -> OperationContext:
    """The context of the platform that the settings describe; creates the repository on its first use.

    :param live: ``False`` for work on backups alone: it needs no platform and no new repository.
    """
    runtime = open_runtime(settings) if live else ElsewhereRuntime()
    cancel = cancel or threading.Event()
    return OperationContext(
        settings=settings,
        runtime=runtime,
        stores=open_stores(settings, runtime),
        repository=open_repository(settings, create=live, check=lambda: _require_wanted(cancel)),
        cancel=cancel,
        report=report,
    )
