"""Chunks in the repository: store each once, in parallel, with bounded memory; read them back proven.

A chunk that is there already is not written again, unless it is not *right* there: its size does not fit, or a
verification found it damaged (``suspects/``). Then it is written anew, which repairs every backup that needs it.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice

from archon_dagster.errors import ArchonError
from archon_dagster.repository import chunk_format
from archon_dagster.repository.backends.base import (
    Backend,
    Buffer,
    Check,
    ObjectNotFound,
    ObjectUnreadable,
    both,
    no_check,
)
from archon_dagster.repository.chunk_format import ChunkDamage
from archon_dagster.repository.manifest import Chunk
from archon_dagster.repository.names import chunk_key

SUSPECTS = "suspects/"
_FEW = 4000  # chunks that one thread lists as fast as many: four pages of a distant listing
_LISTERS = 16


class ChunkStore:
    """The chunks of one repository. What is already stored is listed once, when first asked for."""

    def __init__(self, backend: Backend):
        self._backend = backend
        self._mutex = threading.Lock()
        self._known: dict[str, int] | None = None  # name -> stored bytes
        self._suspects: set[str] = set()
        self._claims: dict[str, Future[int]] = {}

    def heeding(self, check: Check) -> ChunkStore:
        """The same chunks, listed anew when first asked, for work that also stops when ``check`` raises."""
        return ChunkStore(self._backend.heeding(check))

    def store(self, plain: Buffer) -> tuple[Chunk, int]:
        """Make sure the chunk is stored; the chunk, and the bytes that had to be written for it (0: none)."""
        sha256 = hashlib.sha256(plain).hexdigest()
        chunk = Chunk(sha256=sha256, size=len(plain))
        known = self._listing()
        with self._mutex:
            claim = self._claims.get(sha256)
            if claim is None:
                own = self._claims[sha256] = Future[int]()
        if claim is not None:
            claim.result()  # a thread that is at work on the same bytes
            return chunk, 0
        try:
            added = 0 if self._is_right(chunk, known) else self._write(chunk, plain)
        except BaseException as error:
            with self._mutex:
                self._claims.pop(sha256, None)
            own.set_exception(error)
            raise
        own.set_result(added)
        return chunk, added

    def load(self, chunk: Chunk) -> memoryview:
        """The chunk's plain bytes, proven; :class:`ChunkDamage` says what is wrong with them."""
        if chunk.size > chunk_format.LARGEST_PLAIN:
            raise ChunkDamage(f"is said to hold {chunk.size} bytes, more than any chunk can")
        try:
            info = self._backend.get(chunk_key(chunk.sha256), limit=chunk_format.largest_object(chunk.size))
        except ObjectNotFound as error:
            raise ChunkDamage("is missing") from error
        except ObjectUnreadable as error:
            raise ChunkDamage(f"cannot be read ({error.what})") from error
        return chunk_format.decode(info.data, chunk.sha256, chunk.size)

    def suspect(self, names: Iterable[str]) -> None:
        """Remember damaged chunks, so that the next backup that has their bytes writes them anew."""
        for name in names:
            self._backend.put(SUSPECTS + name, b"")

    def clear_suspect(self, name: str) -> None:
        """The chunk is right again."""
        self._backend.delete(SUSPECTS + name)

    def _listing(self) -> dict[str, int]:
        with self._mutex:
            if self._known is None:
                self._suspects = {info.key.removeprefix(SUSPECTS) for info in self._backend.list(SUSPECTS)}
                self._known = self._list()
            return self._known

    def _list(self) -> dict[str, int]:
        found = self._sizes("chunks/", _FEW)
        if len(found) < _FEW:
            return found
        # a distant storage hands out a page after the other: many listings at once go that much faster
        with ThreadPoolExecutor(_LISTERS, thread_name_prefix="list") as threads:
            for part in threads.map(self._sizes, [f"chunks/{digit}" for digit in "0123456789abcdef"]):
                found |= part
        return found

    def _sizes(self, prefix: str, most: int | None = None) -> dict[str, int]:
        return {info.key[-64:]: info.size for info in islice(self._backend.list(prefix), most)}

    def _is_right(self, chunk: Chunk, known: dict[str, int]) -> bool:
        size = known.get(chunk.sha256)
        if size is None or chunk.sha256 in self._suspects:
            return False
        if size == chunk_format.HEADER.size + chunk.size:
            return True
        if self._backend.whole:  # a compressed one: a look at each would be a request for each, and prove no more
            return chunk_format.HEADER.size < size <= chunk_format.largest_object(chunk.size)
        return size == chunk_format.length_from_header(
            self._backend.read_start(chunk_key(chunk.sha256), chunk_format.HEADER.size)
        )

    def _write(self, chunk: Chunk, plain: Buffer) -> int:
        stored = chunk_format.encode(plain)
        self._backend.put(chunk_key(chunk.sha256), stored)
        if chunk.sha256 in self._suspects:
            self._backend.barrier()
            self.clear_suspect(chunk.sha256)
        return len(stored)


def _backup_has_ended() -> ArchonError:
    """The error for a thread that still writes when another one has ended the backup."""
    return ArchonError("the backup has ended; nothing can be written to it any more", todo="see why it has ended")


@dataclass(slots=True)
class Tally:
    """What storing has cost so far."""

    bytes_added: int = 0
    chunks_added: int = 0


class ChunkPool:
    """Stores chunks on a few threads; :meth:`submit` waits while too many bytes are under way.

    :param in_flight: plain bytes that may be under way at once.
    :param check: called while waiting; raises to stop.
    """

    def __init__(self, store: ChunkStore, *, check: Check, threads: int = 8, in_flight: int = 32 << 20):
        self.tally = Tally()
        self._closed = False
        self._store = store.heeding(both(self._require_open, check))
        self._check = check
        self._limit = in_flight
        self._used = 0
        self._changed = threading.Condition()
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="chunk")

    def submit(self, piece: Buffer, check: Check = no_check) -> Future[Chunk]:
        """Store a piece in the background.

        :param check: called while waiting for room; raises to stop.
        """
        size = len(piece)
        with self._changed:
            while self._used and self._used + size > self._limit:
                self._changed.wait(0.2)
                self._check()
                check()
            self._used += size
        try:
            return self._threads.submit(self._work, piece, size)
        except RuntimeError as error:
            raise _backup_has_ended() from error

    def result(self, future: Future[Chunk], check: Check = no_check) -> Chunk:
        """What became of a piece; keeps an ear open for a request to stop while it waits."""
        while not wait([future], timeout=0.2).done:
            self._check()
            check()
        try:
            return future.result()
        except CancelledError as error:
            raise _backup_has_ended() from error

    def close(self) -> None:
        """Stop: no thread waits for a distant storage, or sends to it, when this returns."""
        self._closed = True
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _require_open(self) -> None:
        if self._closed:
            raise _backup_has_ended()

    def _work(self, piece: Buffer, size: int) -> Chunk:
        try:
            chunk, added = self._store.store(piece)
            with self._changed:
                self.tally.bytes_added += added
                self.tally.chunks_added += bool(added)
            return chunk
        finally:
            with self._changed:
                self._used -= size
                self._changed.notify_all()
