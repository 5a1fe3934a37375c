"""What recovery does to the platform, each with a deadline and each stopped by the cancel event.

An action says how it ended and raises only :class:`~archon_dagster.errors.Cancelled`. Whether it has helped is for
fresh probes to say.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
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
from archon_dagster.recovery.incident import Incident, Step, Verb
from archon_dagster.restore.request import CONFIRMATION, RestoreRequest, RestoreResult
from archon_dagster.restore.restore import restore_backup
from archon_dagster.restore.selection import Selection
from archon_dagster.startup.aside import Aside
from archon_dagster.startup.start import start_services

LOCK_WAIT = 5.0  # seconds for somebody else to end
SPARE = 0.05  # of the disk stays free beside the copy of a collection: Dagster and the backups may be on it
ACTS: frozenset[Verb] = frozenset({"set_aside", "restart", "recreate", "start_all", "restore"})
"""What stops or starts a service, or changes its data."""

BEYOND_GRACE = 60.0  # seconds a runtime may take beyond the time a service gets to stop


@dataclass(frozen=True, slots=True)
class Result:
    """How an action ended, in words."""

    ok: bool
    detail: str


def _nobody(_: datetime) -> Mapping[str, str]:
    return {}


@dataclass
class Hands:
    """Acts on one platform.

    :param evidence_in: where evidence of an incident goes.
    :param left_alone: services that are neither stopped nor started at a moment, with the reason, also where others
        need them; nobody, where a person has asked for all of it.
    :param open: makes the operation context; called when a repository is first needed, so that a dead one stops no
        restart.
    """

    settings: Settings
    runtime: Runtime
    evidence_in: Callable[[str], Path]
    cancel: threading.Event = field(default_factory=threading.Event)
    open: Callable[[], OperationContext] | None = None
    left_alone: Callable[[datetime], Mapping[str, str]] = _nobody
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
        """Do it; every failure but a cancel is a result. Who is left alone may have changed since it was decided."""
        alone = self.left_alone(now)
        if step.verb in ACTS:
            services = tuple(name for name in step.services if name not in alone)
            if step.services and not services:
                return Result(False, f"nothing was done: {_said(step.services, alone)}")
            step = step.model_copy(update={"services": services})
        verbs: dict[str, Callable[[], Result]] = {
            "evidence": lambda: self._evidence(step, incident, findings, now),
            "copy_aside": lambda: self._copy_aside(step, incident),
            "set_aside": lambda: self._set_aside(step, incident),
            "restart": lambda: self._restart(step, alone),
            "recreate": lambda: self._recreate(step, alone),
            "start_all": lambda: self._start_all(step, incident, alone),
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
        """Of a graph server everything, of a vector server the collections that are concerned."""
        vectors = step.store == "vectors"
        setting = "ARCHON_QDRANT_STORAGE" if vectors else "ARCHON_MEMGRAPH_DATA"
        place = self.settings.qdrant_storage if vectors else self.settings.memgraph_data
        if place is None:
            return Result(False, f"{setting} is not set")
        target = self.settings.home / "aside" / f"{incident.id}-{step.services[0]}"
        wanted = {files.collection(place, part): target / part for part in step.parts} if vectors else {place: target}
        spare = SPARE if vectors else 0.0  # a collection may be large; an empty graph server's directory has to fit
        copied = [
            (files.copy_aside(source, to, self.check, setting, spare), source, to) for source, to in wanted.items()
        ]
        return Result(True, "; ".join(f"{size:,} bytes of {source} are in {to}" for size, source, to in copied))

    # acting

    def _set_aside(self, step: Step, incident: Incident) -> Result:
        storage = self.settings.qdrant_storage
        if storage is None:
            return Result(False, "ARCHON_QDRANT_STORAGE is not set")
        self._bounded(lambda: self.runtime.stop(*step.services), step)
        moved = files.set_aside(storage, step.parts, incident.id)
        return Result(True, f"moved to {', '.join(map(str, moved))}")

    def _restart(self, step: Step, alone: Mapping[str, str]) -> Result:
        """What is gone is started; only what is there can be restarted."""
        states = {status.service: status.state for status in self.runtime.status()}
        there = [name for name in step.services if states.get(name) in ("running", "paused")]
        gone = [name for name in step.services if name not in there]
        if there:
            self._bounded(lambda: self.runtime.restart(*there), step)
        if gone:
            self._bounded(lambda: self.runtime.up(*gone), step)
        return self._until_ready(step, step.services, alone)

    def _recreate(self, step: Step, alone: Mapping[str, str]) -> Result:
        self._bounded(lambda: self.runtime.recreate(*step.services), step)
        return self._until_ready(step, step.services, alone)

    def _start_all(self, step: Step, incident: Incident, alone: Mapping[str, str]) -> Result:
        """Stop what runs and does not work, then start everything in order; where that was tried, make it anew."""
        states = {status.service: status.state for status in self.runtime.status()}
        useless = [name for name in step.services if states.get(name) in ("running", "paused")]
        if len(incident.tried(step)) > 1:  # one whose network is gone stays out of reach however often it starts
            self._bounded(lambda: self.runtime.recreate(*step.services), step)
        elif useless:
            self._bounded(lambda: self.runtime.stop(*useless), step)
        return self._until_ready(step, self.runtime.services(), alone)

    def _until_ready(self, step: Step, wanted: tuple[str, ...], alone: Mapping[str, str]) -> Result:
        """Start these and what they need, but nobody who is left alone."""
        names = tuple(name for name in wanted if name not in alone)
        if not names:  # to start nobody in particular means everybody
            return Result(False, f"nothing was started: {_said(wanted, alone)}")
        may = {name: service for name, service in BY_NAME.items() if name not in alone}
        started = start_services(names, self.settings, self.runtime, self.cancel, catalogue=may)
        said = [f"{one.service} {one.how} in {one.seconds:.1f} s" for one in started.services]
        said += [_said(left, alone)] if (left := [name for name in wanted if name in alone]) else []
        trouble = [one.detail for one in started.failed if one.service in step.services or one.essential]
        return Result(not trouble and not started.missing, "\n".join(["; ".join(said), *trouble]))

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


def _said(names: Iterable[str], alone: Mapping[str, str]) -> str:
    return "; ".join(f"{name} is left alone: {alone[name]}" for name in names)


def _restored(results: list[RestoreResult]) -> Result:
    said = []
    for result in results:
        undo = f"; undo it: {result.undo}" if result.undo else "; what was there could not be copied before"
        late = f"; not ready yet: {', '.join(result.unhealthy)}" if result.unhealthy else ""
        said.append(f"{', '.join(result.stores)} restored from {result.backup.id} in {result.rto:.1f} s{late}{undo}")
    return Result(True, "\n".join(said))
