"""Which backups there are.

A listing must be fast with a thousand backups whose manifests are megabytes each, so what a listing shows is kept in
``cache/backups.json`` together with the identity of the manifest it was read from. The cache is only ever a short-cut:
a manifest that is new, or not the one that was summarised, is read.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from archon_dagster.errors import RepositoryError
from archon_dagster.repository import manifest_file
from archon_dagster.repository.backends.base import Backend, ObjectInfo, ObjectNotFound
from archon_dagster.repository.manifest import BackupKind, Manifest
from archon_dagster.repository.names import is_backup_id, manifest_key, marker_key

CACHE_KEY = "cache/backups.json"
_log = logging.getLogger(__name__)

State = Literal["complete", "running", "incomplete", "damaged"]


class Summary(BaseModel):
    """What a listing shows of a manifest."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    kind: BackupKind
    created: datetime
    duration: float
    stores: tuple[str, ...]
    artifacts: int
    bytes_read: int
    bytes_added: int
    consistent: bool
    not_covered: int
    note: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the listing. ``summary`` is there for complete backups only; ``detail`` says what is wrong."""

    id: str
    state: State
    created: datetime
    summary: Summary | None = None
    detail: str = ""


class Marker(BaseModel):
    """The content of ``backups/<id>.incomplete``."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    kind: BackupKind
    started: datetime
    holder: str
    host: str
    pid: int
    fence: int


class _Cached(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    etag: str
    summary: Summary


def summarise(manifest: Manifest) -> Summary:
    """The summary of a manifest."""
    return Summary(
        kind=manifest.kind,
        created=manifest.created,
        duration=manifest.duration,
        stores=manifest.stores,
        artifacts=len(manifest.artifacts),
        bytes_read=manifest.bytes_read,
        bytes_added=manifest.bytes_added,
        consistent=manifest.window.consistent,
        not_covered=len(manifest.not_covered),
        note=manifest.note,
    )


class Catalogue:
    """The backups of one repository."""

    def __init__(self, backend: Backend):
        self._backend = backend
        self._cache: dict[str, _Cached] = {}

    def describe(self) -> str:
        """Where the backups are, for messages."""
        return self._backend.describe()

    def entries(self, running_fence: int | None = None) -> list[Entry]:
        """Every backup and every leftover of one, newest first.

        :param running_fence: the fencing counter of whoever holds the lock: its unfinished backup is *running*.
        """
        manifests, markers = self._listed()
        self._load_cache(manifests)
        found = [self._complete(backup_id, info) for backup_id, info in manifests.items()]
        found += [self._unfinished(backup_id, running_fence) for backup_id in markers if backup_id not in manifests]
        return sorted(found, key=lambda entry: (entry.created, entry.id), reverse=True)

    def markers(self) -> list[str]:
        """The ids of everything that has a marker, finished or not."""
        return self._listed()[1]

    def marker(self, backup_id: str) -> Marker | None:
        """What a marker says; ``None`` where it is gone or unreadable."""
        try:
            return Marker.model_validate_json(self._backend.get(marker_key(backup_id), limit=1 << 20).data)
        except (ObjectNotFound, ValidationError):
            return None

    def manifest(self, backup_id: str) -> Manifest:
        """The manifest of a complete backup, proven."""
        return manifest_file.decode(backup_id, self._backend.get(manifest_key(backup_id)).data)

    def remember(self, manifest: Manifest) -> None:
        """Summarise a manifest that was just written, so that it need not be read again."""
        info = self._backend.exists(manifest_key(manifest.id))
        if info is not None:
            self._cache[manifest.id] = _Cached(etag=info.etag, summary=summarise(manifest))

    def save_cache(self) -> None:
        """Write the summaries for the next process. A failure costs time, not data, so it is only logged."""
        try:
            self.entries()
            manifests, _ = self._listed()
            self._cache = {key: value for key, value in self._cache.items() if key in manifests}
            data = json.dumps({key: value.model_dump(mode="json") for key, value in self._cache.items()}).encode()
            self._backend.put(CACHE_KEY, data)
        except RepositoryError as error:
            _log.warning("the listing's cache could not be written: %s", error)

    def _listed(self) -> tuple[dict[str, ObjectInfo], list[str]]:
        manifests: dict[str, ObjectInfo] = {}
        markers: list[str] = []
        for info in self._backend.list("backups/"):
            name, _, extension = info.key.removeprefix("backups/").partition(".")
            if is_backup_id(name) and extension == "json":
                manifests[name] = info
            elif is_backup_id(name) and extension == "incomplete":
                markers.append(name)
        return manifests, markers

    def _load_cache(self, manifests: dict[str, ObjectInfo]) -> None:
        if not any(backup_id not in self._cache for backup_id in manifests):
            return
        try:
            raw = json.loads(self._backend.get(CACHE_KEY).data)
            stored = {key: _Cached.model_validate(value) for key, value in raw.items()}
        except (ObjectNotFound, ValueError, AttributeError):
            return  # no cache, or garbage: every manifest is read
        self._cache = {**stored, **self._cache}

    def _complete(self, backup_id: str, info: ObjectInfo) -> Entry:
        cached = self._cache.get(backup_id)
        if cached is None or cached.etag != info.etag:
            try:
                cached = _Cached(etag=info.etag, summary=summarise(self.manifest(backup_id)))
            except ObjectNotFound:
                return Entry(backup_id, "incomplete", _instant(backup_id), detail="deleted a moment ago")
            except RepositoryError as error:
                self._cache.pop(backup_id, None)
                return Entry(backup_id, "damaged", _instant(backup_id), detail=error.what)
            self._cache[backup_id] = cached
        return Entry(backup_id, "complete", cached.summary.created, cached.summary)

    def _unfinished(self, backup_id: str, running_fence: int | None) -> Entry:
        marker = self.marker(backup_id)
        if marker is None:
            return Entry(backup_id, "incomplete", _instant(backup_id), detail="begun and never finished")
        by = f"process {marker.pid} on {marker.host}, {marker.started:%Y-%m-%d %H:%M:%S} UTC"
        if marker.fence == running_fence:
            return Entry(backup_id, "running", marker.started, detail=f"being written by {by}")
        return Entry(backup_id, "incomplete", marker.started, detail=f"begun by {by} and never finished")


def _instant(backup_id: str) -> datetime:
    try:
        return datetime.strptime(backup_id[:16], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:  # digits that are no date
        return datetime.fromtimestamp(0, UTC)
