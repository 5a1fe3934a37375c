"""Reading a backup: a forward-only stream per artifact, a few chunks ahead, every byte proven before it is handed out.

Each chunk's digest is checked as it arrives, the artifact's own digest before its last bytes leave: a reader that got
to the end has read exactly what was written.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from archon_dagster.errors import DamagedBackup
from archon_dagster.repository.chunk_format import ChunkDamage
from archon_dagster.repository.chunks import ChunkStore
from archon_dagster.repository.manifest import Artifact, Chunk, Manifest
from archon_dagster.stores.base import StoreName

_AHEAD = 16 << 20  # plain bytes read ahead of the consumer
_THREADS = 4

DAMAGE_TODO = (
    "restore from another backup (`archon backups` lists them); a new backup of the same data repairs this chunk"
)


class BackupSource:
    """The artifacts of one complete backup; a :class:`~archon_dagster.stores.base.Source`."""

    def __init__(self, manifest: Manifest, chunks: ChunkStore):
        self._manifest = manifest
        self._chunks = chunks

    @property
    def backup_id(self) -> str:
        return self._manifest.id

    @property
    def versions(self) -> dict[str, str]:
        return dict(self._manifest.versions)

    def artifacts(self, store: StoreName) -> Sequence[Artifact]:
        return self._manifest.of_store(store)

    def open(self, artifact: Artifact) -> ArtifactStream:
        return ArtifactStream(self._manifest.id, artifact, self._chunks)


class ArtifactStream:
    """One artifact's bytes; an :class:`~archon_dagster.stores.base.ArtifactReader`. Not for several threads."""

    def __init__(self, backup_id: str, artifact: Artifact, chunks: ChunkStore):
        self._backup_id = backup_id
        self._artifact = artifact
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="read")
        self._pieces = _proven(backup_id, artifact, chunks.heeding(self._require_open), self._threads)
        self._rest = memoryview(b"")
        self._closed = False

    def read(self, size: int = -1) -> bytes:
        """The next ``size`` bytes, fewer only at the end; everything that is left where ``size`` is negative."""
        if self._closed:
            raise ValueError("read from a closed artifact")
        if 0 <= size <= len(self._rest):
            taken, self._rest = self._rest[:size], self._rest[size:]
            return bytes(taken)
        return b"".join(self._take(size))

    def pieces(self) -> Iterator[memoryview]:
        """All that is left, as it comes: the fastest way to read to the end."""
        if self._rest:
            yield self._rest
            self._rest = memoryview(b"")
        yield from self._pieces

    def close(self) -> None:
        """Stop reading ahead, also where the storage does not answer; may be called twice."""
        self._closed = True
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _require_open(self) -> None:
        if self._closed:
            raise ValueError("read from a closed artifact")

    def __enter__(self) -> ArtifactStream:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _take(self, size: int) -> Iterator[memoryview]:
        wanted = size
        while size < 0 or wanted:
            if not self._rest:
                following = next(self._pieces, None)
                if following is None:
                    return
                self._rest = following
            part = self._rest if size < 0 else self._rest[:wanted]
            self._rest = self._rest[len(part) :]
            wanted -= len(part)
            yield part


def _proven(
    backup_id: str, artifact: Artifact, chunks: ChunkStore, threads: ThreadPoolExecutor
) -> Iterator[memoryview]:
    """The plain chunks in order; the last one only after the artifact's digest was found right."""
    digest = hashlib.sha256()
    last = len(artifact.chunks) - 1
    for position, (chunk, future) in enumerate(_ahead(artifact.chunks, chunks, threads)):
        try:
            plain = future.result()
        except ChunkDamage as error:
            raise chunk_error(backup_id, artifact, chunk, str(error)) from error
        digest.update(plain)
        if position == last:
            _require_digest(backup_id, artifact, digest.hexdigest())
        yield plain
    if last < 0:
        _require_digest(backup_id, artifact, digest.hexdigest())


def _ahead(
    wanted: Sequence[Chunk], chunks: ChunkStore, threads: ThreadPoolExecutor
) -> Iterator[tuple[Chunk, Future[memoryview]]]:
    """Chunks with their bytes under way, the next ones already asked for while one is consumed."""
    waiting: deque[tuple[Chunk, Future[memoryview]]] = deque()
    bytes_ahead = 0
    for chunk in wanted:
        while waiting and bytes_ahead + chunk.size > _AHEAD:
            bytes_ahead -= waiting[0][0].size
            yield waiting.popleft()
        waiting.append((chunk, threads.submit(chunks.load, chunk)))
        bytes_ahead += chunk.size
    while waiting:
        yield waiting.popleft()


def chunk_error(backup_id: str, artifact: Artifact, chunk: Chunk, what: str) -> DamagedBackup:
    """The error for one bad chunk of one artifact."""
    return DamagedBackup(
        f"backup {backup_id}, artifact {artifact.name}: chunk {chunk.sha256[:12]} {what}",
        where=f"chunks/{chunk.sha256[:2]}/{chunk.sha256}",
        todo=DAMAGE_TODO,
    )


def _require_digest(backup_id: str, artifact: Artifact, found: str) -> None:
    if found != artifact.sha256:
        raise DamagedBackup(
            f"backup {backup_id}, artifact {artifact.name}: SHA-256 {found[:12]}…, the manifest says "
            f"{artifact.sha256[:12]}…, although every chunk is right",
            where=f"backups/{backup_id}.json",
            todo=DAMAGE_TODO,
        )
