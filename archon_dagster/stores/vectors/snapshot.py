"""Reading a collection snapshot without a server: is it whole, what does it say of itself, and its files on disk.

Layout (a tar; ``<n>`` is a shard)::

    <n>/segments/<uuid>.tar     nested tars, their files under snapshot/files/
    <n>/wal/*  <n>/replica_state.json  <n>/shard_config.json
    config.json  payload_index.json  shard_key_mapping.json  version.info

``version.info`` is the version of a library inside the server, not the server's: that one stands in the manifest.

``payload_index.json`` is what the *collection* believes its payload indexes to be. What it has, and shows, is in its
segments: servers before 1.15 restore the segments of a snapshot without telling the collection, so that the next
snapshot of a restored collection has its indexes in the segments only.
"""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from archon_dagster.errors import StoreError
from archon_dagster.stores.vectors.tarcheck import IncompleteTar, TarScanner

PIECE = 1 << 20
_SHARD = re.compile(r"^(\d+)/")
_SEGMENT = re.compile(r"^\d+/segments/[^/]+\.tar$")
_KEPT = re.compile(r"^(config\.json|payload_index\.json|\d+/replica_state\.json)$")
_ROCKSDB = ("snapshot/db_backup", "snapshot/payload_index_db_backup")
_INNER = "snapshot/files/"
_SEGMENT_INDEXES = f"{_INNER}payload_index/config.json"
_SEGMENT_FINAL = (f"{_INNER}segment.json", f"{_INNER}version.info")


class DamagedSnapshot(StoreError):
    """The file is not a whole, readable snapshot; says where it stops being one."""


@dataclass(frozen=True)
class Contents:
    """What a complete snapshot says of itself.

    :param config: its ``config.json``: vector parameters, graph, quantization, optimizer settings.
    :param indexes: the payload indexes its segments have, in the form of ``payload_index.json``.
    :param shards: shards whose data are in this file.
    :param remote_shards: shards that other nodes hold: their data are *not* here.
    :param rocksdb: segments of a server (before about 1.16) that kept part of them in RocksDB.
    """

    config: dict[str, Any]
    indexes: dict[str, Any]
    shards: tuple[str, ...]
    remote_shards: tuple[str, ...]
    rocksdb: bool


class SnapshotScanner:
    """Checks a snapshot while its bytes stream by; memory does not grow with the snapshot."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._tar = TarScanner(
            lambda m: bool(_KEPT.match(_clean(m))),
            lambda m: bool(_SEGMENT.match(_clean(m))),
            lambda m: _clean(m) == _SEGMENT_INDEXES,
        )

    def feed(self, data: bytes) -> None:
        """The next bytes; raises :class:`DamagedSnapshot` as soon as they cannot be part of a snapshot."""
        try:
            self._tar.feed(data)
        except IncompleteTar as error:
            raise self._damaged(str(error)) from error

    def close(self) -> Contents:
        """What it contains; raises :class:`DamagedSnapshot` when it is not complete."""
        try:
            self._tar.close()
        except IncompleteTar as error:
            raise self._damaged(str(error)) from error
        names = {_clean(member.name) for member in self._tar.members}
        kept = {_clean(name): data for name, data in self._tar.kept.items()}
        shards = sorted({m.group(1) for name in names if (m := _SHARD.match(name))}, key=int)
        required = ["config.json", "payload_index.json"]
        required += [f"{n}/{file}" for n in shards for file in ("shard_config.json", "replica_state.json")]
        if missing := [name for name in required if name not in names]:
            raise self._damaged(f"its final members are missing: {', '.join(missing)}")
        if not shards:
            raise self._damaged("it contains no shard")
        return self._contents(names, kept, shards)

    def _contents(self, names: set[str], kept: dict[str, bytes], shards: list[str]) -> Contents:
        local = [n for n in shards if self._json(kept, f"{n}/replica_state.json").get("is_local", True)]
        if without := [n for n in local if not any(name.startswith(f"{n}/wal/") for name in names)]:
            raise self._damaged(f"the write-ahead log of shard {', '.join(without)} is missing")
        segments = {name: {_clean(m.name) for m in inside.members} for name, inside in self._tar.inside.items()}
        for segment, members in segments.items():
            if cut := [name for name in _SEGMENT_FINAL if name not in members]:
                raise self._damaged(f"{segment} is incomplete: {', '.join(cut)} missing")
        return Contents(
            config=self._json(kept, "config.json"),
            indexes=self._indexes(self._json(kept, "payload_index.json").get("schema") or {}),
            shards=tuple(local),
            remote_shards=tuple(n for n in shards if n not in local),
            rocksdb=any(name.startswith(_ROCKSDB) for members in segments.values() for name in members),
        )

    def _indexes(self, believed: dict[str, Any]) -> dict[str, Any]:
        """Those of all segments together, as the server tells them; what the collection believes, if none says."""
        found: list[dict[str, Any]] = []
        for name, inside in self._tar.inside.items():
            kept = {_clean(member): data for member, data in inside.kept.items()}
            if _SEGMENT_INDEXES in kept:
                fields = self._json(kept, _SEGMENT_INDEXES, f"{name}: ").get("indexed_fields")
                found += [fields] if isinstance(fields, dict) else []
        return {field: schema for fields in found for field, schema in fields.items()} if found else believed

    def _json(self, kept: dict[str, bytes], name: str, inside: str = "") -> dict[str, Any]:
        try:
            value = json.loads(kept[name])
        except (KeyError, ValueError) as error:
            raise self._damaged(f"{inside}{name} in it is not readable: {error}") from error
        if not isinstance(value, dict):
            raise self._damaged(f"{inside}{name} in it is not an object")
        return value

    def _damaged(self, why: str) -> DamagedSnapshot:
        return DamagedSnapshot(
            f"the snapshot is damaged: {why}", where=self._name, todo="use another backup (archon backups)"
        )


def inspect(path: Path, check: Callable[[], None] = lambda: None) -> Contents:
    """Scan a snapshot file from end to end."""
    scanner = SnapshotScanner(path.name)
    with path.open("rb") as file:
        for piece in pieces(file, check):
            scanner.feed(piece)
    return scanner.close()


def unpack(path: Path, target: Path, check: Callable[[], None] = lambda: None) -> None:
    """Write the shards under ``target`` the way a running shard has them on disk: segments un-nested, holes kept.

    Only plain files and directories below ``target`` are ever made; anything else in the archive is damage.
    """
    with path.open("rb") as file, _opened(file, path.name) as outer:
        for member, source in _files(outer, path.name):
            check()
            if _SEGMENT.match(member.as_posix()):
                _unpack_segment(source, target / member.with_suffix(""), path.name, check)
            else:
                _write(outer, source, target / member, check)


def pieces(file: IO[bytes], check: Callable[[], None]) -> Iterator[bytes]:
    """The rest of a file in pieces, polling ``check`` before each."""
    while piece := file.read(PIECE):
        check()
        yield piece


def _unpack_segment(segment: IO[bytes], target: Path, name: str, check: Callable[[], None]) -> None:
    target.mkdir(parents=True, exist_ok=True)
    with _opened(segment, name) as inner:
        for member, source in _files(inner, name):
            check()
            below = member.as_posix().removeprefix(_INNER)
            _write(inner, source, target / below, check)


def _opened(file: IO[bytes], name: str) -> tarfile.TarFile:
    try:
        return tarfile.open(fileobj=file, mode="r:")
    except tarfile.TarError as error:
        raise DamagedSnapshot(f"not a tar: {error}", where=name) from error


def _files(archive: tarfile.TarFile, name: str) -> Iterator[tuple[PurePosixPath, IO[bytes]]]:
    """The plain files with their safe relative paths."""
    try:
        for member in archive:
            path = PurePosixPath(_clean(member.name))
            if path.is_absolute() or ".." in path.parts or not (member.isreg() or member.isdir()):
                raise DamagedSnapshot(f"member {member.name!r} does not belong in a snapshot", where=name)
            source = archive.extractfile(member) if member.isreg() else None
            if source is not None:
                with source:
                    yield path, source
    except (tarfile.TarError, EOFError) as error:
        raise DamagedSnapshot(f"the tar cannot be read: {error}", where=name) from error


def _write(archive: tarfile.TarFile, source: IO[bytes], target: Path, check: Callable[[], None]) -> None:
    """Copy one member; runs of zeros become holes, so that a preallocated file does not fill the disk."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as file:
        for piece in pieces(source, check):
            if piece.count(0) == len(piece):  # at memory speed; any() looks at every byte in Python
                file.seek(len(piece), 1)
            else:
                file.write(piece)
        file.truncate()


def _clean(name: str) -> str:
    return name.removeprefix("./").rstrip("/")
