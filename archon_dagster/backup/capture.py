"""Capture several stores at once, inside one short window in which the writers hold still.

Every store is exported in a thread of its own. As soon as each of them has said that no later write can enter its
artifacts, the writers go on, while the bytes are still being copied.

Writers are not held longer than ``ARCHON_BACKUP_PAUSE_LIMIT``. A store that is not captured by then makes a late
backup: every store in it is whole and consistent in itself, and the manifest says that they are not one instant, and
which were late. It is as restorable as any other, so ``latest`` may choose it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime

from archon_dagster.context import OperationContext
from archon_dagster.errors import ArchonError, Cancelled
from archon_dagster.platform.quiesce import Pause, paused_writers
from archon_dagster.repository.manifest import Window
from archon_dagster.stores.base import Sink, Store, StoreName

POLL = 0.05  # seconds between two looks at the exporting threads


@dataclass
class _Export:
    """One store being exported in its own thread."""

    name: StoreName
    thread: threading.Thread | None = None
    captured: threading.Event = field(default_factory=threading.Event)
    error: BaseException | None = None
    seconds: float = 0.0
    parts: dict[str, float] = field(default_factory=dict)

    def took(self, part: str, seconds: float) -> None:
        """One thread calls it: that of the export."""
        self.parts[part] = self.parts.get(part, 0.0) + seconds

    @property
    def running(self) -> bool:
        return self.thread is not None and self.thread.is_alive()


@dataclass(frozen=True)
class Captured:
    """What a capture achieved.

    :param failures: stores that could not be exported, with the reason; empty unless failures were tolerated.
    :param seconds: how long each store took.
    :param parts: what of that went into what, as far as the store tells.
    """

    window: Window
    failures: dict[StoreName, str]
    seconds: dict[StoreName, float]
    parts: dict[str, dict[str, float]]


def capture(
    context: OperationContext, names: Sequence[StoreName], sink: Sink, *, quiesce: bool,
    tolerate_failures: bool = False, portable: bool = False,
) -> Captured:  # fmt: skip
    """Export the named stores into ``sink``.

    :param quiesce: pause the writers until everything is captured (at most ``ARCHON_BACKUP_PAUSE_LIMIT`` seconds).
    :param tolerate_failures: go on with the other stores when one cannot be exported (safety copies of a broken
        platform); otherwise the first failure stops the others and is raised.
    :param portable: also write what goes onto any version of a server.
    """
    stop = threading.Event()
    exports = [_Export(name) for name in names]
    hold = paused_writers(context.settings, context.runtime) if quiesce else nullcontext()
    with hold as pause:
        start = datetime.now(UTC)
        for export in exports:
            _begin(context, export, sink, stop, portable)
        try:
            end, broken = _watch(context, exports, pause, stop, tolerate_failures)
        finally:
            _finish(exports, stop)
    _raise_first(context, exports, tolerate_failures)
    failures = {export.name: _first_line(export.error) for export in exports if export.error is not None}
    return Captured(
        window=_window(start, end, pause, broken),
        failures=failures,
        seconds={export.name: export.seconds for export in exports},
        parts={export.name: export.parts for export in exports},
    )


def _begin(context: OperationContext, export: _Export, sink: Sink, stop: threading.Event, portable: bool) -> None:
    store = context.stores[export.name]
    export.thread = threading.Thread(
        target=_run, args=(context, store, export, sink, stop, portable), name=f"export-{export.name}", daemon=True
    )
    export.thread.start()


def _run(
    context: OperationContext, store: Store, export: _Export, sink: Sink, stop: threading.Event, portable: bool
) -> None:
    started = time.monotonic()
    try:
        with context.work(cancel=stop, captured=export.captured.set, portable=portable, took=export.took) as work:
            store.export(sink, work)
    except BaseException as error:  # noqa: BLE001 - raised by the thread that waits, see _raise_first
        export.error = error
    finally:
        export.seconds = time.monotonic() - started
        export.captured.set()


def _watch(
    context: OperationContext, exports: list[_Export], pause: Pause | None, stop: threading.Event, tolerate: bool
) -> tuple[datetime, str]:
    """Wait for the exports; let the writers go on when all is captured, or when they were held long enough.

    Returns when that was, and what keeps the capture from being one instant (empty: nothing).
    """
    deadline = time.monotonic() + context.settings.pause_limit
    end: datetime | None = None
    broken = ""
    while any(export.running for export in exports) or end is None:
        if context.cancel.is_set() or (not tolerate and any(export.error for export in exports)):
            stop.set()
        late = [export.name for export in exports if not export.captured.is_set()]
        expired = pause is not None and time.monotonic() > deadline
        if end is None and (not late or expired):
            broken = _broken(context, pause, late)
            end = _release(pause)
        _join_one(exports)
    return end, broken


def _broken(context: OperationContext, pause: Pause | None, late: list[StoreName]) -> str:
    """Why what was captured is not one instant; asked while the writers should still be held."""
    if late:
        return (
            f"the writers were let go after {context.settings.pause_limit:g} s, before this was captured: "
            f"{', '.join(late)}"
        )
    if pause is None or not pause.paused:
        return ""
    # the guard's limit may have passed a moment before ours, an operator may have let them go, one may have died and
    # come back: what counts is what they are now
    states = {status.service: status.state for status in context.runtime.status()}
    gone = [name for name in pause.paused if states.get(name) == "running"]
    return f"let go before everything was captured: {', '.join(gone)}" if gone else ""


def _release(pause: Pause | None) -> datetime:
    if pause is not None:
        pause.release()
    return datetime.now(UTC)


def _join_one(exports: list[_Export]) -> None:
    running: list[Callable[[float], None]] = [e.thread.join for e in exports if e.running and e.thread is not None]
    if running:
        running[0](POLL)


def _finish(exports: list[_Export], stop: threading.Event) -> None:
    """Whatever happened, no export thread goes on behind the caller's back."""
    if any(export.running for export in exports):
        stop.set()
    for export in exports:
        if export.thread is not None:
            export.thread.join()


def _raise_first(context: OperationContext, exports: list[_Export], tolerate: bool) -> None:
    context.check()
    errors = [export.error for export in exports if export.error is not None]
    if not errors:
        return
    unexpected = [error for error in errors if not isinstance(error, ArchonError)]
    if unexpected:
        raise unexpected[0]
    if not tolerate:
        raise next((error for error in errors if not isinstance(error, Cancelled)), errors[0])


def _window(start: datetime, end: datetime, pause: Pause | None, broken: str) -> Window:
    if pause is None:
        return Window(start=start, end=end, consistent=False, note="the writers were not held still")
    note = broken or ("" if pause.paused else "no writer was running")
    return Window(start=start, end=end, paused=pause.paused, consistent=not broken, note=note)


def _first_line(error: BaseException | None) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
