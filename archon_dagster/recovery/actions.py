"""What recovery does to the platform, each with a deadline and each stopped by the cancel event.

An action says how it ended and raises only :class:`~archon_dagster.errors.Cancelled`. Whether it has helped is for
fresh probes to say.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from archon_dagster.context import OperationContext, open_context
from archon_dagster.errors import ArchonError, Cancelled, RepositoryBusy, RepositoryError, ServiceError
from archon_dagster.platform.quiesce import thaw_leftovers
from archon_dagster.platform.runtime.protocol import Runtime
from archon_dagster.platform.services import BY_NAME
from archon_dagster.platform.settings import Settings
from archon_dagster.recovery import evidence, files
from archon_dagster.recovery.findings import Findings
from archon_dagster.recovery.incident import Incident, Step
from archon_dagster.restore.request import CONFIRMATION, RestoreRequest, RestoreResult
from archon_dagster.restore.restore import restore_backup
from archon_dagster.restore.selection import Selection
from archon_dagster.startup.aside import Aside
from archon_dagster.startup.start import start_services

LOCK_WAIT = 5.0  # seconds for somebody else to end
BEYOND_GRACE = 60.0  # seconds a runtime may take beyond the time a service gets to stop


@dataclass(frozen=True, slots=True)
class Result:
    """How an action ended, in words."""

    ok: bool
    detail: str


@dataclass
class Hands:
    """Acts on one platform.

    :param evidence_in: where evidence of an incident goes.
    :param open: makes the operation context; called when a repository is first needed, so that a dead one stops no
        restart.
    """

    settings: Settings
    runtime: Runtime
    evidence_in: Callable[[str], Path]
    cancel: threading.Event = field(default_factory=threading.Event)
    open: Callable[[], OperationContext] | None = None
    _context: OperationContext | None = None

    def check(self) -> None:
        """Raise :class:`Cancelled` when the run was asked to stop."""
        if self.cancel.is_set():
            raise Cancelled("cancelled on request", todo="the automation goes on from there: archon incidents")

    @contextmanager
    def hold(self, step: Step, incident: Incident) -> Iterator[str]:
        """Keep others from changing the platform during a step; yields what there is to say about that.

        A restore takes the lock itself. Without a repository there is no lock, and nobody who could take it either.

        :raises RepositoryBusy: somebody else is at work.
        """
        if step.verb in ("evidence", "copy_aside", "restore"):
            yield ""
            return
        try:
            context = self.context()
        except RepositoryBusy:
            raise
        except RepositoryError as error:
            yield f"without the platform lock: {error.what}"
            return
        with context.repository.lock(f"recovery of incident {incident.id}", wait=LOCK_WAIT, check=self.check):
            thaw_leftovers(self.settings, self.runtime)
            yield ""

    def context(self) -> OperationContext:
        """The operation context, opened once."""
        if self._context is None:
            make = self.open or (lambda: open_context(self.settings, cancel=self.cancel))
            self._context = make()
        return self._context

    def do(self, step: Step, incident: Incident, findings: Findings, now: datetime) -> Result:
        """Do it; every failure but a cancel is a result."""
        verbs: dict[str, Callable[[], Result]] = {
            "evidence": lambda: self._evidence(step, incident, findings, now),
            "copy_aside": lambda: self._copy_aside(step, incident),
            "set_aside": lambda: self._set_aside(step, incident),
            "restart": lambda: self._restart(step),
            "recreate": lambda: self._recreate(step),
            "start_all": lambda: self._start_all(step),
            "restore": lambda: self._restore(step),
        }
        try:
            return verbs[step.verb]()
        except Cancelled:
            raise
        except ArchonError as error:
            return Result(False, str(error))
        except OSError as error:
            return Result(False, f"{error.strerror or error} ({error.filename})")

    # looking

    def _evidence(self, step: Step, incident: Incident, findings: Findings, now: datetime) -> Result:
        directory = evidence.directory_of(self.evidence_in(incident.id), now)
        found = evidence.capture(self.settings, self.runtime, step.services, findings, directory)
        return Result(True, f"{found}, in {directory}")

    def _copy_aside(self, step: Step, incident: Incident) -> Result:
        source = self.settings.memgraph_data
        if source is None:
            return Result(False, "ARCHON_MEMGRAPH_DATA is not set")
        target = self.settings.home / "aside" / f"{incident.id}-{step.services[0]}"
        size = files.copy_aside(source, target, self.check)
        return Result(True, f"{size:,} bytes of {source} are in {target}")

    # acting

    def _set_aside(self, step: Step, incident: Incident) -> Result:
        storage = self.settings.qdrant_storage
        if storage is None:
            return Result(False, "ARCHON_QDRANT_STORAGE is not set")
        self._bounded(lambda: self.runtime.stop(*step.services), step)
        moved = files.set_aside(storage, step.parts, incident.id)
        return Result(True, f"moved to {', '.join(map(str, moved))}")

    def _restart(self, step: Step) -> Result:
        """What is gone is started; only what is there can be restarted."""
        states = {status.service: status.state for status in self.runtime.status()}
        there = [name for name in step.services if states.get(name) in ("running", "paused")]
        gone = [name for name in step.services if name not in there]
        if there:
            self._bounded(lambda: self.runtime.restart(*there), step)
        if gone:
            self._bounded(lambda: self.runtime.up(*gone), step)
        return self._until_ready(step)

    def _recreate(self, step: Step) -> Result:
        self._bounded(lambda: self.runtime.recreate(*step.services), step)
        return self._until_ready(step)

    def _start_all(self, step: Step) -> Result:
        """Stop what runs and does not work, then start everything in order."""
        states = {status.service: status.state for status in self.runtime.status()}
        useless = [name for name in step.services if states.get(name) in ("running", "paused")]
        if useless:
            self._bounded(lambda: self.runtime.stop(*useless), step)
        return self._until_ready(step, everything=True)

    def _until_ready(self, step: Step, *, everything: bool = False) -> Result:
        wanted = self.runtime.services() if everything else step.services
        started = start_services(wanted, self.settings, self.runtime, self.cancel)
        said = "; ".join(f"{one.service} {one.how} in {one.seconds:.1f} s" for one in started.services)
        trouble = [one.detail for one in started.failed if one.service in step.services or one.essential]
        return Result(not trouble and not started.missing, "\n".join([said, *trouble]))

    def _restore(self, step: Step) -> Result:
        """Each named collection by itself, else the store. What is there is copied first, if it can be."""
        return _restored([restore_backup(self.context(), self._request(step, part)) for part in step.parts or ("",)])

    def _request(self, step: Step, part: str) -> RestoreRequest:
        return RestoreRequest(
            selector=step.backup,
            confirm=CONFIRMATION,
            only=(step.store,) if step.store and not part else (),
            without_safety_copy=True,
            selection=Selection("collection", part) if part else None,
        )

    def _bounded(self, act: Callable[[], None], step: Step) -> None:
        """Do something with the runtime for as long as it may take; one that hangs is left behind."""
        limit = sum(BY_NAME[name].stop_grace for name in step.services) + BEYOND_GRACE
        try:
            Aside(act, f"recovery: {step.verb}").result(self.check, limit)
        except TimeoutError as error:
            raise ServiceError(
                f"the runtime did not {step} within {limit:.0f} s", todo="see whether Docker (or the host) works"
            ) from error


def _restored(results: list[RestoreResult]) -> Result:
    said = []
    for result in results:
        undo = f"; undo it: {result.undo}" if result.undo else "; what was there could not be copied before"
        late = f"; not ready yet: {', '.join(result.unhealthy)}" if result.unhealthy else ""
        said.append(f"{', '.join(result.stores)} restored from {result.backup.id} in {result.rto:.1f} s{late}{undo}")
    return Result(True, "\n".join(said))
