"""Garbage collection: chunks that no backup needs any more.

A chunk goes when no manifest names it, neither one of a backup nor one under ``removed/`` that can still be put back,
and when it is older than the grace period (a backup that was killed has left younger ones, and the next one finds them
useful). Call everything here with the platform lock held, which is what keeps it safe beside backups:

* no backup runs meanwhile: it would need the same lock, and each lists the chunks anew once it has it;
* a backup that lost its lock while it slept cannot be sealed: it proves its lease before *and* after its manifest is
  created, and takes the manifest back where the lease has run out in between;
* before each batch the lease is proven, so a collection that slept stops before it deletes anything more.

Where it is not known what a backup needs, because its manifest is damaged, missing or of a newer format, nothing is
collected at all. An interrupted collection leaves chunks that the next one removes.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta

from archon_dagster.errors import RepositoryError
from archon_dagster.repository import manifest_file
from archon_dagster.repository.backends.base import Backend, ObjectInfo
from archon_dagster.repository.catalogue import Entry
from archon_dagster.repository.chunks import SUSPECTS
from archon_dagster.repository.lock import Lease
from archon_dagster.repository.manifest import Manifest
from archon_dagster.repository.removal import manifest_of_removed, removed
from archon_dagster.stores.base import Work

_THREADS = 16
_BATCH = 256  # chunks between two proofs that the lock is ours
_MOST = 200_000  # chunks of one run; their names must fit into memory, and a backup must not wait for long
_UNKNOWN = ("damaged", "newer", "missing")


@dataclass(frozen=True, slots=True)
class Collected:
    """What a collection came to. ``left``: chunks that nobody needs and that the next one removes (too young, or no
    time was left)."""

    chunks: int = 0
    size: int = 0
    left: int = 0


def require_known(where: str, entries: Iterable[Entry]) -> None:
    """:class:`RepositoryError` where it is not known what some backup needs."""
    unknown = [f"{entry.id} is {entry.state}: {entry.detail}" for entry in entries if entry.state in _UNKNOWN]
    if unknown:
        raise RepositoryError(
            "nothing was removed, because it is not known which chunks every backup needs",
            where=where,
            tried="; ".join(unknown[:5]),
            todo="put the file back from a copy of the repository; if that backup is given up: remove its "
            "backups/<id>.json and verifications/<id>, then run this again",
        )


def needed(backend: Backend, backups: Iterable[str], work: Work) -> set[bytes]:
    """The names of all chunks of these backups and of those that can be put back; 100 bytes of memory each."""
    names: set[bytes] = set()
    for manifest in _manifests(backend, backups, work):
        for artifact in manifest.artifacts:
            names.update(bytes.fromhex(chunk.sha256) for chunk in artifact.chunks)
    return names


def held_only_by(backend: Backend, going: Iterable[str], kept: Iterable[str], work: Work) -> int:
    """Stored bytes that would be free once these backups are gone for good and the others are kept."""
    theirs = {
        bytes.fromhex(chunk.sha256)
        for manifest in _read(backend, going, work)
        for artifact in manifest.artifacts
        for chunk in artifact.chunks
    }
    theirs -= needed(backend, kept, work) if theirs else set()
    return sum(info.size for name, info in _chunks(backend) if name in theirs) if theirs else 0


def absent_chunks(backend: Backend, backups: Sequence[str], work: Work) -> dict[str, int]:
    """How many chunks each of these backups names that are not stored; those that are whole are left out."""
    wanted = {manifest.id: manifest for manifest in _read(backend, backups, work)}
    there = {name for name, _ in _chunks(backend)}
    found = {
        backup_id: len({chunk.sha256 for a in manifest.artifacts for chunk in a.chunks
                        if bytes.fromhex(chunk.sha256) not in there})
        for backup_id, manifest in wanted.items()
    }  # fmt: skip
    return {backup_id: count for backup_id, count in found.items() if count}


def collect(
    backend: Backend, entries: Sequence[Entry], lease: Lease, work: Work, *, grace: timedelta, limit: float
) -> Collected:
    """Remove chunks that nobody needs and that are older than the grace period.

    :param entries: the catalogue as it is now. :param limit: seconds; what is left then waits for the next run.
    :raises RepositoryError: it is not known what some backup needs; nothing was removed.
    """
    require_known(backend.describe(), entries)
    deadline = time.monotonic() + limit
    used = needed(backend, [entry.id for entry in entries if entry.state == "complete"], work)
    old: list[ObjectInfo] = []
    young = 0
    now = backend.now()
    for name, info in _chunks(backend):
        if name in used:
            continue
        if now - info.modified >= grace and len(old) < _MOST:
            old.append(info)
        else:
            young += 1
    done = size = 0
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="collect") as threads:
        for start in range(0, len(old), _BATCH):
            work.check()
            if time.monotonic() > deadline:
                break
            lease.renew(work.check)
            batch = old[start : start + _BATCH]
            for _ in threads.map(lambda info: _remove(backend, info), batch):
                done += 1
            size += sum(info.size for info in batch)
    return Collected(done, size, young + len(old) - done)


def _remove(backend: Backend, info: ObjectInfo) -> None:
    backend.delete(info.key)
    backend.delete(SUSPECTS + info.key[-64:])


def _chunks(backend: Backend) -> Iterator[tuple[bytes, ObjectInfo]]:
    for info in backend.list("chunks/"):
        try:
            yield bytes.fromhex(info.key[-64:]), info
        except ValueError:
            continue  # none of ours: left alone


def _manifests(backend: Backend, backups: Iterable[str], work: Work) -> Iterator[Manifest]:
    yield from _read(backend, backups, work)
    for backup_id in removed(backend):
        work.check()
        yield manifest_of_removed(backend, backup_id)


def _read(backend: Backend, backups: Iterable[str], work: Work) -> Iterator[Manifest]:
    for backup_id in backups:
        work.check()
        yield manifest_file.read(backend, backup_id)
