"""Take a backup out of the repository so that it can be put back, and marks that forbid it.

Removing moves the manifest: a copy under ``removed/`` is durable before the original goes, so at any instant one of the
two is there. What is under ``removed/`` still holds its chunks; only when it is older than the grace period does it go,
with the records of its checks, and only then are chunks that nobody else has collected
(:mod:`archon_dagster.repository.collection`).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict, ValidationError

from archon_dagster.errors import BackupNotFound
from archon_dagster.repository import manifest_file
from archon_dagster.repository.backends.base import Backend, ObjectInfo, ObjectNotFound, ObjectUnreadable
from archon_dagster.repository.manifest import Manifest
from archon_dagster.repository.names import is_backup_id, manifest_key

REMOVED, KEEPS = "removed/", "keeps/"


class Keep(BaseModel):
    """The content of ``keeps/<backup id>.json``: the backup stays until somebody takes the mark away."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    since: datetime
    by: str = ""
    note: str = ""


# marks


def mark(backend: Backend, backup_id: str, keep: Keep) -> None:
    """Forbid the removal of a backup, durably."""
    backend.put(_key(KEEPS, backup_id), keep.model_dump_json().encode())
    backend.barrier()


def unmark(backend: Backend, backup_id: str) -> bool:
    """Allow it again; whether there was a mark."""
    there = is_marked(backend, backup_id)
    backend.delete(_key(KEEPS, backup_id))
    backend.barrier()
    return there


def is_marked(backend: Backend, backup_id: str) -> bool:
    return backend.exists(_key(KEEPS, backup_id)) is not None


def marks(backend: Backend) -> dict[str, Keep]:
    """Every mark by backup; one that cannot be read is a mark all the same."""
    return {backup_id: _keep_of(backend, info) for backup_id, info in _listed(backend, KEEPS)}


def _keep_of(backend: Backend, info: ObjectInfo) -> Keep:
    try:
        return Keep.model_validate_json(backend.get(info.key, limit=64 << 10).data)
    except (ObjectNotFound, ObjectUnreadable, ValidationError):
        return Keep(since=info.modified, note="this mark cannot be read, and counts")


# removal


def removed(backend: Backend) -> dict[str, ObjectInfo]:
    """What was removed and can still be put back; ``modified`` is when."""
    return dict(_listed(backend, REMOVED))


def remove(backend: Backend, backup_id: str) -> None:
    """Move the manifest aside. Call it with the lock held, right after a look at the mark."""
    raw = backend.get(manifest_key(backup_id), limit=manifest_file.LARGEST).data
    manifest_file.decode(backup_id, raw)  # what is damaged is left where it is
    backend.put(_key(REMOVED, backup_id), raw)
    backend.barrier()
    backend.delete(manifest_key(backup_id))
    backend.barrier()


def put_back(backend: Backend, backup_id: str) -> Manifest:
    """Undo a removal; the lock must be held. The chunks are there as long as the manifest is under ``removed/``."""
    manifest = manifest_of_removed(backend, backup_id)
    if backend.exists(manifest_key(backup_id)) is None:
        backend.put(manifest_key(backup_id), manifest_file.encode(manifest), if_absent=True)
        backend.barrier()
    backend.delete(_key(REMOVED, backup_id))
    return manifest


def manifest_of_removed(backend: Backend, backup_id: str) -> Manifest:
    """The manifest of a removed backup, proven."""
    try:
        raw = backend.get(_key(REMOVED, backup_id), limit=manifest_file.LARGEST).data
    except ObjectNotFound as error:
        there = ", ".join(sorted(removed(backend))[-8:]) or "none"
        raise BackupNotFound(
            f"there is no removed backup {backup_id}",
            where=backend.describe(),
            tried=f"those that can be put back: {there}",
            todo="after the grace period a removal is final",
        ) from error
    return manifest_file.decode(backup_id, raw)


def forget_expired(backend: Backend, grace: timedelta) -> list[str]:
    """Make removals final that are older than the grace period; which. The records go first, so that a backup whose
    records are left is never taken for one that vanished."""
    now, gone = backend.now(), []
    for backup_id, info in removed(backend).items():
        if now - info.modified < grace:
            continue
        if backend.exists(manifest_key(backup_id)) is None:  # else the removal was interrupted, and has not happened
            for record in list(backend.list(f"verifications/{backup_id}/")):
                backend.delete(record.key)
            gone.append(backup_id)
        backend.barrier()
        backend.delete(info.key)
    backend.barrier()
    return gone


def _listed(backend: Backend, folder: str) -> Iterator[tuple[str, ObjectInfo]]:
    for info in backend.list(folder):
        name, _, extension = info.key.removeprefix(folder).partition(".")
        if is_backup_id(name) and extension == "json":
            yield name, info


def _key(folder: str, backup_id: str) -> str:
    return f"{folder}{backup_id}.json"
