"""Which backups there are.

A listing must be fast with a thousand backups whose manifests are megabytes each, so what a listing shows is kept in
``cache/backups.json`` together with the identity of the manifest it was read from. The cache is only ever a short-cut:
a manifest that is new, or not the one that was summarised, is read. The same holds for what the checks of a backup come
to: it is read again when another record was added.

A manifest somebody deleted leaves the records of its checks: such a backup is listed as *missing*, because a backup
that vanishes without a word is the one that is looked for on the worst day.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from archon_dagster.errors import DamagedBackup, RepositoryError
from archon_dagster.repository import manifest_file
from archon_dagster.repository.backends.base import Backend, ObjectInfo, ObjectNotFound, ObjectUnreadable
from archon_dagster.repository.check_state import FINISHED, CheckState, state_of
from archon_dagster.repository.manifest import BackupKind, Manifest
from archon_dagster.repository.manifest_file import NewerFormat
from archon_dagster.repository.names import instant_of, is_backup_id, manifest_key, marker_key
from archon_dagster.repository.removal import removed
from archon_dagster.repository.verification import check_of, list_records, read_records

CACHE_KEY = "cache/backups.json"
_LARGEST_CACHE = 256 << 20
_THREADS = 16  # manifests and records read at once: on a distant storage each takes a round trip
_log = logging.getLogger(__name__)

State = Literal["complete", "running", "incomplete", "damaged", "newer", "missing"]


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
    """One line of the listing. ``summary`` is there for complete backups only; ``detail`` says what is wrong.

    ``checks`` is there where it was asked for, see :meth:`Catalogue.with_checks`.
    """

    id: str
    state: State
    created: datetime
    summary: Summary | None = None
    detail: str = ""
    checks: CheckState | None = None


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
    records: str = ""  # digest of the records that ``checks`` sums up
    checks: CheckState | None = None


_CACHE = TypeAdapter(dict[str, _Cached])


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
        """Every backup and every leftover of one, newest first: in the order of the ids, which no clock can disturb.

        :param running_fence: the fencing counter of whoever holds the lock: its unfinished backup is *running*.
        """
        manifests, markers, _ = self._listed()
        self._load_cache(manifests)
        found = self._complete_ones(manifests)
        found += [self._unfinished(backup_id, running_fence) for backup_id in markers if backup_id not in manifests]
        found += self._missing({*manifests, *markers})
        return sorted(found, key=lambda entry: entry.id, reverse=True)

    def with_checks(self, entries: Sequence[Entry]) -> list[Entry]:
        """The entries, the complete ones with what their checks come to."""
        records = list_records(self._backend)
        complete = {entry.id: records.get(entry.id, {}) for entry in entries if entry.state == "complete"}
        states = {key: self._known_checks(key, listed) for key, listed in complete.items()}
        unknown = [key for key, state in states.items() if state is None]
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="checks") as threads:
            read = list(threads.map(lambda key: self._read_checks(key, complete[key]), unknown))
        states.update(zip(unknown, read, strict=True))
        return [replace(entry, checks=states.get(entry.id)) for entry in entries]

    def foreign(self) -> list[str]:
        """What lies among the manifests and is none of ours; it is left alone."""
        return sorted(self._listed()[2])

    def markers(self) -> list[str]:
        """The ids of everything that has a marker, finished or not."""
        return self._listed()[1]

    def marker(self, backup_id: str) -> Marker | None:
        """What a marker says; ``None`` where it is gone or unreadable."""
        try:
            return Marker.model_validate_json(self._backend.get(marker_key(backup_id), limit=1 << 20).data)
        except (ObjectNotFound, ObjectUnreadable, ValidationError):
            return None

    def manifest(self, backup_id: str) -> Manifest:
        """The manifest of a complete backup, proven."""
        return manifest_file.read(self._backend, backup_id)

    def remember(self, manifest: Manifest) -> None:
        """Summarise a manifest that was just written, so that it need not be read again."""
        info = self._backend.exists(manifest_key(manifest.id))
        if info is not None:
            self._cache[manifest.id] = _Cached(etag=info.etag, summary=summarise(manifest))

    def save_cache(self) -> None:
        """Write the summaries for the next process. A failure costs time, not data, so it is only logged."""
        try:
            there = {entry.id for entry in self.with_checks(self.entries()) if entry.state == "complete"}
            self._cache = {key: value for key, value in self._cache.items() if key in there}
            self._backend.put(CACHE_KEY, _CACHE.dump_json(self._cache))
        except RepositoryError as error:
            _log.warning("the listing's cache could not be written: %s", error)

    def _listed(self) -> tuple[dict[str, ObjectInfo], list[str], list[str]]:
        """The manifests, the ids of the markers, and the keys of everything else."""
        manifests: dict[str, ObjectInfo] = {}
        markers: list[str] = []
        foreign: list[str] = []
        for info in self._backend.list("backups/"):
            name, _, extension = info.key.removeprefix("backups/").partition(".")
            if is_backup_id(name) and extension == "json":
                manifests[name] = info
            elif is_backup_id(name) and extension == "incomplete":
                markers.append(name)
            else:
                foreign.append(info.key)
        return manifests, markers, foreign

    def _load_cache(self, manifests: dict[str, ObjectInfo]) -> None:
        if not any(backup_id not in self._cache for backup_id in manifests):
            return
        try:
            stored = _CACHE.validate_json(self._backend.get(CACHE_KEY, limit=_LARGEST_CACHE).data)
        except (ObjectNotFound, ObjectUnreadable, ValidationError):
            return  # no cache, or garbage: every manifest is read
        self._cache = {**stored, **self._cache}

    def _complete_ones(self, manifests: dict[str, ObjectInfo]) -> list[Entry]:
        unknown = {key: info for key, info in manifests.items() if not self._is_known(key, info)}
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="manifests") as threads:
            read = dict(zip(unknown, threads.map(self._complete, unknown, unknown.values()), strict=True))
        return [read.get(key) or self._complete(key, info) for key, info in manifests.items()]

    def _is_known(self, backup_id: str, info: ObjectInfo) -> bool:
        cached = self._cache.get(backup_id)
        return cached is not None and cached.etag == info.etag

    def _complete(self, backup_id: str, info: ObjectInfo) -> Entry:
        cached = self._cache.get(backup_id)
        if cached is None or cached.etag != info.etag:
            try:
                cached = _Cached(etag=info.etag, summary=summarise(self.manifest(backup_id)))
            except ObjectNotFound:
                return Entry(backup_id, "incomplete", instant_of(backup_id), detail="deleted a moment ago")
            except (DamagedBackup, NewerFormat) as error:
                self._cache.pop(backup_id, None)
                state: State = "newer" if isinstance(error, NewerFormat) else "damaged"
                return Entry(backup_id, state, instant_of(backup_id), detail=error.what)
            self._cache[backup_id] = cached
        return Entry(backup_id, "complete", cached.summary.created, cached.summary)

    def _unfinished(self, backup_id: str, running_fence: int | None) -> Entry:
        marker = self.marker(backup_id)
        if marker is None:
            return Entry(backup_id, "incomplete", instant_of(backup_id), detail="begun and never finished")
        by = f"process {marker.pid} on {marker.host}, {marker.started:%Y-%m-%d %H:%M:%S} UTC"
        if marker.fence == running_fence:
            return Entry(backup_id, "running", marker.started, detail=f"being written by {by}")
        return Entry(backup_id, "incomplete", marker.started, detail=f"begun by {by} and never finished")

    def _missing(self, there: Iterable[str]) -> list[Entry]:
        """Backups of which only the records of checks are left. The one record that is written before the manifest
        proves nothing: such a backup may never have been sealed."""
        gone = {
            backup_id: [key for key in records if check_of(key) != FINISHED]
            for backup_id, records in list_records(self._backend).items()
            if backup_id not in there
        }
        on_purpose = removed(self._backend) if any(gone.values()) else {}
        return [
            Entry(backup_id, "missing", instant_of(backup_id), detail=_gone(backup_id, len(records)))
            for backup_id, records in gone.items()
            if records and backup_id not in on_purpose
        ]

    def _known_checks(self, backup_id: str, records: dict[str, ObjectInfo]) -> CheckState | None:
        cached = self._cache.get(backup_id)
        return cached.checks if cached is not None and cached.records == _digest(records) else None

    def _read_checks(self, backup_id: str, records: dict[str, ObjectInfo]) -> CheckState:
        checks = state_of(read_records(self._backend, records.values()))
        cached = self._cache.get(backup_id)
        if cached is not None and not checks.unreadable:  # what cannot be read now may be readable next time
            self._cache[backup_id] = cached.model_copy(update={"records": _digest(records), "checks": checks})
        return checks


def _digest(records: dict[str, ObjectInfo]) -> str:
    """Another one as soon as a record was added, removed or changed."""
    return hashlib.sha256(repr(sorted((key, info.etag) for key, info in records.items())).encode()).hexdigest()


def _gone(backup_id: str, records: int) -> str:
    return (
        f"its manifest {manifest_key(backup_id)} is missing, {records} results of its checks are left: put the file "
        f"back from a copy of the repository, or remove verifications/{backup_id} if it was deleted on purpose"
    )
