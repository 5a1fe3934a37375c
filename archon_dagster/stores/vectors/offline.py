"""Reads the shards of an unpacked snapshot with Qdrant's own storage engine and prints their digest.

Run as a program (``python -m archon_dagster.stores.vectors.offline [OPTION]… DIR…``): a damaged segment can make the
engine panic, hang or take the process down with it, and its memory must not add to ours. ``--keep=FILE`` names a
request for a portable file to be written on the way, see :mod:`~archon_dagster.stores.vectors.portable.keeping`. Every
line of output is one JSON object: ``{"read": n}`` as it goes, and last ``{"count": …, "points": …}`` or
``{"failed": …}``. The engine writes into the directories it is given.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archon_dagster.stores.vectors import storage
from archon_dagster.stores.vectors.fingerprint import PointDigest

if TYPE_CHECKING:
    from archon_dagster.stores.vectors.portable.keeping import Keeper

PAGE_FLOATS = 512 * 1024  # of vectors in memory at a time; a Python float takes 32 bytes
MAX_PAGE = 1000
COMPLETE = "--every-point-has-a-vector"
KEEP = "--keep="


def main(arguments: list[str]) -> int:
    """Digest all shards together; returns the exit code."""
    try:
        keeper = _keeper(arguments)
        directories = [a for a in arguments if a != COMPLETE and not a.startswith(KEEP)]
        result = read(directories, complete=COMPLETE in arguments, keeper=keeper)
        if keeper is not None:
            result["kept"] = keeper.close()
    except Exception as error:  # noqa: BLE001 - reported: the parent judges what it means
        result = {"failed": f"{type(error).__name__}: {error}"}
    _say(result)
    return 0


def _keeper(arguments: list[str]) -> Keeper | None:
    for argument in arguments:
        if argument.startswith(KEEP):
            from archon_dagster.stores.vectors.portable.keeping import Keep, Keeper

            return Keeper(Keep.load(Path(argument.removeprefix(KEEP))))
    return None


def read(directories: list[str], *, complete: bool, keeper: Keeper | None = None) -> dict[str, Any]:
    """Exact count and digest of the points of all shards.

    :param keeper: is shown every point.

    :param complete: the collection has one unnamed vector. A point without it was stored so, or has lost it: the
        engine, like the server, says nothing about a vector file that is cut short, and counts right. Then the files
        decide.
    """
    digest, counted = PointDigest(), 0
    for directory in directories:
        counted += _shard(directory, digest, complete, keeper)
    if counted != digest.count:
        return {"failed": f"it counts {counted} points but only {digest.count} can be read"}
    return {"count": counted, "points": digest.part().model_dump()}


def _shard(directory: str, digest: PointDigest, complete: bool, keeper: Keeper | None) -> int:
    import qdrant_edge

    cut = complete and storage.cut_short(Path(directory))  # first: the engine writes into the directory
    shard = qdrant_edge.EdgeShard.load(directory)
    try:
        counted = int(shard.count(qdrant_edge.CountRequest(exact=True)))
        offset, page = None, 16  # small first: only the points themselves say how large they are
        while True:
            request = qdrant_edge.ScrollRequest(offset=offset, limit=page, with_payload=True, with_vector=True)
            points, offset = shard.scroll(request)
            for point in points:
                if cut and not point.vector:
                    raise ValueError(f"point {point.id} has lost its vector")
                vector = point.vector if keeper is None else keeper.add(point.id, point.vector, point.payload)
                digest.add(point.id, vector, point.payload)
            _say({"read": digest.count})
            if offset is None:
                return counted
            page = _page(points)
    finally:
        shard.close()


def _page(points: list[Any]) -> int:
    largest = max((_floats(point.vector) for point in points), default=1)
    return max(1, min(MAX_PAGE, PAGE_FLOATS // max(1, largest)))


def _floats(vector: Any) -> int:
    """Numbers in one point's vectors."""
    if isinstance(vector, dict):
        return sum(_floats(value) for value in vector.values())
    if hasattr(vector, "indices"):
        return 2 * len(vector.indices)
    if vector and isinstance(vector[0], list):
        return sum(len(row) for row in vector)
    return len(vector or ())


def _say(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
