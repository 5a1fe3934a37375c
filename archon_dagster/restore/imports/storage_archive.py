"""A ``tar`` of Qdrant's storage directory, read from beginning to end: is the archive whole, and what is in it?"""

from __future__ import annotations

import gzip
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, cast

from archon_dagster.stores.base import Progress, Work

_BLOCK = 1 << 20


@dataclass(frozen=True)
class Archive:
    """:param damage: why it cannot be read to its end; ``None`` where it can.

    :param collections: names of the collections whose configuration is in it.
    """

    members: int
    collections: tuple[str, ...]
    damage: str | None = None


def read_archive(path: Path, work: Work) -> Archive:
    """Read all of it, in bounded memory; nothing is written."""
    if not path.stat().st_size:
        return Archive(0, (), "the file is empty: the command that should have written it failed")
    members, collections = 0, list[str]()
    try:
        with _unpacked(path) as stream:
            with tarfile.open(fileobj=stream, mode="r|") as tar:
                for member in tar:
                    members += 1
                    name = _collection(member.name)
                    collections += [name] if name is not None else []
                    _drain(tar, member, work)
            while stream.read(_BLOCK):  # what follows the last member, up to the checksum of the whole
                work.check()
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        return Archive(members, tuple(collections), f"the archive breaks off after {members} files: {error}")
    return Archive(members, tuple(sorted(collections)))


@contextmanager
def _unpacked(path: Path) -> Iterator[IO[bytes]]:
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        yield cast("IO[bytes]", gzip.GzipFile(fileobj=raw)) if packed else raw


def _drain(tar: tarfile.TarFile, member: tarfile.TarInfo, work: Work) -> None:
    stream = tar.extractfile(member) if member.isreg() else None
    done = 0
    while stream is not None and (data := stream.read(_BLOCK)):
        work.check()
        done += len(data)
        work.report(Progress("vectors", f"read {member.name}", done, member.size))


def _collection(name: str) -> str | None:
    """``archon_vectors`` of ``storage/collections/archon_vectors/config.json``."""
    parts = PurePosixPath(name).parts
    is_config = len(parts) >= 3 and parts[-3] == "collections" and parts[-1] == "config.json"
    return parts[-2] if is_config else None
