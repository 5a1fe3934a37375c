"""Reading the content of a live collection over REST: fingerprint, and searches with a known answer."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from archon_dagster.errors import StoreError
from archon_dagster.repository.manifest import Part
from archon_dagster.stores.vectors import strict
from archon_dagster.stores.vectors.client import Client
from archon_dagster.stores.vectors.fingerprint import PointDigest, dense_vectors, sampled
from archon_dagster.stores.vectors.offline import MAX_PAGE, PAGE_FLOATS
from archon_dagster.stores.vectors.strict import ID_PAGE, limits

_LOWER_IS_BETTER = ("Euclid", "Manhattan")


def points_part(
    client: Client, collection: str, config: Mapping[str, Any], limit: int, on_read: Callable[[int], None]
) -> tuple[Part, bool]:
    """The digest of a live collection's points, and whether all of them were read.

    Up to ``limit`` points everything is read; beyond it the exact count and the points of the sample.
    """
    allowed = limits(config)
    count, page = strict.count(client, collection, config), allowed.cut(page_size(config))
    digest = PointDigest()
    if count <= limit:
        for point in _everything(client, collection, page):
            _add(digest, point)
            if digest.count % 64 == 0:
                on_read(digest.count)
        on_read(digest.count)
        return digest.part(), True
    for batch in _batches(client, collection, allowed.cut(ID_PAGE), page, on_read):
        for point in client.retrieve(collection, batch):
            _add(digest, point)
    return digest.sample_part(count), False


def page_size(config: Mapping[str, Any]) -> int:
    """Points per page, so that a page of vectors stays small whatever their size."""
    dense = dense_vectors(config).values()
    floats = sum(int(v["size"]) * (16 if v.get("multivector_config") else 1) for v in dense)
    return max(16, min(MAX_PAGE, PAGE_FLOATS // max(1, floats)))


def find_themselves(client: Client, collection: str, config: Mapping[str, Any], tries: int = 3) -> int:
    """Search for a few stored points by their own vectors; returns how many were found.

    Green and counted is not intact: with a broken vector file a server counts every point and finds none.

    :raises StoreError: a stored point has lost its vector or does not find itself.
    """
    points, _ = client.scroll(collection, limits(config).cut(16), content=True)
    without = [point["id"] for point in points if not point.get("vector")]
    if "" in dense_vectors(config) and 4 * len(without) > len(points):  # a few may have been stored without one
        raise _lost(client, collection, f"{len(without)} of the first {len(points)} points have no vector")
    done = 0
    for point in points:
        vector = point.get("vector")
        named = vector if isinstance(vector, Mapping) else {"": vector} if vector else {}
        for using, value in list(_searchable(named))[:1]:
            _find(client, collection, config, point["id"], using, value)
            done += 1
        if done >= tries:
            break
    return done


def _searchable(named: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Vectors a search can find: a sparse one without a value other than zero has nothing in common with any."""
    for using, value in named.items():
        if not isinstance(value, Mapping) or any(value.get("values") or ()):
            yield using, value


def _find(client: Client, collection: str, config: Mapping[str, Any], point: Any, using: str, value: Any) -> None:
    allowed = limits(config)
    hits = client.search(collection, value, using, allowed.cut(10), exact=allowed.exact)
    if not hits:
        raise _lost(client, collection, f"a search for stored point {point} finds nothing")
    if any(hit["id"] == point for hit in hits):
        return
    own = _own_score(config, using, value) if allowed.exact else None  # an approximate search may miss it
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
    params = dense_vectors(config).get(using)
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


def _batches(
    client: Client, collection: str, page: int, size: int, on_read: Callable[[int], None]
) -> Iterator[Sequence[Any]]:
    """The ids of the sample, in batches; every id is looked at, no content is read."""
    offset, batch, seen = None, [], 0
    while True:
        points, offset = client.scroll(collection, page, content=False, offset=offset)
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
