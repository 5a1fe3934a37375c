"""The platform lock: one holder at a time, across processes, containers and hosts, and no hand needed after a crash.

The record ``locks/platform.json`` is created once and from then on only swapped, so that its fencing counter never
goes back. A holder keeps its lease alive with a heartbeat that renews the record's modification time. Whether a lease
has run out is judged by the *storage's* clock and by watching, see :mod:`archon_dagster.repository.expiry`. A holder
that cannot renew in time loses the lock and learns it from :meth:`Lease.check`; every commit calls :meth:`Lease.renew`
first. Where holder and waiter share host, boot and pid namespace, a holder that is certainly dead is not waited for.
"""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from collections.abc import Callable, Iterator

from archon_dagster.errors import Cancelled, LockLost, RepositoryError
from archon_dagster.repository.backends.base import (
    Backend,
    Check,
    ObjectChanged,
    ObjectExists,
    ObjectNotFound,
    no_check,
)
from archon_dagster.repository.backends.heeding import after, tidying
from archon_dagster.repository.expiry import Watch, elapsed
from archon_dagster.repository.holder import LEASE_SECONDS, LOCK_KEY, Record, busy, parse, read
from archon_dagster.repository.identity import this_process

_POLL = 0.25  # seconds between two looks while waiting
_GIVE_BACK = 1.3  # seconds after a cancel for giving the lock back; else the lease runs out


class _Ended(Exception):
    """The lock is being given back; there is nothing to renew any more."""


class Lease:
    """The right to change the platform and the repository, as long as :meth:`check` says so."""

    def __init__(self, backend: Backend, record: Record, etag: str):
        self.purpose = record.purpose
        self.fence = record.fence
        self._backend = backend
        self._record = record
        self._etag = etag
        self._renewed = elapsed()
        self._lost: str | None = None
        self._mutex = threading.Lock()
        self._end = threading.Event()
        self._heart = threading.Thread(target=self._beat, name="lease", daemon=True)
        self._heart.start()

    @property
    def holder(self) -> str:
        """The unique id of this hold of the lock."""
        return self._record.holder

    def check(self) -> None:
        """Raise :class:`LockLost` where somebody else may hold the lock by now. Costs nothing."""
        if self._lost is None and elapsed() - self._renewed > self._record.lease:
            self._lost = f"it could not be renewed for {self._record.lease:.0f} s"
        if self._lost is not None:
            raise LockLost(
                f"the lock for {self.purpose!r} was lost: {self._lost}",
                where=f"{LOCK_KEY} in {self._backend.describe()}",
                todo="look who works on the platform now (`archon status`), then run this again",
            )

    def renew(self, check: Check = no_check) -> None:
        """Prove to the storage that the lock is still ours, and start the lease anew; :class:`LockLost` if not.

        :param check: called while waiting for the storage; raises to stop.
        """
        while not self._mutex.acquire(timeout=_POLL):
            check()
        try:
            self.check()
            began = elapsed()
            backend = self._backend.heeding(check)
            try:
                backend.touch(LOCK_KEY, if_match=self._etag)
                self._renewed = began
            except ObjectChanged:
                self._adopt_or_lose(backend, began)
        finally:
            self._mutex.release()
        self.check()

    def _adopt_or_lose(self, backend: Backend, began: float) -> None:
        """The record is another one: still ours, written by a request whose answer got lost?"""
        try:
            stored = backend.get(LOCK_KEY)
            record = parse(stored)
        except ObjectNotFound:
            record = None
        if record is None or record.holder != self.holder:
            self._lost = "somebody else has taken it over" if record else "its record is gone or was overwritten"
            return
        self._etag, self._renewed = stored.info.etag, began

    def _beat(self) -> None:
        """Renew in the background. A failure is tried again; a lease that ends meanwhile is seen by ``check``."""
        wait = self._record.lease / 3
        while not self._end.wait(wait):
            try:
                self.renew(self._not_ended)
                wait = self._record.lease / 3
            except (LockLost, _Ended):
                return
            except RepositoryError:
                wait = self._record.lease / 12

    def _not_ended(self) -> None:
        if self._end.is_set():
            raise _Ended

    def release(self, check: Check = no_check) -> None:
        """Give the lock back; the record stays and remembers the fence.

        :param check: called while waiting for the storage; raises to stop.
        """
        self._end.set()
        self._heart.join()
        released = self._record.model_copy(update={"released": True})
        backend = self._backend.heeding(check)
        try:
            backend.replace(LOCK_KEY, released.model_dump_json().encode(), if_match=self._etag)
        except ObjectChanged:
            return  # taken over: nothing is ours to give back
        except RepositoryError:
            check()
            self.renew(check)  # the disk may be full: deleting needs no space, but it must still be ours
            backend.delete(LOCK_KEY)


@contextlib.contextmanager
def lock(
    backend: Backend,
    purpose: str,
    *,
    wait: float = 0,
    lease: float = LEASE_SECONDS,
    check: Check = no_check,
) -> Iterator[Lease]:
    """Hold the platform lock; :class:`RepositoryBusy` where it is not free within ``wait`` seconds.

    Where it seems to be abandoned, that is watched first, for at most a lease, whatever ``wait`` says.

    :param check: called while waiting; raises to stop.
    """
    held = _acquire(backend, purpose, time.monotonic() + wait, lease, check)
    try:
        check()
        yield held
    except BaseException as error:
        try:
            held.release(tidying(error, backend.describe(), _GIVE_BACK) if isinstance(error, Cancelled) else no_check)
        except RepositoryError as failure:
            error.add_note(f"the lock could not be given back and runs out by itself in {lease:.0f} s: {failure}")
        raise
    held.release()


def _acquire(backend: Backend, purpose: str, deadline: float, lease: float, check: Callable[[], None]) -> Lease:
    holder = uuid.uuid4().hex
    pause = threading.Event()
    watch = Watch(backend.heeding(check))
    while True:
        if (held := _attempt(backend, purpose, holder, lease, check, watch)) is not None:
            return held
        if time.monotonic() >= deadline and not watch.undecided:
            raise busy(backend.heeding(check))
        check()
        pause.wait(_POLL if watch.undecided else min(_POLL, max(0.0, deadline - time.monotonic())))


def _attempt(storage: Backend, purpose: str, holder: str, lease: float, check: Check, watch: Watch) -> Lease | None:
    """Take the lock if it is free; ``None`` where it is not (yet), or somebody was faster."""
    backend, surely = storage.heeding(check), storage.heeding(after(check))
    stored = read(backend)
    previous = parse(stored) if stored else None
    if stored and not watch.is_free(stored, previous):
        return None
    now = backend.now()
    # where there is no record, or none that can be read, the last fence is not known: seconds since 1970 are beyond it,
    # because the counter starts there and nobody takes the lock more than once a second for long
    fence = previous.fence + 1 if previous else int(now.timestamp())
    process = this_process()
    record = Record(
        holder=holder, purpose=purpose, since=now, lease=lease, fence=fence, host=process.host, boot=process.boot,
        namespace=process.namespace, pid=process.pid, started=process.started,
    )  # fmt: skip
    data = record.model_dump_json().encode()
    try:
        if stored:
            etag = surely.replace(LOCK_KEY, data, if_match=stored.info.etag)
        else:
            etag = surely.put(LOCK_KEY, data, if_absent=True)
    except (ObjectExists, ObjectChanged):
        return None
    return Lease(storage, record, etag)
