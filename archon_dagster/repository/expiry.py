"""When a lock that nobody gave back is free: its holder is certainly dead, or was seen not to renew it.

The storage's clock tells how old the record is, but a clock can be set: forwards, and every lease seems to have run
out; backwards, and none ever does. So whoever wants the lock also watches the record by a clock that nobody sets. A
holder that lives renews its record every third of its lease, and a record that changes while it is watched is held,
whatever its time says. The price is that the lock of a holder that died *elsewhere* is free half a lease later.
"""

from __future__ import annotations

import logging
import time
from datetime import datetime

from archon_dagster.repository.backends.base import Backend, StoredObject
from archon_dagster.repository.holder import LEASE_SECONDS, Record, given_up

_OLD = 0.5  # of a lease: how long a record that is too old must not change
_FUTURE = 1.0  # of a lease: the same for one whose time proves nothing
_TOLERANCE = 1.0  # seconds; storages round the times they give
_log = logging.getLogger(__name__)


class Watch:
    """What one waiter has seen of the record.

    :ivar undecided: the record's time says nothing that can be relied on, and it was not watched for long enough yet.
    """

    def __init__(self, backend: Backend):
        self.undecided = False
        self._backend = backend
        self._seen: tuple[str, datetime] | None = None
        self._since = 0.0
        self._told = False

    def is_free(self, stored: StoredObject, record: Record | None) -> bool:
        """Whether nobody can hold the lock any more; to be asked again while :attr:`undecided`."""
        self.undecided = False
        if record is not None and given_up(record):
            return True
        lease = record.lease if record is not None else LEASE_SECONDS
        age = (self._backend.now() - stored.info.modified).total_seconds()
        changed = self._look(stored)
        if -_TOLERANCE <= age <= lease or changed:
            return False
        if record is None and age > lease:
            return True  # whoever held it has lost it with its record
        needed = lease * (_OLD if age > 0 else _FUTURE)
        watched = elapsed() - self._since
        self.undecided = watched < needed
        if self.undecided and not self._told:
            self._told = True
            _log.warning("%s; watching for %.0f s whether it is renewed", _doubt(self._backend, record, age), needed)
        return not self.undecided

    def _look(self, stored: StoredObject) -> bool:
        """Whether the record changed since the last look."""
        version = (stored.info.etag, stored.info.modified)
        if version == self._seen:
            return False
        changed = self._seen is not None
        self._seen, self._since = version, elapsed()
        return changed


def _doubt(backend: Backend, record: Record | None, age: float) -> str:
    whose = f"the lock of {record.purpose!r} on {record.host}" if record is not None else "an unreadable lock"
    what = f"was not renewed for {age:.0f} s" if age > 0 else f"was renewed {-age:.0f} s from now: a clock was set back"
    return f"{backend.describe()}: {whose} {what}"


def elapsed() -> float:
    """Seconds that nobody sets and that also pass while the machine is suspended, where the system can tell."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.clock_gettime(clock) if clock is not None else time.monotonic()
