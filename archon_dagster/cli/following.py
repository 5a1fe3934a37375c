"""Follow a run to its end, also when the webserver it was handed to dies meanwhile.

A run is a process of its own, launched by the daemon, so it goes on without the webserver. Its state is in the
instance's storage, where this process can read it too: the look goes on there, at the line where it was.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Protocol

import psutil

from archon_dagster.cli.instance import open_instance
from archon_dagster.cli.webserver import ENDED, Run, WebserverGone, WebserverView, page
from archon_dagster.errors import ArchonError, Cancelled
from archon_dagster.platform.settings import Settings

if TYPE_CHECKING:
    from dagster import DagsterEvent, DagsterInstance

POLL = 0.3  # seconds between two looks
LIFELESS_LIMIT = 90.0  # seconds without a process or a daemon after which a run that has not ended is given up
STOPPING_LIMIT = 3700.0  # seconds a run that was told to stop is waited for: a restore puts the data back first


class View(Protocol):
    """One way to see a run."""

    def look(self) -> Run | None: ...
    def stop(self) -> None: ...


def follow(settings: Settings, url: str, run_id: str, on_line: Callable[[str], None], budget: float) -> Run:
    """Follow a run to its end; an interrupt stops the run, waits for it and raises :class:`Cancelled`.

    :param on_line: receives the run's log lines; :param budget: seconds after which following is given up.
    """
    with ExitStack() as stack:
        view = _Following(settings, url, run_id, on_line, stack)
        try:
            return _to_the_end(view, budget, page(url, run_id))
        except KeyboardInterrupt as interrupt:
            view.stop()
            run = _to_the_end(view, STOPPING_LIMIT, page(url, run_id))
            raise Cancelled(f"the run was stopped on request and ended as {run.status}", where=run_id) from interrupt


def _to_the_end(view: View, budget: float, where: str) -> Run:
    deadline = time.monotonic() + budget
    while time.monotonic() < deadline:
        run = view.look()
        if run is not None:
            return run
        time.sleep(POLL)
    raise ArchonError(f"the run has not ended within {budget:g} s", where=where, todo="follow it in the UI")


class _Following:
    """The webserver's view for as long as there is a webserver, then the instance's."""

    def __init__(
        self, settings: Settings, url: str, run_id: str, on_line: Callable[[str], None], stack: ExitStack
    ) -> None:
        self._settings, self._on_line, self._stack = settings, on_line, stack
        self._web = WebserverView(url, run_id, on_line)
        self._view: View = self._web

    def look(self) -> Run | None:
        try:
            return self._view.look()
        except WebserverGone as gone:
            self._switch(gone)
            return self._view.look()

    def stop(self) -> None:
        try:
            self._view.stop()
        except WebserverGone as gone:
            self._switch(gone)
            self._view.stop()

    def _switch(self, gone: WebserverGone) -> None:
        run_id, where = self._web.run_id, page(self._web.url, self._web.run_id)
        self._on_line(f"the webserver is gone; the run goes on in its own process: following it without ({run_id})")
        instance = self._stack.enter_context(open_instance(self._settings))
        if instance.get_run_by_id(run_id) is None:  # it belongs to a webserver with another instance
            raise ArchonError(
                f"the webserver is gone and the run {run_id} goes on, but it cannot be followed from here",
                where=where,
                tried=f"{gone.what}; the instance in {self._settings.dagster_home} does not know the run",
                todo="look at it there when the webserver is back; archon backups lists what it has made",
            ) from gone
        self._view = InstanceView(instance, run_id, self._on_line, self._web.cursor)


class InstanceView:
    """A run as the instance's storage shows it.

    :param cursor: how much of its log has been told already, as the webserver says it.
    """

    def __init__(
        self, instance: DagsterInstance, run_id: str, on_line: Callable[[str], None], cursor: str | None
    ) -> None:
        self._instance, self._run_id, self._on_line, self._cursor = instance, run_id, on_line, cursor
        self._alive = time.monotonic()

    def look(self) -> Run | None:
        """Tell what is new; the run when it has ended."""
        run = self._instance.get_run_by_id(self._run_id)  # before its log: nothing is written after the end
        self._tell()
        if run is None:
            raise ArchonError("the run was deleted", where=self._run_id)
        if run.status.value in ENDED:
            reason, kind = reason_of(self._events())
            return Run(self._run_id, run.status.value, dict(run.tags), reason, kind)
        self._check_life(run.status.value)
        return None

    def stop(self) -> None:
        """Ask for the run to be stopped; it cleans up before it ends."""
        self._instance.run_coordinator.cancel_run(self._run_id)

    def _tell(self) -> None:
        more = True
        while more:
            found = self._instance.get_records_for_run(self._run_id, self._cursor, limit=1000)
            self._cursor, more = found.cursor, found.has_more
            for record in found.records:
                if not record.event_log_entry.is_dagster_event:
                    self._on_line(record.event_log_entry.user_message)

    def _events(self) -> Iterator[DagsterEvent]:
        for entry in self._instance.all_logs(self._run_id):
            if entry.dagster_event is not None:
                yield entry.dagster_event

    def _check_life(self, status: str) -> None:
        """Give up a run that nothing drives any more: its status would never change."""
        if self._driven():
            self._alive = time.monotonic()
        elif time.monotonic() - self._alive > LIFELESS_LIMIT:
            raise ArchonError(
                f"the run stands at {status}, and neither its process nor the Dagster daemon lives",
                where=f"run {self._run_id}",
                todo="see what it left: archon status; start Dagster again: archon up",
            )

    def _driven(self) -> bool:
        beats = [beat.timestamp for beat in self._instance.get_daemon_heartbeats().values()]
        if beats and time.time() - max(beats) < LIFELESS_LIMIT:
            return True
        said = [event.engine_event_data.metadata for event in self._events() if event.is_engine_event]
        pids = [str(metadata["pid"].value) for metadata in said if "pid" in metadata]
        return any(psutil.pid_exists(int(pid)) for pid in pids)


def reason_of(events: Iterator[DagsterEvent]) -> tuple[str, str]:
    """Why a run failed, as its events tell it, and the kind of error; empty where they do not."""
    last = ""
    for event in events:
        if event.is_step_failure:
            failure = event.step_failure_data
            if failure.user_failure_data is not None:
                kind = failure.user_failure_data.metadata.get("kind")
                return str(failure.user_failure_data.description), str(kind.value) if kind else ""
            if failure.error and failure.error.cls_name == "DagsterExecutionInterruptedError":
                return "it was interrupted; what was begun has been cleaned up", "Cancelled"
            if failure.error:
                return str(failure.error.message), ""
        elif event.is_run_failure and event.message:
            last = event.message
    return last, ""
