"""What the answers of a Qdrant server say of one collection; the server is a function here."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from archon_dagster.platform.probes.collections import CollectionReport, examine_collection

INFO = {"status": "green", "config": {"params": {"vectors": {"size": 2, "distance": "Cosine"}}}}
POINTS = {7: [1.0, 0.0], 8: [0.0, 1.0]}

Answers = dict[str, Any]


def server(answers: Answers) -> Callable[[httpx.Request], httpx.Response]:
    """Answers by the last part of the path; a number is an HTTP error, an exception a broken connection."""

    def answer(request: httpx.Request) -> httpx.Response:
        said = answers[request.url.path.rpartition("/")[2]]
        said = said(json.loads(request.content)) if callable(said) else said
        if isinstance(said, Exception):
            raise said
        return httpx.Response(said, text="no") if isinstance(said, int) else httpx.Response(200, json={"result": said})

    return answer


def scroll(body: Any) -> Any:
    number = 7 if not body.get("offset") else 8
    return {"points": [{"id": number, "vector": POINTS[number]}]}


def query(body: Any) -> Any:
    scores = [(sum(a * b for a, b in zip(body["query"], v, strict=True)), n) for n, v in POINTS.items()]
    return {"points": [{"id": number, "score": score} for score, number in sorted(scores, reverse=True)]}


SOUND: Answers = {
    "c": INFO,
    "count": {"count": 2},
    "scroll": scroll,
    "query": query,
    "points": lambda body: [{"id": n, "vector": POINTS[n]} for n in body["ids"]],
}


def report(**answers: Any) -> CollectionReport:
    with httpx.Client(base_url="http://q", transport=httpx.MockTransport(server(SOUND | answers))) as client:
        return examine_collection(client, "c", True, random.Random(1), time.monotonic() + 10.0)


def test_a_sound_collection_is_good_with_its_count_and_sizes() -> None:
    found = report()
    assert (found.condition, found.points, found.sizes) == ("good", 2, {"": 2})
    assert "3 found themselves" in found.detail


@pytest.mark.parametrize("question", ["c", "count", "scroll", "query"])
def test_the_servers_500_is_death_and_a_broken_connection_or_overload_is_not(question: str) -> None:
    """Only what is proven may ever lead to a restore."""
    assert report(**{question: 500}).condition == "dead"
    for said in (httpx.ConnectError("refused"), httpx.ReadTimeout("late"), 429, 503, 401):
        assert report(**{question: said}).condition == "unknown"
    assert report(**{question: 404}).condition == "gone"


def test_a_search_without_results_is_garbage() -> None:
    assert report(query={"points": []}).condition == "garbage"


def test_a_point_that_was_deleted_meanwhile_is_no_garbage() -> None:
    assert report(query={"points": []}, points=[]).condition == "good"


def test_red_is_neither_dead_nor_garbage() -> None:
    found = report(c=INFO | {"status": "red", "optimizer_status": {"error": "disk"}})
    assert found.condition == "red" and "disk" in found.detail


def zeros(body: Any) -> Any:
    return {"points": [{"id": scroll(body)["points"][0]["id"], "vector": [0.0, 0.0]}]}


def nulls(body: Any) -> Any:
    """How a server writes what is no number."""
    return {"points": [{"id": scroll(body)["points"][0]["id"], "vector": [None, None]}]}


def test_vectors_without_a_number_are_garbage() -> None:
    found = report(scroll=nulls)
    assert found.condition == "garbage" and "no numbers" in found.detail


def test_vectors_that_are_all_zeros_are_garbage_one_among_others_is_not() -> None:
    assert report(scroll=zeros).condition == "garbage"
    assert report(scroll=lambda body: scroll(body) if body.get("offset") else zeros(body)).condition == "good"


def test_named_vectors_may_be_missing() -> None:
    named = {"config": {"params": {"vectors": {"text": {"size": 2, "distance": "Cosine"}}}}}
    found = report(c=named, scroll={"points": [{"id": 7, "vector": {}}]})
    assert found.condition == "good" and "no vector to ask with" in found.detail


def test_an_empty_collection_is_good() -> None:
    assert report(count={"count": 0}).condition == "good"


def test_without_time_left_nothing_is_claimed() -> None:
    with httpx.Client(base_url="http://q", transport=httpx.MockTransport(server(SOUND))) as client:
        assert examine_collection(client, "c", True, random.Random(1), 0.0).condition == "unknown"
