#!/usr/bin/env python3
"""Break-glass reader of a backup repository: needs Python 3.9 or newer and the package `zstandard`, nothing else.

    python extract.py list                               the complete backups in this repository
    python extract.py BACKUP_ID DIRECTORY                write a backup as plain files
    python extract.py … --repository PATH                where the repository is (default: beside this file)

Every chunk's and every file's SHA-256 is checked. Exit codes: 0 all well, 1 the backup is damaged, 2 wrong usage.

How a repository is laid out, should this file not run: `backups/<id>.json` is the manifest, `{"sha256": …,
"manifest": {"artifacts": [{"name": …, "chunks": [{"sha256": …, "size": …}, …]}, …]}}`. A chunk is in
`chunks/<first two digits>/<sha256>`: one byte encoding (0 plain, 1 zstd), four bytes length (big-endian), payload
(of zstd: four bytes CRC-32 of the frame, big-endian, then the frame).
The chunks of an artifact, one after the other, are the file.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import struct
import sys
import zlib
from pathlib import Path
from typing import Any

FORMAT = 1
LARGEST_CHUNK = 64 << 20
LARGEST_MANIFEST = 64 << 20
BACKUP_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{4}")
DIGEST = re.compile(r"[0-9a-f]{64}")
MANIFEST_START, MANIFEST_MIDDLE, MANIFEST_END = b'{"sha256":"', b'","manifest":', b"}\n"
EXTENSIONS = {
    "collection-snapshot": ".snapshot",
    "application/x-ndjson": ".jsonl",
    "application/jsonl": ".jsonl",
    "application/json": ".json",
    "application/x-tar": ".tar",
    "application/sql": ".sql",
    "application/vnd.apache.parquet": ".parquet",
    "application/x-cypher": ".cypher",
    "database-dump": ".dump",
}


class Damaged(Exception):
    """Something is not as it was written."""


class Usage(Exception):
    """The command line makes no sense."""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("backup", help="a backup id, or `list`")
    parser.add_argument("directory", nargs="?", type=Path, help="a new or empty directory")
    parser.add_argument("--repository", type=Path, default=Path(__file__).resolve().parent)
    options = parser.parse_args(arguments)
    try:
        if options.backup == "list":
            return list_backups(options.repository)
        if options.directory is None:
            raise Usage("where to? give a directory after the backup id")
        extract(options.repository, options.backup, options.directory)
    except Damaged as error:
        sys.stderr.write(f"damaged: {error}\n")
        return 1
    except (Usage, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0


def list_backups(repository: Path) -> int:
    """One line per backup; 1 where a manifest is damaged."""
    if not (repository / "backups").is_dir():
        raise Usage(f"{repository} is no backup repository, or holds no backup")
    code = 0
    for path in sorted((repository / "backups").glob("*.json")):
        if not BACKUP_ID.fullmatch(path.stem):
            continue
        try:
            manifest = read_manifest(repository, path.stem)
        except Damaged as error:
            code = 1
            sys.stdout.write(f"{path.stem}  DAMAGED  {error}\n")
            continue
        size = sum(artifact["size"] for artifact in manifest["artifacts"])
        sys.stdout.write(f"{path.stem}  {manifest['kind']:9}  {size:>15,} bytes  {', '.join(manifest['stores'])}\n")
    return code


def extract(repository: Path, backup_id: str, directory: Path) -> None:
    """Write every artifact; a file is there under its own name only when all of it was right."""
    if not BACKUP_ID.fullmatch(backup_id):
        raise Usage(f"{backup_id!r} is no backup id; `list` shows them")
    manifest = read_manifest(repository, backup_id)
    names = file_names(manifest["artifacts"])
    directory.mkdir(parents=True, exist_ok=True)
    if any(directory.iterdir()):
        raise Usage(f"{directory} is not empty")
    damage = []
    for artifact, name in zip(manifest["artifacts"], names):  # noqa: B905 (Python 3.9)
        try:
            write_artifact(repository, artifact, directory / name)
            sys.stdout.write(f"{directory / name}\n")
        except Damaged as error:
            damage.append(f"{artifact['name']}: {error}")
    (directory / "manifest.json").write_text(json.dumps(manifest, indent=2))
    if damage:
        raise Damaged("; ".join(damage) + ". Everything else was written.")


def write_artifact(repository: Path, artifact: dict[str, Any], target: Path) -> None:
    """Write one file."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".partial")
    digest = hashlib.sha256()
    try:
        with partial.open("xb") as stream:
            for chunk in artifact["chunks"]:
                plain = read_chunk(repository, chunk["sha256"], chunk["size"])
                digest.update(plain)
                stream.write(plain)
            stream.flush()
            os.fsync(stream.fileno())
        if digest.hexdigest() != artifact["sha256"]:
            raise Damaged(f"SHA-256 is {digest.hexdigest()}, must be {artifact['sha256']}")
        partial.rename(target)
    finally:
        if partial.exists():
            partial.unlink()


def read_chunk(repository: Path, sha256: str, size: int) -> bytes:
    """A chunk's plain bytes, proven."""
    label = f"chunk {sha256[:12]}"
    if not DIGEST.fullmatch(sha256) or not 0 <= size <= LARGEST_CHUNK:
        raise Damaged(f"{label}: the manifest's name or size for it is not possible")
    try:
        with (repository / "chunks" / sha256[:2] / sha256).open("rb") as stream:
            stored = stream.read(2 * LARGEST_CHUNK)
    except OSError as error:
        raise Damaged(f"{label} is missing or unreadable ({error.strerror})") from error
    if len(stored) < 5 or struct.unpack(">I", stored[1:5])[0] != len(stored) - 5:
        raise Damaged(f"{label} is truncated or has a broken header")
    plain = unpack(stored[0], stored[5:], size, label)
    if hashlib.sha256(plain).hexdigest() != sha256:
        raise Damaged(f"{label} has other content than was written")
    return plain


def unpack(encoding: int, payload: bytes, size: int, label: str) -> bytes:
    """Decode a chunk's payload, never into more bytes than expected."""
    if encoding == 0:
        return payload
    if encoding != 1:
        raise Damaged(f"{label} has encoding {encoding}, which this program cannot read")
    import zstandard

    frame = payload[4:]
    if struct.pack(">I", zlib.crc32(frame)) != payload[:4]:
        raise Damaged(f"{label} has other content than was written")
    try:
        if zstandard.frame_content_size(frame) != size:
            raise Damaged(f"{label} does not hold {size} bytes")
        return zstandard.ZstdDecompressor().decompress(frame, max_output_size=size)
    except zstandard.ZstdError as error:
        raise Damaged(f"{label} does not decompress: {error}") from error


def read_manifest(repository: Path, backup_id: str) -> dict[str, Any]:
    """A manifest, proven."""
    try:
        path = repository / "backups" / f"{backup_id}.json"
        if path.stat().st_size > LARGEST_MANIFEST:
            raise Damaged(f"the manifest of {backup_id} is larger than any manifest can be")
        raw = path.read_bytes()
    except FileNotFoundError:
        raise Usage(f"there is no complete backup {backup_id} in {repository}") from None
    start = len(MANIFEST_START)
    body = raw[start + 64 + len(MANIFEST_MIDDLE) : -len(MANIFEST_END)]
    framed = MANIFEST_START + hashlib.sha256(body).hexdigest().encode() + MANIFEST_MIDDLE + body + MANIFEST_END
    if raw != framed:
        raise Damaged(f"the manifest of {backup_id} is not what was written")
    manifest: dict[str, Any] = json.loads(body)
    if manifest["format"] > FORMAT:
        raise Usage(f"backup {backup_id} has format {manifest['format']}; use the extract.py of a newer version")
    return manifest


def file_names(artifacts: list[dict[str, Any]]) -> list[str]:
    """The relative paths of all artifacts, no two the same: `a` and `a.snapshot` can both be collections."""
    taken = {"manifest.json"}
    names = []
    for artifact in artifacts:
        name = file_name(artifact)
        while name in taken:
            name += EXTENSIONS.get(artifact["kind"], "_")
        taken.add(name)
        names.append(name)
    return names


def file_name(artifact: dict[str, Any]) -> str:
    """The relative path an artifact is written to: its name, with the extension that fits its content."""
    name: str = artifact["name"]
    unsafe = not name or "\\" in name or any(ord(letter) < 32 or ord(letter) == 127 for letter in name)
    if unsafe or any(part in ("", ".", "..") for part in name.split("/")):
        raise Damaged(f"an artifact is named {name!r}, which would leave the directory")
    extension = EXTENSIONS.get(artifact["kind"]) or EXTENSIONS.get(artifact["media_type"].partition(";")[0], "")
    return name if name.endswith(extension) else name + extension


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
