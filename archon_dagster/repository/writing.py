"""One artifact while it is written: cut into pieces, which become chunks in the background, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

from archon_dagster.errors import RepositoryError
from archon_dagster.repository.chunks import ChunkPool
from archon_dagster.repository.config import Chunker
from archon_dagster.repository.cutting import Piece, cutter
from archon_dagster.repository.digest import StreamDigest
from archon_dagster.repository.manifest import Chunk, Fingerprint
from archon_dagster.stores.base import Cut


class PendingArtifact:
    """One artifact being written; an :class:`~archon_dagster.stores.base.ArtifactWriter`."""

    def __init__(self, cut: Cut, sizes: Chunker, pool: ChunkPool):
        self.counts: dict[str, int] = {}
        self.fingerprint: Fingerprint | None = None
        self.details: dict[str, Any] = {}
        self._cutter = cutter(cut, sizes)
        self._pool = pool
        self._digest = StreamDigest()
        self._size = 0
        self._chunks: list[Chunk] = []
        self._under_way: deque[Future[Chunk]] = deque()
        self._failed: list[BaseException] = []
        self._closed = False

    def write(self, data: bytes) -> int:
        """Append; raises what went wrong with earlier bytes as soon as it is known."""
        if self._closed:
            raise ValueError("write to an artifact that is complete")
        data = bytes(data)  # pieces keep slices of it, so it must not change; free for bytes
        self._digest.update(data)
        self._size += len(data)
        self._store(self._cutter.feed(data))
        return len(data)

    @property
    def size(self) -> int:
        return self._size

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def finish(self) -> tuple[Chunk, ...]:
        """No more bytes will come; waits until all are stored."""
        self._close()
        self._store(self._cutter.finish())
        while self._under_way:
            self._take_first()
        if sum(chunk.size for chunk in self._chunks) != self._size:
            raise RepositoryError("cutting an artifact lost bytes", todo="report this as a bug; nothing was sealed")
        return tuple(self._chunks)

    def discard(self) -> None:
        """Take no more bytes; what is under way may end."""
        self._close()

    def _close(self) -> None:
        self._closed = True
        self._digest.close()

    def _store(self, pieces: Iterator[Piece]) -> None:
        for piece in pieces:
            future = self._pool.submit(piece, self._raise_failed)
            future.add_done_callback(self._note)
            self._under_way.append(future)
        while self._under_way and self._under_way[0].done():
            self._take_first()

    def _take_first(self) -> None:
        self._chunks.append(self._pool.result(self._under_way.popleft(), self._raise_failed))

    def _note(self, future: Future[Chunk]) -> None:
        if not future.cancelled() and (error := future.exception()) is not None:
            self._failed.append(error)

    def _raise_failed(self) -> None:
        """A piece that could not be stored is the end of the artifact, also while earlier ones are still waited for."""
        if self._failed:
            raise self._failed[0]
