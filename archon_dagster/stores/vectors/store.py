"""The vectors store: the verbs of :mod:`archon_dagster.stores.base` for a Qdrant server."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archon_dagster.platform.settings import Settings
from archon_dagster.repository.manifest import Fingerprint
from archon_dagster.stores.base import Description, Progress, Sink, Source, StoreName, Verdict, Work
from archon_dagster.stores.vectors import export, restoring, state, verification
from archon_dagster.stores.vectors.client import Client
from archon_dagster.stores.vectors.ledger import Ledger
from archon_dagster.stores.vectors.transport import Transport, address
from archon_dagster.stores.vectors.waiting import Check, never

if TYPE_CHECKING:
    from archon_dagster.stores.vectors.part import CollectionStore


def _unknown() -> int | None:
    return None


class VectorStore:
    """Every collection of one Qdrant server.

    :param url: e.g. ``http://127.0.0.1:6333``.
    :param api_key: sent as a header, shown nowhere.
    :param collections: what :meth:`export` takes; default: all. A backup of some collections restores those only.
    :param live_limit: a live collection of up to so many points is read whole by :meth:`fingerprint`, a larger one
        by exact count and seeded sample.
    :param trial_load: let a trial load under a scratch name decide where versions do not go together.
    :param free_space: tells the free bytes on the server's own volume, where the caller can know them.
    :param ledger: file that remembers our snapshots on the server, so that a killed run's are removed by the next.
    :param cleanup: seconds to try to remove our files from a server that has stopped answering.
    """

    name: StoreName = "vectors"

    def __init__(
        self,
        url: str,
        api_key: str | None = None,
        *,
        collections: Sequence[str] | None = None,
        live_limit: int = 200_000,
        trial_load: bool = False,
        free_space: Callable[[], int | None] = _unknown,
        ledger: Path | None = None,
        cleanup: float = 60.0,
    ) -> None:
        self.address = address(url)
        self._url, self._api_key = url, api_key
        chosen = tuple(collections) if collections is not None else None
        self._live_limit, self._ledger = live_limit, Ledger(ledger)
        self._export = export.Options(chosen, live_limit, free_space, cleanup)
        self._restore = restoring.Options(trial_load, free_space, cleanup)

    def __repr__(self) -> str:
        return f"VectorStore({self.address!r})"

    def describe(self) -> Description:
        """Version, exact counts, settings; collections that do not work are named in ``details["dead"]``."""
        with self._client() as client:
            found = state.examine(client)
            sizes = [client.disk_bytes(name) for name in found.alive]
            known = [size for size in sizes if size is not None]
            return Description(
                store="vectors",
                version=f"qdrant {client.version}",
                address=self.address,
                counts={name: collection.count for name, collection in found.alive.items()},
                size_bytes=sum(known) if known and len(known) == len(sizes) else None,
                details={
                    "collections": {name: _summary(collection) for name, collection in found.alive.items()},
                    "dead": found.dead,
                    "aliases": client.aliases(),
                    "cluster": client.cluster_enabled(),
                },
            )

    def fingerprint(self, work: Work) -> Fingerprint:
        """All collections of the live server; raises where one of them does not work."""
        return self._read(work)

    def _read(self, work: Work, names: Sequence[str] | None = None) -> Fingerprint:
        last = 0.0

        def report(name: str, done: int, total: int) -> None:
            nonlocal last
            work.check()
            if time.monotonic() - last > 0.25:
                last = time.monotonic()
                work.report(Progress("vectors", f"fingerprint {name}", done, total, "points"))

        with self._client(work.check) as client:
            found = state.examine(client, names).require_alive(self.address)
            return state.read_fingerprint(client, found, client.aliases(), self._live_limit, report)

    def export(self, sink: Sink, work: Work) -> None:
        """See :mod:`~archon_dagster.stores.vectors.export`."""
        with self._client(work.check) as client:
            export.export(client, sink, work, self._ledger, self._export)

    def verify(self, source: Source, work: Work) -> Iterable[Verdict]:
        """See :mod:`~archon_dagster.stores.vectors.verification`; needs no server."""
        return verification.verify(source, work)

    def preflight(self, source: Source, work: Work) -> None:
        """Whether the versions go together, the server is no cluster, and the scratch space suffices."""
        with self._client(work.check) as client:
            restoring.preflight(client, source, work, self._restore)

    def restore(self, source: Source, work: Work) -> None:
        """See :mod:`~archon_dagster.stores.vectors.restoring`."""
        with self._client(work.check) as client:
            restoring.restore(client, source, work, self._restore)

    def part(self, name: str, new_name: str = "") -> CollectionStore:
        """One collection of it; see :mod:`~archon_dagster.stores.vectors.part`."""
        from archon_dagster.stores.vectors.part import CollectionStore

        return CollectionStore(self, name, new_name)

    @contextmanager
    def _client(self, check: Check = never) -> Iterator[Client]:
        with Transport(self._url, self._api_key) as transport:
            yield Client(transport, check)


def open_vectors(settings: Settings) -> VectorStore:
    """The store of the platform the settings describe; nothing is contacted yet."""
    return VectorStore(
        settings.qdrant_url,
        settings.qdrant_api_key.get_secret_value() if settings.qdrant_api_key else None,
        live_limit=settings.live_fingerprint_limit,
        free_space=lambda: _free_beside(settings.qdrant_storage),
        ledger=settings.home / "state" / "qdrant-snapshots.json",
    )


def _free_beside(storage: Path | None) -> int | None:
    """Free bytes where the server writes its snapshots: by default beside its storage, if that can be seen from here.

    Where the storage alone is mounted, the snapshots are on a disk that nobody here knows.
    """
    snapshots = storage.parent / "snapshots" if storage is not None else None
    try:
        return shutil.disk_usage(snapshots).free if snapshots is not None else None
    except OSError:
        return None


def _summary(collection: state.Collection) -> dict[str, Any]:
    info = collection.info
    return {
        "points": collection.count,
        "status": info.get("status"),
        "optimizer_status": info.get("optimizer_status"),
        "indexed_vectors": info.get("indexed_vectors_count"),
        "segments": info.get("segments_count"),
        "schema": collection.schema,
    }
