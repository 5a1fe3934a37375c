"""Reading the content of a live collection over REST: fingerprint, and searches with a known answer."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from archon_dagster.errors import StoreError
from archon_dagster.repository.manifest import Part
from archon_dagster.stores.vectors.client import Client
from archon_dagster.stores.vectors.fingerprint import PointDigest, sampled
from archon_dagster.stores.vectors.offline import MAX_PAGE, PAGE_FLOATS

ID_PAGE = 10_000
_LOWER_IS_BETTER = ("Euclid", "Manhattan")


def points_part(
    client: Client, collection: str, config: Mapping[str, Any], limit: int, on_read: Callable[[int], None]
) -> tuple[Part, bool]:
    """The digest of a live collection's points, and whether all of them were read.

    Up to ``limit`` points everything is read; beyond it the exact count and the points of the sample.
    """
    count = client.count(collection)
    digest = PointDigest()
    if count <= limit:
        for point in _everything(client, collection, page_size(config)):
            _add(digest, point)
            if digest.count % 64 == 0:
                on_read(digest.count)
        on_read(digest.count)
        return digest.part(), True
    for batch in _batches(client, collection, page_size(config), on_read):
        for point in client.retrieve(collection, batch):
            _add(digest, point)
    return digest.sample_part(count), False


def page_size(config: Mapping[str, Any]) -> int:
    """Points per page, so that a page of vectors stays small whatever their size."""
    vectors = (config.get("params") or {}).get("vectors") or {}
    named = [vectors] if "size" in vectors else list(vectors.values())
    floats = sum(int(v["size"]) * (16 if v.get("multivector_config") else 1) for v in named)
    return max(16, min(MAX_PAGE, PAGE_FLOATS // max(1, floats)))


def find_themselves(client: Client, collection: str, config: Mapping[str, Any], tries: int = 3) -> int:
    """Search for a few stored points by their own vectors; returns how many were found.

    Green and counted is not intact: with a broken vector file a server counts every point and finds none.

    :raises StoreError: a stored point has lost its vector or does not find itself.
    """
    points, _ = client.scroll(collection, 16, content=True)
    unnamed = "size" in ((config.get("params") or {}).get("vectors") or {})
    done = 0
    for point in points:
        vector = point.get("vector")
        if not vector and unnamed:
            raise _lost(client, collection, f"point {point['id']} has lost its vector")
        named = vector if isinstance(vector, Mapping) else {"": vector} if vector else {}
        for using, value in list(named.items())[:1]:
            _find(client, collection, config, point["id"], using, value)
            done += 1
        if done >= tries:
            break
    return done


def _find(client: Client, collection: str, config: Mapping[str, Any], point: Any, using: str, value: Any) -> None:
    hits = client.search(collection, value, using, 10)
    if not hits:
        raise _lost(client, collection, f"a search for stored point {point} finds nothing")
    if any(hit["id"] == point for hit in hits):
        return
    own = _own_score(config, using, value)
    if own is None:
        return
    distance, score = own
    best = float(hits[0]["score"])
    slack = 0.01 * max(1.0, abs(score))
    good = best <= score + slack if distance in _LOWER_IS_BETTER else best >= score - slack
    if not good:
        raise _lost(client, collection, f"stored point {point} does not find itself (best score {best:g})")


def _own_score(config: Mapping[str, Any], using: str, value: Any) -> tuple[str, float] | None:
    """The distance's name and a dense vector's score against itself; ``None`` where that cannot be told."""
    vectors = (config.get("params") or {}).get("vectors") or {}
    params = vectors if "size" in vectors else vectors.get(using)
    if params is None or isinstance(value, Mapping) or isinstance(value[0], list):
        return None
    distance = str(params["distance"])
    if distance in _LOWER_IS_BETTER:
        return distance, 0.0
    return distance, 1.0 if distance == "Cosine" and any(value) else math.fsum(v * v for v in value)


def _lost(client: Client, collection: str, why: str) -> StoreError:
    return StoreError(
        f"collection {collection} answers but is not intact: {why}",
        where=client.address,
        todo="restore it from a backup (archon restore)",
    )


def _everything(client: Client, collection: str, page: int) -> Iterator[dict[str, Any]]:
    offset = None
    while True:
        points, offset = client.scroll(collection, page, content=True, offset=offset)
        yield from points
        if offset is None:
            return


def _batches(client: Client, collection: str, size: int, on_read: Callable[[int], None]) -> Iterator[Sequence[Any]]:
    """The ids of the sample, in batches; every id is looked at, no content is read."""
    offset, batch, seen = None, [], 0
    while True:
        points, offset = client.scroll(collection, ID_PAGE, content=False, offset=offset)
        seen += len(points)
        on_read(seen)
        batch += [point["id"] for point in points if sampled(point["id"])]
        while len(batch) >= size or (offset is None and batch):
            yield batch[:size]
            batch = batch[size:]
        if offset is None:
            return


def _add(digest: PointDigest, point: Mapping[str, Any]) -> None:
    digest.add(point["id"], point.get("vector"), point.get("payload"))
