"""A collection snapshot as a tar in the real server's layout, and back to directories.

```
0/segments/<uuid>.tar   nested tars with members under snapshot/files/
0/newest_clocks.json …  0/wal/*  0/replica_state.json  0/shard_config.json
version.info  config.json  shard_key_mapping.json  payload_index.json
```
"""

import contextlib
import shutil
from pathlib import Path

from archon_dagster.sandbox.vectors import files, tarball
from archon_dagster.sandbox.vectors.collection import CRATE_VERSION, SHARD, Collection, replica_state

CLOCKS = ("newest_clocks.json", "oldest_clocks.json", "applied_seq.json")
FILES = "snapshot/files"


def pack(collection: Collection, target: Path, scratch: Path) -> str:
    """Write a snapshot of a collection to ``target``; returns its SHA-256.

    Writers wait meanwhile, so that the segments and the log belong together. The same data give the same bytes.
    """
    with target.open("wb") as raw, collection.shard.frozen() as shard:
        file = tarball.HashingFile(raw)
        writer = tarball.TarWriter(file)
        _pack_segments(writer, shard, scratch)
        for name in CLOCKS:
            if (shard / name).exists():
                writer.add_file(f"{SHARD}/{name}", shard / name)
        for path in sorted((shard / "wal").iterdir()):
            writer.add_file(f"{SHARD}/wal/{path.name}", path)
        _pack_metadata(writer, collection)
        writer.close()
    return file.digest.hexdigest()


def _pack_segments(writer: tarball.TarWriter, shard: Path, scratch: Path) -> None:
    for segment in sorted(path for path in (shard / "segments").iterdir() if path.is_dir()):
        nested = scratch / f"{segment.name}.tar"
        with nested.open("wb") as file:
            inner = tarball.TarWriter(file)
            for path in sorted(path for path in segment.rglob("*") if path.is_file()):
                inner.add_file(f"{FILES}/{path.relative_to(segment)}", path)
            inner.close()
        writer.add_stored(f"{SHARD}/segments/{nested.name}", nested)
        nested.unlink()


def _pack_metadata(writer: tarball.TarWriter, collection: Collection) -> None:
    contents = {
        f"{SHARD}/replica_state.json": files.compact(replica_state(collection.peer)),
        f"{SHARD}/shard_config.json": files.compact({"type": "ReplicaSet"}),
        "version.info": CRATE_VERSION.encode(),
        "config.json": files.compact(collection.config),
        "shard_key_mapping.json": b"[]",
        "payload_index.json": files.compact({"schema": collection.schema}),
    }
    for name, content in contents.items():
        writer.add_bytes(name, content)


def unpack(archive: Path, target: Path) -> None:
    """A snapshot as directories that the engine can load.

    :raises tarball.Malformed: it, or a tar inside it, is not a tar or is truncated.
    """
    tarball.unpack(archive, target)
    for nested in sorted(target.glob("*/segments/*.tar")):
        _unpack_segment(nested)


def _unpack_segment(nested: Path) -> None:
    whole = nested.with_suffix(".unpacked")
    tarball.unpack(nested, whole)
    inner = whole / FILES
    with contextlib.suppress(FileNotFoundError):  # an empty segment tar: the loader says what is missing
        inner.rename(nested.with_suffix(""))
    shutil.rmtree(whole)
    nested.unlink()
