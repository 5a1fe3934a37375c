"""What a real server refuses in a shard that the engine alone would load.

The engine opens mutable id trackers and payload pages by memory map and takes what it finds; the server checks more.
Without these checks a shard with a broken id tracker would load here, and hundreds of points would silently vanish.
Measured on a real server: broken ``id_tracker.*``, payload files and logs kill a shard, broken vectors do not.
"""

import json
from collections.abc import Callable
from pathlib import Path

import qdrant_edge as engine

VERSION_BYTES = 8
RECORD_BYTES = {1: 13, 2: 21, 3: 9, 4: 17}
"""A record of ``mutable_id_tracker.mappings`` by its first byte: insert number or UUID, delete number or UUID."""
PAGE = 1000


class DamagedShard(Exception):
    """Names the file and what is wrong with it."""


def check_files(shard: Path) -> None:
    """Look at the files of every segment before the engine does."""
    for segment in sorted((shard / "segments").iterdir()):
        if segment.is_dir():
            _check_segment(segment)


def _check_segment(segment: Path) -> None:
    for pattern, check in CHECKS.items():
        for path in segment.glob(pattern):
            problem = check(path)
            if problem:
                raise DamagedShard(f"failed to load segment {segment}: {path.name}: {problem}")


def _whole_versions(path: Path) -> str | None:
    size = path.stat().st_size
    return f"size {size} is not a whole number of versions" if size % VERSION_BYTES else None


def _known_records(path: Path) -> str | None:
    """Only the last record may be incomplete: a crash cuts it short, and the engine drops it."""
    raw = path.read_bytes()
    position = 0
    while position < len(raw):
        length = RECORD_BYTES.get(raw[position])
        if length is None:
            return f"corrupted id tracker mapping storage, unknown record {raw[position]} at {position}"
        position += length
    return None


def _whole_page(path: Path) -> str | None:
    try:
        expected = json.loads((path.parent / "config.json").read_bytes())["page_size_bytes"]
    except (OSError, ValueError, KeyError) as error:
        return f"payload storage config: {error}"
    size = path.stat().st_size
    return f"page has {size} of {expected} bytes" if size != expected else None


def _whole_tracker(path: Path) -> str | None:
    size = path.stat().st_size
    return f"tracker has only {size} bytes" if size < 4096 else None


CHECKS: dict[str, Callable[[Path], str | None]] = {
    "id_tracker.versions": _whole_versions,
    "id_tracker.deleted": _whole_versions,
    "mutable_id_tracker.versions": _whole_versions,
    "mutable_id_tracker.mappings": _known_records,
    "payload_storage/page_*.dat": _whole_page,
    "payload_storage/tracker.dat": _whole_tracker,
}


def check_payloads(shard: engine.EdgeShard) -> None:
    """Read every payload once: a page of garbage is only found by reading it."""
    offset = None
    while True:
        request = engine.ScrollRequest(offset=offset, limit=PAGE, with_payload=True, with_vector=False)
        _, offset = shard.scroll(request)
        if offset is None:
            return
