"""A sink and a source that keep artifacts in memory, for tests of the stores.

They keep the promises of :mod:`archon_dagster.stores.base` that a store may lean on: an exception discards the
artifact, names are unique, a reader hands out at most what was asked for and notices a changed byte.
"""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from archon_dagster.errors import DamagedBackup
from archon_dagster.repository.manifest import Artifact, Chunk, Fingerprint
from archon_dagster.stores.base import Cut, StoreName


class MemoryWriter:
    """One artifact being written."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.fingerprint: Fingerprint | None = None
        self.details: dict[str, Any] = {}
        self.data = bytearray()

    def write(self, data: bytes) -> int:
        self.data += data
        return len(data)

    @property
    def size(self) -> int:
        return len(self.data)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


class MemoryReader:
    """One artifact being read; the digest is checked before the last byte is handed out."""

    def __init__(self, artifact: Artifact, data: bytes):
        if hashlib.sha256(data).hexdigest() != artifact.sha256:
            raise DamagedBackup(f"{artifact.name} is not what was written", where="memory")
        self._stream = io.BytesIO(data)

    def read(self, size: int = -1) -> bytes:
        return self._stream.read(size)

    def close(self) -> None:
        self._stream.close()

    def __enter__(self) -> MemoryReader:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


@dataclass
class MemorySink:
    """Collects artifacts; :meth:`source` is the backup made of them.

    :param cuts: how each artifact asked to be cut, by name.
    """

    artifacts: list[Artifact] = field(default_factory=list)
    data: dict[str, bytes] = field(default_factory=dict)
    cuts: dict[str, Cut] = field(default_factory=dict)
    left_out: list[tuple[StoreName, str]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @contextmanager
    def artifact(self, store: StoreName, name: str, kind: str, *, media_type: str, cut: Cut) -> Iterator[MemoryWriter]:
        with self._lock:
            assert name not in self.cuts, f"two artifacts are called {name}"
            self.cuts[name] = cut
        started, writer = datetime.now(UTC), MemoryWriter()
        try:
            yield writer
        except BaseException:
            with self._lock:
                del self.cuts[name]
            raise
        self._keep(store, name, kind, media_type, writer, started)

    def _keep(
        self, store: StoreName, name: str, kind: str, media_type: str, writer: MemoryWriter, started: datetime
    ) -> None:
        whole = (Chunk(sha256=writer.sha256, size=writer.size),) if writer.size else ()
        artifact = Artifact(
            store=store, name=name, kind=kind, media_type=media_type, size=writer.size, sha256=writer.sha256,
            chunks=whole, counts=writer.counts, fingerprint=writer.fingerprint, details=writer.details,
            capture_start=started, capture_end=datetime.now(UTC),
        )  # fmt: skip
        with self._lock:
            self.artifacts.append(Artifact.model_validate_json(artifact.model_dump_json()))
            self.data[name] = bytes(writer.data)

    def not_covered(self, store: StoreName, what: str) -> None:
        with self._lock:
            self.left_out.append((store, what))

    def source(self, **versions: str) -> MemorySource:
        """The artifacts so far as a backup, made on servers of these versions (by store name)."""
        return MemorySource(list(self.artifacts), dict(self.data), versions)


@dataclass
class MemorySource:
    """Artifacts to restore or verify; tests may change :attr:`data` and the artifacts to do damage.

    Damage that must get *past* the repository's digests is done with :meth:`replace`.
    """

    items: list[Artifact]
    data: dict[str, bytes]
    versions: dict[str, str] = field(default_factory=dict)
    backup_id: str = "20261124T030000Z-7f3a"

    def artifacts(self, store: StoreName) -> Sequence[Artifact]:
        return [artifact for artifact in self.items if artifact.store == store]

    def open(self, artifact: Artifact) -> MemoryReader:
        return MemoryReader(artifact, self.data[artifact.name])

    def one(self, name: str) -> Artifact:
        """The artifact of that name."""
        return next(artifact for artifact in self.items if artifact.name == name)

    def replace(self, name: str, data: bytes | None = None, **fields: Any) -> None:
        """Put other bytes (with digests that fit them) or other manifest fields in an artifact's place."""
        old = self.one(name)
        if data is not None:
            self.data[name] = data
            digest = hashlib.sha256(data).hexdigest()
            fields |= {"size": len(data), "sha256": digest, "chunks": (Chunk(sha256=digest, size=len(data)),)}
        self.items[self.items.index(old)] = old.model_copy(update=fields)
