"""An import into nothing: what a foreign backup would become, for a plan. All of it is read, and not a byte is kept."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from archon_dagster.repository.manifest import Artifact, Fingerprint, Manifest, Window
from archon_dagster.repository.names import new_backup_id
from archon_dagster.stores.base import STORES, Cut, StoreName


class Unkept:
    """A :class:`~archon_dagster.stores.base.Sink` that only remembers what it was told."""

    def __init__(self) -> None:
        self.begun = datetime.now(UTC)
        self._artifacts: list[Artifact] = []
        self._not_covered: list[str] = []

    @contextmanager
    def artifact(self, store: StoreName, name: str, kind: str, *, media_type: str, cut: Cut) -> Iterator[_Counted]:
        """See :meth:`archon_dagster.stores.base.Sink.artifact`."""
        out, start = _Counted(), datetime.now(UTC)
        yield out
        self._artifacts.append(
            Artifact(
                store=store, name=name, kind=kind, media_type=media_type, size=out.size, sha256=out.sha256, chunks=(),
                counts=out.counts, fingerprint=out.fingerprint, details=out.details, capture_start=start,
                capture_end=datetime.now(UTC),
            )
        )  # fmt: skip

    def not_covered(self, store: StoreName, what: str) -> None:
        """See :meth:`archon_dagster.stores.base.Sink.not_covered`."""
        self._not_covered.append(f"{store}: {what}")

    def manifest(self, window: Window, note: str) -> Manifest:
        """What would be sealed; no repository has a backup of this id."""
        there = {artifact.store for artifact in self._artifacts}
        return Manifest(
            id=new_backup_id(self.begun, None), kind="imported", created=self.begun, window=window, note=note,
            duration=(datetime.now(UTC) - self.begun).total_seconds(), artifacts=tuple(self._artifacts), versions={},
            stores=tuple(name for name in STORES if name in there), tool_version="", host="",
            bytes_read=sum(artifact.size for artifact in self._artifacts), bytes_added=0, chunks_added=0,
            not_covered=tuple(self._not_covered),
        )  # fmt: skip


class _Counted:
    """An :class:`~archon_dagster.stores.base.ArtifactWriter` whose bytes go nowhere."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.fingerprint: Fingerprint | None = None
        self.details: dict[str, Any] = {}
        self.size = 0
        self._digest = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self._digest.update(data)
        self.size += len(data)
        return len(data)

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()
