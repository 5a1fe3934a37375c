"""A backup while it is being written.

Artifacts stream in, from several threads, and become chunks in the background. Nothing of it can be seen as a backup
until :meth:`PendingBackup.seal` has made every chunk durable, proven that the lock is still ours, and created the
manifest, in this order. Whatever happens before that leaves chunks that the next backup will find useful or that
pruning removes, and a marker that says what they are.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from archon_dagster.errors import RepositoryError
from archon_dagster.repository import manifest_file
from archon_dagster.repository.backends.base import Backend, Check, ObjectExists, no_check
from archon_dagster.repository.backends.heeding import after, tidying
from archon_dagster.repository.chunks import ChunkPool
from archon_dagster.repository.config import Chunker
from archon_dagster.repository.identity import this_process
from archon_dagster.repository.lock import Lease
from archon_dagster.repository.manifest import Artifact, BackupKind, Manifest, Window
from archon_dagster.repository.names import checked_artifact_name, chunk_key, manifest_key
from archon_dagster.repository.writing import PendingArtifact
from archon_dagster.stores.base import STORES, Cut, StoreName

Clock = Callable[[], datetime]
_TAKE_BACK = 0.75  # seconds after a cancel for taking a manifest back


def utc_now() -> datetime:
    """The default clock."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Begun:
    """What is known when a backup begins."""

    id: str
    kind: BackupKind
    started: datetime
    parent: str | None
    note: str = ""


class PendingBackup:
    """The sink of one backup; made by :meth:`Repository.begin`. Safe for several threads, one artifact each."""

    def __init__(
        self,
        begun: Begun,
        backend: Backend,
        sizes: Chunker,
        pool: ChunkPool,
        lease: Lease,
        clock: Clock,
        check: Check = no_check,
    ):
        self._check = check
        self.id = begun.id
        self.manifest: Manifest | None = None
        self._begun = begun
        self._backend = backend
        self._sizes = sizes
        self._pool = pool
        self._lease = lease
        self._clock = clock
        self._mutex = threading.Lock()
        self._names: set[str] = set()
        self._opened = 0
        self._artifacts: dict[int, Artifact] = {}
        self._open = 0
        self._not_covered: list[str] = []

    @property
    def sealed(self) -> bool:
        """Whether the backup exists."""
        return self.manifest is not None

    @property
    def bytes_added(self) -> int:
        """Bytes the repository has grown by so far."""
        return self._pool.tally.bytes_added

    @contextlib.contextmanager
    def artifact(
        self, store: StoreName, name: str, kind: str, *, media_type: str, cut: Cut
    ) -> Iterator[PendingArtifact]:
        """See :meth:`archon_dagster.stores.base.Sink.artifact`."""
        position = self._claim(checked_artifact_name(name))
        writer = PendingArtifact(cut, self._sizes, self._pool)
        start = self._clock()
        try:
            yield writer
            chunks = writer.finish()
            with self._mutex:
                self._artifacts[position] = Artifact(
                    store=store,
                    name=name,
                    kind=kind,
                    media_type=media_type,
                    size=writer.size,
                    sha256=writer.sha256,
                    chunks=chunks,
                    counts=writer.counts,
                    fingerprint=writer.fingerprint,
                    details=writer.details,
                    capture_start=start,
                    capture_end=self._clock(),
                )
        except BaseException:
            writer.discard()
            with self._mutex:
                self._names.discard(name)
            raise
        finally:
            with self._mutex:
                self._open -= 1

    def not_covered(self, store: StoreName, what: str) -> None:
        """See :meth:`archon_dagster.stores.base.Sink.not_covered`."""
        with self._mutex:
            self._not_covered.append(f"{store}: {what}")

    def seal(
        self,
        *,
        window: Window,
        versions: dict[str, str],
        image_digests: dict[str, str] | None = None,
        git_revision: str | None = None,
        note: str = "",
        kind: BackupKind | None = None,
        stores: Sequence[str] | None = None,
    ) -> Manifest:
        """Make the backup exist; it is complete and durable when this returns, and does not exist when it raises.

        :param kind: what it was begun as, unless said otherwise.
        :param stores: the stores it stands for, where that is more than those with artifacts (a server without a
            single collection was captured too).
        """
        with self._mutex:
            if self._open or self.sealed:
                raise RepositoryError(
                    f"backup {self.id} cannot be sealed: "
                    + ("it is sealed already" if self.sealed else f"{self._open} artifacts are still being written"),
                    todo="report this as a bug",
                )
            manifest = self._manifest(window, versions, image_digests or {}, git_revision, note, kind, stores)
        self._commit(manifest)
        self.manifest = manifest
        return manifest

    def _commit(self, manifest: Manifest) -> None:
        # chunks another process wrote may not be durable yet, so all of them pass the barrier, not only ours
        backend = self._backend.heeding(self._check)
        backend.barrier(chunk_key(chunk.sha256) for artifact in manifest.artifacts for chunk in artifact.chunks)
        self._lease.renew(self._check)
        self._check()
        try:
            self._create(manifest)
            backend.barrier()
            self._lease.check()  # a process that slept between renewal and commit may have had its chunks pruned
            self._check()  # from here on the backup exists, whatever is asked for
        except ObjectExists:
            raise  # another backup's
        except BaseException as error:
            self._take_back(error)
            raise

    def _create(self, manifest: Manifest) -> None:
        surely = self._backend.heeding(after(self._check))
        surely.put(manifest_key(self.id), manifest_file.encode(manifest), if_absent=True)

    def _take_back(self, error: BaseException) -> None:
        """No manifest of a backup that has failed may stay, also where it is not known whether it was written."""
        key = manifest_key(self.id)
        try:
            self._backend.heeding(tidying(error, self._backend.describe(), _TAKE_BACK)).delete(key)
        except RepositoryError as failure:
            error.add_note(f"{key} may have been written, and could not be removed ({failure}): see `archon backups`")

    def _manifest(
        self,
        window: Window,
        versions: dict[str, str],
        image_digests: dict[str, str],
        git_revision: str | None,
        note: str,
        kind: BackupKind | None,
        stores: Sequence[str] | None,
    ) -> Manifest:
        artifacts = tuple(artifact for _, artifact in sorted(self._artifacts.items()))
        present = {artifact.store for artifact in artifacts} | set(stores or ())
        return Manifest(
            id=self.id,
            kind=kind or self._begun.kind,
            created=self._begun.started,
            duration=max(0.0, (self._clock() - self._begun.started).total_seconds()),
            stores=tuple(store for store in STORES if store in present),
            artifacts=artifacts,
            window=window,
            versions=versions,
            image_digests=image_digests,
            git_revision=git_revision,
            tool_version=_tool_version(),
            parent=self._begun.parent,
            host=this_process().host,
            bytes_read=sum(artifact.size for artifact in artifacts),
            bytes_added=self._pool.tally.bytes_added,
            chunks_added=self._pool.tally.chunks_added,
            not_covered=tuple(self._not_covered),
            note="; ".join(part for part in (note, self._begun.note) if part),
        )

    def _claim(self, name: str) -> int:
        with self._mutex:
            if self.sealed or name in self._names:
                why = "the backup is sealed" if self.sealed else "the backup has one of this name already"
                raise RepositoryError(f"artifact {name!r} cannot be added: {why}", todo="report this as a bug")
            self._names.add(name)
            self._open += 1
            self._opened += 1
            return self._opened


def _tool_version() -> str:
    from importlib.metadata import version

    return f"archon-dagster {version('archon-dagster')}"
