"""The incidents on disk: one directory each, found again after any crash.

::

    <home>/incidents/<id>/incident.json    the incident; replaced in one step
    <home>/incidents/<id>/evidence/        what was there before anything was touched
    <home>/incidents/<id>/report.md        a draft of the post-mortem
    <home>/incidents/lock                  held for the moment of a change
    <home>/incidents/turn                  held by whoever acts: one at a time, on this host
    <home>/incidents/worker.json           who that is, or was

A file that cannot be understood is set aside with a name that says so, and the others are read all the same.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import ValidationError

from archon_dagster.errors import ConfigurationError, ServiceError
from archon_dagster.platform import whole_files
from archon_dagster.recovery.incident import ACTIONS, Incident

_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{4}")
_FILE, _DAMAGED = "incident.json", "incident.json.damaged"
_LOCK_LIMIT = 10.0  # seconds
_MOMENT = 1.0  # seconds: longer than somebody who only looks whether it is held has it


@dataclass(frozen=True, slots=True)
class Book:
    """All incidents of one home."""

    home: Path

    @property
    def directory(self) -> Path:
        return self.home / "incidents"

    # reading

    def all(self) -> list[Incident]:
        """Every incident that can be read, newest first."""
        found = (self._read(name) for name in sorted(self._names(), reverse=True))
        return [incident for incident in found if incident is not None]

    def ids(self) -> set[str]:
        """Every incident that there is, also one that cannot be read."""
        return set(self._names())

    def open(self) -> list[Incident]:
        """Those that are not over, oldest first."""
        return [incident for incident in reversed(self.all()) if incident.is_open]

    def here(self) -> list[Incident]:
        """The open ones of this platform: not those of another site, which are looked at by its own recovery only."""
        return [incident for incident in self.open() if not incident.elsewhere]

    def covering(self, service: str) -> Incident | None:
        """The open incident of this platform that a service's own failure belongs to."""
        return next((one for one in self.here() if _covers(one, service)), None)

    def get(self, incident_id: str) -> Incident:
        """One incident by its id or a unique beginning of it; :class:`ConfigurationError` where there is none."""
        names = [name for name in self._names() if name.startswith(incident_id)] if incident_id else []
        found = self._read(names[0]) if len(names) == 1 else None
        if found is None:
            what = (
                f"more than one incident begins with {incident_id}" if len(names) > 1 else f"no incident {incident_id}"
            )
            raise ConfigurationError(what, where=str(self.directory), todo="`archon incidents` lists them")
        return found

    def damaged(self) -> list[Path]:
        """Files that were set aside because they could not be understood."""
        return sorted(self.directory.glob(f"*/{_DAMAGED}"))

    def recent(self, now: datetime, within: timedelta = timedelta(hours=1)) -> dict[str, int]:
        """How often each service of this platform was acted on lately, in any incident."""
        counts: dict[str, int] = {}
        for incident in self.all():
            for event in () if incident.elsewhere else incident.begun(ACTIONS, ever=True):
                if event.step is not None and now - event.at < within:
                    for service in event.step.services:
                        counts[service] = counts.get(service, 0) + 1
        return counts

    def evidence(self, incident_id: str) -> Path:
        """The directory of an incident's evidence."""
        return self.directory / incident_id / "evidence"

    # writing

    def add(self, incident: Incident) -> Incident:
        """Write a new incident."""
        with self._changing():
            self._write(incident)
        return incident

    def change(self, incident_id: str, how: Callable[[Incident], Incident]) -> Incident:
        """Change an incident as it is on disk at this moment; returns what was written."""
        with self._changing():
            before = self._read(incident_id)
            if before is None:
                raise ConfigurationError(
                    f"the incident {incident_id} cannot be read any more",
                    where=str(self.directory / incident_id),
                    todo="what could not be understood is beside it; the monitor will open a new incident",
                )
            after = how(before)
            if after != before:
                self._write(after)
        return after

    def write_text(self, incident_id: str, name: str, text: str) -> Path:
        """Put a text file beside an incident, in one step."""
        path = self.directory / incident_id / name
        whole_files.replace(path, text.encode())
        return path

    def prune(self, now: datetime, kept: int, days: float) -> list[str]:
        """Remove incidents that are over and too many or too old; which they were. Open ones stay."""
        over = [incident for incident in self.all() if not incident.is_open]
        old = [one for one in over if now - (one.closed or one.opened) > timedelta(days=days)]
        gone = {incident.id for incident in (*over[kept:], *old)}
        for name in gone:
            shutil.rmtree(self.directory / name, ignore_errors=True)
        return sorted(gone)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Be the only one on this host that acts; :class:`ServiceError` after a moment where somebody else does.

        The operating system gives it back when the process ends, however it ends.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        try:
            held = FileLock(self.directory / "turn", timeout=_MOMENT).acquire()
        except Timeout as error:
            raise ServiceError(
                "another recovery is at work", where=str(self.directory), todo="wait for it: archon incidents"
            ) from error
        with held:
            yield

    @property
    def at_work(self) -> bool:
        """Whether somebody has the turn."""
        if not self.directory.is_dir():
            return False
        try:
            with FileLock(self.directory / "turn", timeout=0):
                return False
        except Timeout:
            return True

    # files

    def _names(self) -> list[str]:
        if not self.directory.is_dir():
            return []
        return [entry.name for entry in self.directory.iterdir() if _ID.fullmatch(entry.name)]

    def _read(self, name: str) -> Incident | None:
        path = self.directory / name / _FILE
        try:
            incident = Incident.model_validate_json(path.read_bytes())
            if incident.id != name or not any(event.kind == "confirmed" for event in incident.events):
                raise ValueError("it is not the incident of its directory")
        except FileNotFoundError:
            return None
        except (ValidationError, ValueError):
            path.replace(path.with_name(_DAMAGED))
            return None
        return incident

    def _write(self, incident: Incident) -> None:
        whole_files.replace(self.directory / incident.id / _FILE, incident.model_dump_json(indent=1).encode())

    @contextmanager
    def _changing(self) -> Iterator[None]:
        self.directory.mkdir(parents=True, exist_ok=True)
        with FileLock(self.directory / "lock", timeout=_LOCK_LIMIT):
            yield


def _covers(incident: Incident, service: str) -> bool:
    return service in (incident.services if incident.kind == "complete_failure" else incident.roots)
