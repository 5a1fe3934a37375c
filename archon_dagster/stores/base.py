"""The verbs every store has, and what passes between a store and the backup repository.

A store is exported *into* a :class:`Sink` and restored *from* a :class:`Source`; it never learns where backups
live. Everything streams: no verb holds a whole artifact in memory.

==============  =============================================================================================
``describe``    version, counts, size and schema of the live store; cheap
``fingerprint`` order-independent digest of the live content
``export``      write the store's artifacts; each carries the fingerprint of what was captured
``verify``      check artifacts without the server that made them
``preflight``   raise where these artifacts cannot go onto this server (versions, room); changes nothing
``restore``     make the live store be what the artifacts say; anything else in it is gone afterwards
==============  =============================================================================================
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from archon_dagster.errors import Cancelled
from archon_dagster.repository.manifest import Artifact, Fingerprint

StoreName = Literal["vectors", "graph", "relational", "configuration"]
STORES: tuple[StoreName, ...] = ("vectors", "graph", "relational", "configuration")

Cut = Literal["tar", "content", "lines", "written", "whole"]
"""How an artifact is cut into chunks.

``tar``      a tar whose members do not shift inside (Qdrant snapshots): fixed pieces from the start of each member
``content``  content-defined, for streams whose bytes shift (``pg_dump``)
``lines``    at line ends chosen by the line's own hash, for newline-separated records (graph export)
``written``  where the store's own writes end, for files whose boundaries it knows (Parquet row groups)
``whole``    small files, one chunk where possible
"""


@dataclass(frozen=True, slots=True)
class Progress:
    """One line of news while a store works: ``done`` of ``total`` (``None`` = unknown) in ``unit``."""

    store: str
    step: str
    done: int = 0
    total: int | None = None
    unit: str = "bytes"


def _silent(_: Progress) -> None: ...


def _nothing() -> None: ...


def _unheard(_: str) -> None: ...


def _as_promised(_: Fingerprint) -> None: ...


def _uncounted(_: str, __: float) -> None: ...


@dataclass(frozen=True)
class Work:
    """What a store needs to know about the run it works in.

    :param scratch: an empty directory of the run's own, removed afterwards whatever happens.
    :param cancel: set from outside to stop; every loop calls :meth:`check` at least once a second.
    :param report: receives progress, at most a few times a second.
    :param captured: an export calls it once, as soon as no later write can enter its artifacts: the writers, which
        are paused until then, go on when every store has called it (or has returned).
    :param deadline: seconds any single wait on a server may take.
    :param silence: seconds a server may say nothing (to the first question, or between two rows or bytes) before it is
        asked on a second connection whether it lives; see :mod:`archon_dagster.stores.patience`.
    :param verified: names of artifacts that :meth:`Store.verify` has read in this very run: a restore need not let an
        engine read them a second time (their digests are checked whenever they are read).
    :param warn: is told what a restore could not put back as it was (an index kind the server does not know, a secret
        that was withheld and is not known here); the operator reads it in the result.
    :param expect: is told what parts of the restored store look like where its server cannot hold them exactly as the
        manifest promises, and the store itself has made sure that they are right: the fingerprint taken after the
        restore is compared with these instead.
    :param portable: an export also writes artifacts that go onto any version of the server; a restore uses those even
        where the others would do.
    :param took: is told how many seconds a part of an export has taken; those of the same name are added up.
    """

    scratch: Path
    cancel: threading.Event = field(default_factory=threading.Event)
    report: Callable[[Progress], None] = _silent
    captured: Callable[[], None] = _nothing
    deadline: float = 600.0
    silence: float = 30.0
    verified: frozenset[str] = frozenset()
    warn: Callable[[str], None] = _unheard
    expect: Callable[[Fingerprint], None] = _as_promised
    portable: bool = False
    took: Callable[[str, float], None] = _uncounted

    def check(self) -> None:
        """Raise :class:`Cancelled` when the run was asked to stop."""
        if self.cancel.is_set():
            raise Cancelled("cancelled on request", todo="start the run again; nothing has to be repaired")

    @contextmanager
    def timing(self, part: str) -> Iterator[None]:
        """Tell :attr:`took` how long the block has taken, also where it fails."""
        started = time.monotonic()
        try:
            yield
        finally:
            self.took(part, time.monotonic() - started)


@dataclass(frozen=True)
class Description:
    """A live store at a glance.

    :param version: the server's version as it tells it, e.g. ``qdrant 1.18.3``.
    :param address: where it was asked, without credentials.
    :param counts: e.g. ``{"archon_vectors": 237}`` points per collection, ``{"nodes": 2024, …}``, rows per table.
    :param size_bytes: bytes on disk or ``None`` where the server does not say.
    :param details: anything else worth showing (collection configuration, indexes, …), JSON-compatible.
    """

    store: StoreName
    version: str
    address: str
    counts: dict[str, int]
    size_bytes: int | None = None
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Verdict:
    """What verification can say about one artifact."""

    artifact: str
    state: Literal["verified", "damaged", "not verifiable here"]
    detail: str
    counts: dict[str, int] = field(default_factory=dict)


class ArtifactWriter(Protocol):
    """Where one artifact's bytes go. The attributes are filled by the store before the context closes."""

    counts: dict[str, int]
    fingerprint: Fingerprint | None
    details: dict[str, Any]

    def write(self, data: bytes) -> int:
        """Append ``data``; returns its length. Never buffers more than a few chunks."""
        ...

    @property
    def size(self) -> int:
        """Bytes written so far."""
        ...

    @property
    def sha256(self) -> str:
        """Hex digest of the bytes written so far; compare it with the server's before the context closes."""
        ...


class Sink(Protocol):
    """Receives the artifacts of one backup; safe to use from several threads, one artifact each."""

    def artifact(
        self, store: StoreName, name: str, kind: str, *, media_type: str, cut: Cut
    ) -> AbstractContextManager[ArtifactWriter]:
        """Open an artifact. Leaving the context normally completes it; an exception discards it.

        :param name: unique in the backup and readable, e.g. ``qdrant/archon_vectors`` or ``memgraph/graph``.
        :param kind: what it is, e.g. ``collection-snapshot``, ``graph-export``, ``database-dump``.
        """
        ...

    def not_covered(self, store: StoreName, what: str) -> None:
        """Say in the manifest what this backup does not contain, and why."""
        ...


class ArtifactReader(Protocol):
    """A forward-only stream of one artifact; every byte it hands out has had its digest checked."""

    def read(self, size: int = -1) -> bytes: ...
    def close(self) -> None: ...
    def __enter__(self) -> ArtifactReader: ...
    def __exit__(self, *exc: object) -> None: ...


class Source(Protocol):
    """The artifacts of one complete backup."""

    @property
    def backup_id(self) -> str: ...

    @property
    def versions(self) -> dict[str, str]:
        """Versions of the servers the backup was made on, by store name, as :attr:`Description.version`."""
        ...

    def artifacts(self, store: StoreName) -> Sequence[Artifact]:
        """The artifacts of a store, in the order they were written."""
        ...

    def open(self, artifact: Artifact) -> ArtifactReader:
        """Stream an artifact; raises :class:`~archon_dagster.errors.DamagedBackup` where a byte is not as written."""
        ...


class Store(Protocol):
    """One of the four stores. Construction never touches the network."""

    name: StoreName

    def describe(self) -> Description: ...
    def fingerprint(self, work: Work) -> Fingerprint: ...
    def export(self, sink: Sink, work: Work) -> None: ...
    def verify(self, source: Source, work: Work) -> Iterable[Verdict]: ...
    def preflight(self, source: Source, work: Work) -> None: ...
    def restore(self, source: Source, work: Work) -> None: ...
