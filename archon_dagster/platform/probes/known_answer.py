"""A search whose answer is known: a stored point must find itself by its own vector.

Itself, or at least ten that are as near (duplicates are common: the same file indexed twice). How near a point is to
itself follows from the distance: 1 for cosine, 0 for Euclid and Manhattan, the sum of squares for the dot product.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Ask = Callable[[str, Any], Any]

LIMIT = 10  # hits looked at
TOLERANCE = 0.02  # relative: half precision and quantized vectors are a little off


@dataclass(frozen=True, slots=True)
class Vectors:
    """The vectors of a collection that a search can be asked with: distance by name.

    Multi-vectors, and sparse ones whose scores are modified (``idf``), are left out: how near one of them is to itself
    depends on others.

    :param sizes: length of every dense vector by name, multi-vectors included.
    :param unnamed: there is one vector without a name, which every point then has.
    """

    distances: Mapping[str, str]
    sizes: Mapping[str, int]
    unnamed: bool

    @classmethod
    def of(cls, info: Mapping[str, Any]) -> Vectors:
        """Read a collection's info."""
        params = info["config"]["params"]
        dense = params.get("vectors") or {}
        unnamed = "size" in dense
        named: dict[str, Any] = {"": dense} if unnamed else dict(dense)
        distances = {name: str(v["distance"]) for name, v in named.items() if v.get("multivector_config") is None}
        sparse = params.get("sparse_vectors") or {}
        distances |= {name: "Dot" for name, v in sparse.items() if not (v or {}).get("modifier")}
        return cls(distances, {name: int(v["size"]) for name, v in named.items()}, unnamed)

    def __bool__(self) -> bool:
        return bool(self.distances)


@dataclass(frozen=True, slots=True)
class Query:
    """One stored vector as a question; ``own`` is the score the point itself must get."""

    using: str
    vector: Any
    own: float
    nearer_is_less: bool


def queryable(point: Mapping[str, Any], vectors: Vectors) -> Query | None:
    """The first vector of a point that a search can be asked with; none where all are missing or zero."""
    stored = point.get("vector")
    found: Mapping[str, Any] = stored if isinstance(stored, dict) else {"": stored}
    for name, distance in vectors.distances.items():
        vector = found.get(name)
        values = vector.get("values") if isinstance(vector, dict) else vector
        if not isinstance(values, list) or not values or not all(isinstance(v, int | float) for v in values):
            continue
        squares = math.fsum(v * v for v in values)
        if squares == 0.0 or not math.isfinite(squares):
            continue
        nearer_is_less = distance in ("Euclid", "Manhattan")
        own = 0.0 if nearer_is_less else 1.0 if distance == "Cosine" else squares
        return Query(name, vector, own, nearer_is_less)
    return None


def finds_itself(ask: Ask, point: Any, query: Query, *, modern: bool) -> bool:
    """Whether the search finds the point, or ten as near; an exact search has the last word.

    The graph of an index may miss a point, that is in its nature; an exact search misses none.

    :param ask: sends a body to ``/points/<verb>`` and returns the result.
    :param modern: the server has ``/points/query`` (1.10).
    """
    return any(_found(_search(ask, query, exact, modern), point, query) for exact in (False, True))


def _search(ask: Ask, query: Query, exact: bool, modern: bool) -> list[dict[str, Any]]:
    common = {"limit": LIMIT, "params": {"exact": exact}, "with_payload": False}
    if modern:
        using = {"using": query.using} if query.using else {}
        return list(ask("query", {"query": query.vector} | using | common)["points"])
    named = {"name": query.using, "vector": query.vector} if query.using else query.vector
    return list(ask("search", {"vector": named} | common))


def _found(hits: list[dict[str, Any]], point: Any, query: Query) -> bool:
    """The point is there with the score it must have, or the list is full of points that have it."""
    near = [hit for hit in hits if _near(float(hit["score"]), query)]
    return len(near) >= LIMIT or any(str(hit["id"]) == str(point) for hit in near)


def _near(score: float, query: Query) -> bool:
    slack = TOLERANCE * max(1.0, abs(query.own))
    return score <= query.own + slack if query.nearer_is_less else score >= query.own - slack
