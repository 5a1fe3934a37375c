"""A stored point must find itself, on a small server in memory that searches for real."""

from __future__ import annotations

import math
from typing import Any

import pytest

from archon_dagster.platform.probes.known_answer import Vectors, finds_itself, queryable

POINTS = {number: [math.sin(number), math.cos(number), number / 10] for number in range(1, 40)}


def info(**params: Any) -> dict[str, Any]:
    return {"config": {"params": {"vectors": {"size": 3, "distance": "Cosine"}} | params}}


class Server:
    """Searches its points; ``broken`` finds nothing, ``blind`` points are not in the index."""

    def __init__(
        self, points: dict[int, list[float]], distance: str, broken: bool = False, blind: frozenset[int] = frozenset()
    ):
        self.points, self.distance, self.broken, self.blind = points, distance, broken, blind
        self.asked: list[tuple[str, Any]] = []

    def ask(self, verb: str, body: Any) -> Any:
        self.asked.append((verb, body))
        query = body["query"] if verb == "query" else body["vector"]
        skipped = frozenset() if body["params"]["exact"] else self.blind
        there = {} if self.broken else self.points
        scored = [(self.score(query, vector), number) for number, vector in there.items() if number not in skipped]
        scored.sort(reverse=self.distance in ("Cosine", "Dot"))
        hits = [{"id": number, "score": score} for score, number in scored[: body["limit"]]]
        return {"points": hits} if verb == "query" else hits

    def score(self, one: list[float], other: list[float]) -> float:
        if self.distance == "Euclid":
            return math.dist(one, other)
        dot = sum(a * b for a, b in zip(one, other, strict=True))
        return dot if self.distance == "Dot" else dot / math.hypot(*one) / math.hypot(*other)


def finds(server: Server, number: int, *, modern: bool = True) -> bool:
    vectors = Vectors.of(info(vectors={"size": 3, "distance": server.distance}))
    query = queryable({"id": number, "vector": server.points[number]}, vectors)
    assert query is not None
    return finds_itself(server.ask, number, query, modern=modern)


@pytest.mark.parametrize("distance", ["Cosine", "Dot", "Euclid"])
@pytest.mark.parametrize("modern", [True, False])
def test_every_point_of_a_sound_collection_finds_itself(distance: str, modern: bool) -> None:
    server = Server(POINTS, distance)
    assert all(finds(server, number, modern=modern) for number in POINTS)
    assert {verb for verb, _ in server.asked} == {"query" if modern else "search"}


def test_a_search_that_finds_nothing_is_found_out() -> None:
    assert not finds(Server(POINTS, "Cosine", broken=True), 5)


def test_garbage_in_the_place_of_the_vectors_is_found_out() -> None:
    """Every stored vector but the one that is shown has become the same wrong one."""
    garbage = Server({number: [0.0, 0.0, -1.0] for number in POINTS}, "Cosine")
    query = queryable({"id": 5, "vector": POINTS[5]}, Vectors.of(info()))
    assert query is not None
    assert not finds_itself(garbage.ask, 39, query, modern=True)


def test_a_point_with_many_duplicates_need_not_be_among_the_ten_that_are_shown() -> None:
    duplicates = Server({number: [1.0, 2.0, 3.0] for number in range(1, 50)}, "Cosine")
    assert finds(duplicates, 1) and finds(duplicates, 49)


def test_what_the_index_misses_an_exact_search_finds() -> None:
    server = Server(POINTS, "Cosine", blind=frozenset({5}))
    assert finds(server, 5)
    assert [body["params"]["exact"] for _, body in server.asked] == [False, True]


def test_named_and_sparse_vectors_are_asked_by_their_names() -> None:
    vectors = Vectors.of(info(vectors={"text": {"size": 3, "distance": "Dot"}}, sparse_vectors={"words": {}}))
    dense = queryable({"vector": {"text": [1.0, 2.0, 2.0]}}, vectors)
    sparse = queryable({"vector": {"words": {"indices": [1], "values": [2.0]}}}, vectors)
    assert dense is not None and (dense.using, dense.own) == ("text", 9.0)
    assert sparse is not None and (sparse.using, sparse.own) == ("words", 4.0)


@pytest.mark.parametrize("vector", [None, {}, [], [0.0, 0.0, 0.0], [[1.0, 0.0, 0.0]]])
def test_what_cannot_be_asked_is_not_asked(vector: Any) -> None:
    assert queryable({"vector": vector}, Vectors.of(info())) is None


def test_multi_vectors_are_not_asked_but_their_size_is_known() -> None:
    vectors = Vectors.of(
        info(vectors={"size": 3, "distance": "Cosine", "multivector_config": {"comparator": "max_sim"}})
    )
    assert not vectors and vectors.sizes == {"": 3}
