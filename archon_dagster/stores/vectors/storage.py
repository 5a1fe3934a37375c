"""Are the files of a shard's unnamed vector as long as they must be?

Two layouts: segments that are written to keep vectors in chunks of a fixed size, each preallocated; others in one
``matrix.dat``, four bytes and then vector after vector.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_HEADER = 4
_BYTES = {"float32": 4, "float16": 2, "uint8": 1}


def cut_short(shard: Path) -> bool:
    """Whether a segment of an unpacked shard has a vector file that is too short, or none of a known layout."""
    return not all(_whole(segment) for segment in (shard / "segments").iterdir() if segment.is_dir())


def _whole(segment: Path) -> bool:
    vectors = _json(segment / "segment.json").get("config", {}).get("vector_data", {}).get("", {})
    directory = segment / "vector_storage"
    matrix = directory / "matrix.dat"
    if matrix.is_file():
        one = int(vectors.get("size") or 1) * _BYTES.get(vectors.get("datatype") or "float32", 4)
        stored = matrix.stat().st_size - _HEADER
        return stored >= 0 and stored % one == 0
    return _chunks_are_whole(directory / "vectors")


def _chunks_are_whole(directory: Path) -> bool:
    config, status = _json(directory / "config.json"), directory / "status.dat"
    size, fits = config.get("chunk_size_bytes"), config.get("chunk_size_vectors")
    if not (size and fits and status.is_file()):
        return False
    chunks = [file.stat().st_size for file in directory.glob("chunk_*.mmap")]
    stored = int.from_bytes(status.read_bytes()[:8], "little")
    return len(chunks) * fits >= stored and all(chunk == size for chunk in chunks)


def _json(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
