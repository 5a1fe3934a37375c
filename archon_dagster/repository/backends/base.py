"""What a repository asks of its storage.

Objects are whole or absent: nothing a reader can see is ever half written. Keys are relative, ``/``-separated and
harmless on every storage; names that start with a dot belong to the backend and are never listed.

RepositoryError
 ├── ObjectNotFound        no object under this key
 ├── ObjectUnreadable      this one cannot be read (bad sector, not a file …); others may be well
 ├── ObjectExists          create-only write, and the object is there already
 └── ObjectChanged         compare-and-swap, and somebody else was faster
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from archon_dagster.errors import RepositoryError

Buffer = bytes | bytearray | memoryview
Check = Callable[[], None]

_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")


def no_check() -> None:
    """The check of a caller that never has to stop."""


def both(first: Check, second: Check) -> Check:
    """A check that objects when one of two does."""

    def check() -> None:
        first()
        second()

    return check


class ObjectNotFound(RepositoryError):
    """No object under this key."""


class ObjectUnreadable(RepositoryError):
    """This object is there and cannot be read, which is *its* trouble: the storage answers, others may be well."""


class ObjectExists(RepositoryError):
    """The object was to be created, and it is there already."""


class ObjectChanged(RepositoryError):
    """The object is not the one that was read before; somebody else replaced it."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """An object at a glance.

    :param modified: by the *storage's* clock.
    :param etag: changes when the object does. Only the etag of :meth:`Backend.get`, ``put`` and ``replace`` may be
        handed to a conditional write, and only for small objects (64 KiB: the lock, no chunk); that of a listing only
        tells "the same as last time".
    """

    key: str
    size: int
    modified: datetime
    etag: str


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object's bytes and what the storage says about exactly these bytes."""

    data: bytes
    info: ObjectInfo


class Backend(Protocol):
    """A place for objects. Every method may be called from several threads.

    Failures are :class:`~archon_dagster.errors.RepositoryError` and say what, where and what to do.

    :ivar whole: an object that is listed has all the bytes of the one write that made it, by the storage's contract;
        where it has none (a disk that lost its cache), the header of a chunk is read before the chunk is relied on.
        What breaks a contract, or rots, is found either way by the verification that ends every backup: that backup
        fails, and the next one writes the chunk anew.
    """

    whole: bool

    def heeding(self, check: Check) -> Backend:
        """The same storage for a caller that may have to stop: no call goes on for long once ``check`` raises.

        The call then raises what ``check`` raised, nothing more is written, and whether a write that was under way has
        happened is not known.
        """
        ...

    def get(self, key: str, *, limit: int | None = None) -> StoredObject:
        """The whole object; :class:`ObjectNotFound` where there is none, :class:`ObjectUnreadable` where it is broken.

        :param limit: refuse an object larger than this many bytes before reading it.
        """
        ...

    def read_start(self, key: str, size: int) -> bytes:
        """The object's first ``size`` bytes, or fewer where it is shorter."""
        ...

    def put(self, key: str, data: Buffer, *, if_absent: bool = False) -> str:
        """Write an object whole; returns its etag. It is durable only after :meth:`barrier`.

        :param if_absent: create only; :class:`ObjectExists` where it is there already.
        """
        ...

    def replace(self, key: str, data: Buffer, *, if_match: str) -> str:
        """Swap an object, only if it is still the one with this etag, else :class:`ObjectChanged`; the new etag."""
        ...

    def touch(self, key: str, *, if_match: str) -> None:
        """Give an unchanged object a new ``modified``; :class:`ObjectChanged` otherwise. Needs no free space."""
        ...

    def exists(self, key: str) -> ObjectInfo | None:
        """What is known about an object, or ``None``."""
        ...

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Every object whose key starts with ``prefix``, in no particular order."""
        ...

    def delete(self, key: str) -> None:
        """Remove an object; none there is fine."""
        ...

    def barrier(self, keys: Iterable[str] = ()) -> None:
        """Return only when every earlier write of this backend, and ``keys`` whoever wrote them, survive power loss."""
        ...

    def sweep(self, prefix: str) -> int:
        """Remove what dead writers left half written below ``prefix``; how many."""
        ...

    def now(self) -> datetime:
        """The storage's clock."""
        ...

    def describe(self) -> str:
        """Where this is, for messages; without credentials."""
        ...


def checked_key(key: str) -> str:
    """``key`` itself, if it is harmless; keys are made by this package, so anything else is an attack or a bug."""
    if not _KEY.fullmatch(key) or len(key) > 512:
        raise RepositoryError(f"{key!r} is not a key of a repository", todo="look who else writes into the repository")
    return key
