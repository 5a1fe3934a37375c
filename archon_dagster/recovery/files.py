"""A server's files, handled from outside: copied aside while it runs, moved aside while it does not, never deleted."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from archon_dagster.errors import ServiceError

MARGIN = 64 << 20  # bytes that stay free beside a copy


def copy_aside(
    source: Path,
    target: Path,
    check: Callable[[], None],
    setting: str = "ARCHON_MEMGRAPH_DATA",
    spare: float = 0.0,
) -> int:
    """Copy a directory; all of it or nothing. Returns the bytes; 0 where the copy is there already.

    Files that vanish while a server works on them are left out.

    :param check: called before each file; raises to stop. :param setting: what says where the directory is.
    :param spare: which share of the disk has to stay free beside it.
    """
    if target.exists():
        return 0
    if not source.is_dir():
        raise ServiceError("there is no such data directory", where=str(source), todo=f"correct {setting}")
    size = size_of(source)
    target.parent.mkdir(parents=True, exist_ok=True)
    disk = shutil.disk_usage(target.parent)
    free = disk.free
    if free < size + max(MARGIN, disk.total * spare):
        raise ServiceError(
            f"{size:,} bytes do not fit beside what is there ({free:,} are free)",
            where=str(target.parent),
            todo="make room there, or copy the directory elsewhere by hand before the server is stopped",
        )
    part = target.with_name(f"{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)

    def one(file: str, to: str) -> str:
        check()
        try:
            return str(shutil.copy2(file, to))
        except FileNotFoundError:
            return to

    try:
        shutil.copytree(source, part, copy_function=one, symlinks=True)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    part.replace(target)
    return size


def set_aside(storage: Path, collections: Iterable[str], mark: str) -> list[Path]:
    """Move collections out of a vector server's storage, on the same disk; the server does not run meanwhile.

    What was moved already is passed over, so that it can be done again after a crash.
    """
    moved = []
    for name in collections:
        source, target = collection(storage, name), storage / "set-aside" / mark / name
        if target.exists() and not source.exists():
            moved.append(target)
            continue
        if not source.is_dir():
            raise ServiceError(
                f"there are no files of the collection {name}", where=str(source), todo="correct ARCHON_QDRANT_STORAGE"
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        source.rename(_free(target))
        moved.append(target)
    return moved


def collection(storage: Path, name: str) -> Path:
    """Where a vector server keeps a collection; :class:`ServiceError` where that is no name of one."""
    if name in ("", ".", "..") or "/" in name:
        raise ServiceError(f"{name!r} is no name of a collection", where=str(storage))
    return storage / "collections" / name


def size_of(directory: Path) -> int:
    """Bytes of all files below."""
    total = 0
    for path in directory.rglob("*"):
        try:
            total += path.lstat().st_size if path.is_file() else 0
        except OSError:
            continue
    return total


def _free(target: Path) -> Path:
    """A name that is not taken: a collection may have to be set aside twice."""
    number, candidate = 2, target
    while candidate.exists():
        candidate, number = target.with_name(f"{target.name}.{number}"), number + 1
    return candidate
