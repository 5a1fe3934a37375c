"""Who holds the platform lock: its record, and what somebody is told who finds it taken.

How much of a lease is left is told by the storage's clock; whoever takes a lock over also watches it, see
:mod:`archon_dagster.repository.expiry`. A record that cannot be understood is treated as one whose holder was just
seen, and taken over after that.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from archon_dagster.errors import RepositoryBusy
from archon_dagster.repository.backends.base import Backend, ObjectNotFound, ObjectUnreadable, StoredObject
from archon_dagster.repository.identity import Process, certainly_dead

LOCK_KEY = "locks/platform.json"
LEASE_SECONDS = 60.0
_LARGEST = 64 << 10  # bytes; what a backend can swap


class Record(BaseModel):
    """The content of ``locks/platform.json``."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    holder: str
    purpose: str
    since: AwareDatetime
    lease: Annotated[float, Field(gt=0, le=86_400)]
    fence: int
    released: bool = False
    host: str
    boot: str
    namespace: int
    pid: int
    started: int

    @property
    def process(self) -> Process:
        return Process(self.host, self.boot, self.namespace, self.pid, self.started)


@dataclass(frozen=True, slots=True)
class Holder:
    """Who works on the platform right now, for messages and ``archon status``.

    :param expires: when the lease runs out unless it is renewed, by the storage's clock; :param left: seconds until
        then; more than ``lease`` only where a clock was set back.
    """

    purpose: str
    host: str
    pid: int
    since: datetime
    expires: datetime
    fence: int
    left: float
    lease: float

    def __str__(self) -> str:
        held = timedelta(seconds=max(0, int((self.expires - self.since).total_seconds() - self.left)))
        return (
            f"{self.purpose!r} by process {self.pid} on {self.host} since {self.since:%Y-%m-%d %H:%M:%S} UTC ({held} h)"
        )

    @property
    def advice(self) -> str:
        """What somebody who wants the lock can do."""
        return (
            f"wait until it is done; a holder that lives renews its lease, and if that process has died the lease "
            f"runs out by itself in {min(max(0.0, self.left), self.lease):.0f} s: then run this again"
        )


def current_holder(backend: Backend) -> Holder | None:
    """Who holds the lock right now; ``None`` where nobody does, or nobody can tell."""
    try:
        stored = read(backend)
    except RepositoryBusy:
        return None
    if stored is None or (record := parse(stored)) is None or given_up(record):
        return None
    holder = _holder(backend, stored, record)
    return holder if holder.left >= 0 else None


def _holder(backend: Backend, stored: StoredObject, record: Record) -> Holder:
    expires = stored.info.modified + timedelta(seconds=record.lease)
    left = (expires - backend.now()).total_seconds()
    return Holder(record.purpose, record.host, record.pid, record.since, expires, record.fence, left, record.lease)


def given_up(record: Record) -> bool:
    """Whether the lock was given back, or its holder is certainly dead."""
    return record.released or certainly_dead(record.process)


def busy(backend: Backend) -> RepositoryBusy:
    """The error for somebody who wanted the lock: who holds it, since when, how long at most, what to do."""
    stored = read(backend)
    record = parse(stored) if stored else None
    if stored is not None and record is None:
        return _garbled(backend, stored)
    if stored is None or record is None or given_up(record):
        return RepositoryBusy(
            "somebody else took the lock at the same moment", where=_path(backend), todo="run this again"
        )
    holder = _holder(backend, stored, record)
    return RepositoryBusy(f"the platform is in use: {holder}", where=_path(backend), todo=holder.advice)


def _garbled(backend: Backend, stored: StoredObject) -> RepositoryBusy:
    """Nobody can tell whose it is. It is treated as a lock whose holder was just seen, and taken over after that."""
    left = LEASE_SECONDS - (backend.now() - stored.info.modified).total_seconds()
    by_itself = f"it is taken over in {min(max(0.0, left), LEASE_SECONDS):.0f} s, then run this again"
    by_hand = "to go on at once: see on every host that nothing works on the platform, then remove the file"
    return RepositoryBusy(
        f"the record of the platform lock cannot be read ({len(stored.data)} bytes that are no such record), so nobody "
        "can tell who holds it",
        where=_path(backend),
        todo=f"{by_itself}; {by_hand}",
    )


def _path(backend: Backend) -> str:
    return f"{backend.describe()}/{LOCK_KEY}"


def read(backend: Backend) -> StoredObject | None:
    """The record as it is stored; ``None`` where there is none yet."""
    try:
        return backend.get(LOCK_KEY, limit=_LARGEST)
    except ObjectNotFound:
        return None
    except ObjectUnreadable as error:
        raise RepositoryBusy(
            f"the record of the platform lock cannot be read: {error.what}",
            where=_path(backend),
            todo="see on every host that nothing works on the platform, then remove what is there: it is made anew",
        ) from error


def parse(stored: StoredObject) -> Record | None:
    """The record; ``None`` where it cannot be understood."""
    try:
        return Record.model_validate_json(stored.data)
    except ValidationError:
        return None
