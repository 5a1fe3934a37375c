"""Snapshot files: create, list, find, delete.

Names have a resolution of one second: a second snapshot within it replaces the first. Created snapshots have their
checksum in a file beside them; uploaded ones stay in the same directory, without one.
"""

import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from archon_dagster.sandbox.vectors import files, packing
from archon_dagster.sandbox.vectors.body import Json
from archon_dagster.sandbox.vectors.collection import Collection
from archon_dagster.sandbox.vectors.errors import NotFound
from archon_dagster.sandbox.vectors.registry import Registry

CHECKSUM = ".checksum"


def directory(registry: Registry, collection: str) -> Path:
    return registry.snapshots / collection


def create(registry: Registry, collection: Collection) -> Json:
    """Take a snapshot; one at a time for each collection."""
    target_directory = directory(registry, collection.name)
    target_directory.mkdir(parents=True, exist_ok=True)
    with collection.snapshot_lock, tempfile.TemporaryDirectory(dir=registry.temporary, prefix="snapshot-") as scratch:
        instant = datetime.now(UTC).strftime("%Y-%m-%d-%H-%M-%S")
        name = f"{collection.name}-{collection.peer}-{instant}.snapshot"
        whole = Path(scratch) / name
        digest = packing.pack(collection, whole, Path(scratch))
        files.write_bytes(target_directory / f"{name}{CHECKSUM}", digest.encode())
        shutil.move(whole, target_directory / name)
        collection.snapshots_created += 1
    return described(target_directory / name)


def described(path: Path) -> Json:
    status = path.stat()
    created = datetime.fromtimestamp(status.st_mtime, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    answer: Json = {"name": path.name, "creation_time": created, "size": status.st_size}
    checksum = path.with_name(f"{path.name}{CHECKSUM}")
    if checksum.exists():
        answer["checksum"] = checksum.read_text()
    return answer


def listed(registry: Registry, collection: str) -> list[Json]:
    found = directory(registry, collection)
    if not found.is_dir():
        return []
    return [described(path) for path in sorted(found.iterdir()) if _is_snapshot(path)]


def _is_snapshot(path: Path) -> bool:
    try:
        is_file = path.is_file()
    except OSError:  # a name too long to be a file's
        return False
    return is_file and not path.name.endswith((CHECKSUM, f"{CHECKSUM}{files.UNFINISHED}"))


def find(registry: Registry, collection: str, name: str) -> Path:
    """The file of a snapshot; a name that leads out of the directory does not exist."""
    path = directory(registry, collection) / name
    if Path(name).name != name or not _is_snapshot(path):
        raise NotFound(f"Snapshot {name} not found")
    return path


def delete(registry: Registry, collection: str, name: str) -> None:
    path = find(registry, collection, name)
    path.unlink()
    path.with_name(f"{path.name}{CHECKSUM}").unlink(missing_ok=True)


def keep_upload(registry: Registry, collection: str, name: str, uploaded: Path) -> Path:
    """Move an uploaded file to where the real server leaves it."""
    safe = Path(name).name or "upload.snapshot"
    target_directory = directory(registry, collection)
    target_directory.mkdir(parents=True, exist_ok=True)
    target = target_directory / safe
    target.with_name(f"{safe}{CHECKSUM}").unlink(missing_ok=True)
    shutil.move(uploaded, target)
    return target
