"""Are the points on the server those of the file, number by number?

Servers of old normalise a Cosine vector that is normalised already, which moves its last digit: no fingerprint can be
the same then. So a sample is read back; where it is not identical, every point is, and must be the same but for that.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from archon_dagster.errors import StoreError
from archon_dagster.repository.manifest import Part
from archon_dagster.stores.base import Work
from archon_dagster.stores.vectors.client import Client
from archon_dagster.stores.vectors.fingerprint import PointDigest, canonical_json, dense_vectors, record, sampled
from archon_dagster.stores.vectors.live import page_size
from archon_dagster.stores.vectors.portable.encoding import compact
from archon_dagster.stores.vectors.portable.layout import About
from archon_dagster.stores.vectors.portable.reading import opened

SLACK = {"float32": (1e-5, 1e-12), "float16": (2e-3, 1e-7), "uint8": (0.0, 0.0)}
"""By data type, how far a number may be off, relative and absolute: some steps of its precision."""

WHOLE = 500  # points up to which all are compared at once

Point = tuple[int | str, dict[str, Any], Any]


def as_stored(client: Client, path: Path, target: str, points: Part, work: Work) -> Part:
    """The digest the server's points have: ``points``, or another one where Cosine vectors moved their last digit.

    :raises StoreError: a point is not what was sent.
    """
    with opened(path, target) as file:
        cosine = {
            name: str(params.get("datatype") or "float32")
            for name, params in dense_vectors(file.about.config).items()
            if params["distance"] == "Cosine"
        }
        if not cosine:
            return points
        few = points.count <= WHOLE
        look = (point for point in file.points(work.check) if few or sampled(point[0]))
        if all(_record(mine) == _record(theirs) for mine, theirs in _pairs(client, target, look, file.about)):
            return points
    found = PointDigest()
    with opened(path, target) as file:
        for mine, theirs in _pairs(client, target, file.points(work.check), file.about):
            if not _same(mine, theirs, cosine):
                raise StoreError(
                    f"point {mine[0]} of collection {target} is not what was sent",
                    where=client.address,
                    todo="look at the server's log",
                )
            found.add(*theirs)
    return found.part()


def _pairs(client: Client, target: str, points: Iterator[Point], about: About) -> Iterator[tuple[Point, Point]]:
    """Each point beside what the server has under its id."""
    size, batch = page_size(about.config), list[Point]()
    for point in points:
        batch.append(point)
        if len(batch) == size:
            yield from _fetched(client, target, batch)
            batch = []
    if batch:
        yield from _fetched(client, target, batch)


def _fetched(client: Client, target: str, batch: list[Point]) -> Iterator[tuple[Point, Point]]:
    found = {str(point["id"]): point for point in client.retrieve(target, [point[0] for point in batch])}
    for mine in batch:
        theirs = found.get(str(mine[0])) or {}
        yield mine, (mine[0], compact(theirs.get("vector")), theirs.get("payload"))


def _record(point: Point) -> bytes:
    return record(*point)


def _same(mine: Point, theirs: Point, cosine: Mapping[str, str]) -> bool:
    """Whether both are one point, but for the last digits of Cosine vectors (by name, with their data types)."""
    if mine[1].keys() != theirs[1].keys() or canonical_json(mine[2] or {}) != canonical_json(theirs[2] or {}):
        return False
    exact = {name for name in mine[1] if name not in cosine}
    if record(0, _only(mine[1], exact), {}) != record(0, _only(theirs[1], exact), {}):
        return False
    return all(_close(mine[1][name], theirs[1][name], *SLACK[kind]) for name, kind in cosine.items() if name in mine[1])


def _only(vectors: Mapping[str, Any], names: set[str]) -> dict[str, Any]:
    return {name: value for name, value in vectors.items() if name in names}


def _close(one: Any, other: Any, relative: float, absolute: float) -> bool:
    rows, others = ([one], [other]) if isinstance(one, array) and isinstance(other, array) else (one, other)
    return len(rows) == len(others) and all(
        len(a) == len(b)
        and all(math.isclose(x, y, rel_tol=relative, abs_tol=absolute) for x, y in zip(a, b, strict=True))
        for a, b in zip(rows, others, strict=True)
    )
