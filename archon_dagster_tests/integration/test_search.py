"""The search stand-in as a process of its own, over the sandbox's real vector server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from archon_dagster.sandbox.lifecycle import Sandbox
from archon_dagster.sandbox.ports import any_free

pytestmark = pytest.mark.sandbox

OPTIMIZERS = {"indexing_threshold": 1000, "flush_interval_sec": 5}


@contextmanager
def running_search(**environment: str) -> Iterator[httpx.Client]:
    """A search service with these variables; the client asks it."""
    port = any_free()
    process = subprocess.Popen(
        [sys.executable, "-m", "archon_dagster.sandbox.services", "archon-search", "--port", str(port)],
        env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert process.stdout is not None
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30.0) as client, process.stdout:
        try:
            _wait_until_it_listens(client, process)
            yield client
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) in (0, -signal.SIGTERM)


def _wait_until_it_listens(client: httpx.Client, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < deadline:
        try:
            client.get("/health")
            return
        except httpx.ConnectError:
            continue
    raise AssertionError("the service does not listen")


@pytest.fixture(scope="module")
def qdrant(sandbox: Sandbox) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=sandbox.settings.qdrant_url, timeout=30.0) as client:
        yield client


@pytest.fixture(scope="module")
def search(sandbox: Sandbox) -> Iterator[httpx.Client]:
    with running_search(QDRANT_URL=sandbox.settings.qdrant_url, MEMGRAPH_URI=sandbox.settings.memgraph_uri) as client:
        yield client


def document(**fields: Any) -> dict[str, Any]:
    return {"document_id": f"doc-{uuid.uuid4()}", "content": "a parser of HTTP headers", "project_id": "p1"} | fields


def stored(qdrant: httpx.Client, collection: str, entity_id: str) -> list[dict[str, Any]]:
    wanted = {"must": [{"key": "entity_id", "match": {"value": entity_id}}]}
    answer = qdrant.post(f"/collections/{collection}/points/scroll", json={"filter": wanted, "with_payload": True})
    points: list[dict[str, Any]] = answer.raise_for_status().json()["result"]["points"]
    return points


def test_health_is_healthy_where_everything_answers(search: httpx.Client) -> None:
    body = search.get("/health").json()
    assert body["status"] == "healthy" and body["error"] is None
    assert body["memgraph_connected"] and body["vector_index_ready"] and body["embedding_service_connected"]
    assert body.keys() >= {"bridge_connected", "service_version", "uptime_seconds", "last_check"}


def test_a_document_is_stored_and_found_again(search: httpx.Client, qdrant: httpx.Client) -> None:
    sent = document(content=f"unique words {uuid.uuid4().hex}", metadata={"title": "T", "language": "python"})
    answer = search.post("/vectorize/document", json=sent).json()
    assert answer["success"] and answer["indexed"] and answer["embedding_dimension"] == 1536
    (point,) = stored(qdrant, "archon_vectors", sent["document_id"])
    assert point["id"] == answer["vector_id"]
    assert point["payload"]["title"] == "T" and point["payload"]["project_id"] == "p1"
    assert not point["payload"].keys() & {"document_id", "metadata"}
    found = search.post("/search", json={"query": sent["content"], "mode": "semantic", "limit": 3}).json()
    assert found["results"][0]["entity_id"] == sent["document_id"]
    assert found["returned_results"] == len(found["results"])


def test_every_call_makes_a_new_point(search: httpx.Client, qdrant: httpx.Client) -> None:
    sent = document()
    for _ in range(2):
        assert search.post("/vectorize/document", json=sent).json()["success"]
    assert len(stored(qdrant, "archon_vectors", sent["document_id"])) == 2


def test_quality_documents_go_to_their_own_collection(search: httpx.Client, qdrant: httpx.Client) -> None:
    sent = document(metadata={"document_type": "code_review"})
    assert search.post("/vectorize/document", json=sent).json()["success"]
    assert len(stored(qdrant, "quality_vectors", sent["document_id"])) == 1


def test_each_success_undoes_tuning(search: httpx.Client, qdrant: httpx.Client) -> None:
    tuned = {"optimizers_config": {"indexing_threshold": 50_000}}
    search.post("/vectorize/document", json=document())
    qdrant.patch("/collections/archon_vectors", json=tuned).raise_for_status()
    assert search.post("/vectorize/document", json=document()).json()["index_refreshed"]
    config = qdrant.get("/collections/archon_vectors").json()["result"]["config"]["optimizer_config"]
    assert {key: config[key] for key in OPTIMIZERS} == OPTIMIZERS


def test_the_habit_can_be_switched_off(sandbox: Sandbox, qdrant: httpx.Client) -> None:
    with running_search(QDRANT_URL=sandbox.settings.qdrant_url, AUTO_REFRESH_ENABLED="false") as search:
        search.post("/vectorize/document", json=document()).raise_for_status()
        qdrant.patch("/collections/archon_vectors", json={"optimizers_config": {"indexing_threshold": 50_000}})
        assert search.post("/vectorize/document", json=document()).json()["index_refreshed"] is False
    config = qdrant.get("/collections/archon_vectors").json()["result"]["config"]["optimizer_config"]
    assert config["indexing_threshold"] == 50_000


@pytest.mark.parametrize("missing", ["document_id", "content"])
def test_an_incomplete_document_is_refused(search: httpx.Client, missing: str) -> None:
    assert search.post("/vectorize/document", json=document(**{missing: ""})).status_code == 400


@pytest.mark.parametrize("query", [{"mode": "magic"}, {"limit": 0}, {"limit": 101}, {"query": None}])
def test_a_wrong_query_is_refused(search: httpx.Client, query: dict[str, Any]) -> None:
    assert search.post("/search", json={"query": "x", "mode": "semantic", "limit": 5} | query).status_code == 422


def test_graph_modes_have_no_results_here(search: httpx.Client) -> None:
    for mode in ("structural", "relational"):
        answer = search.post("/search", json={"query": "x", "mode": mode})
        assert answer.status_code == 200 and answer.json()["results"] == []


def test_the_statistics_repeat_the_configuration(search: httpx.Client) -> None:
    body = search.get("/search/stats").json()
    assert body["service_status"] == "operational"
    assert body["vector_index"]["embedding_dimension"] == 1536 and body["vector_index"]["qdrant_available"]


def test_an_embedder_that_is_down_is_a_success_that_failed(sandbox: Sandbox) -> None:
    with running_search(QDRANT_URL=sandbox.settings.qdrant_url, EMBEDDER_AVAILABLE="false") as search:
        answer = search.post("/vectorize/document", json=document())
        assert answer.status_code == 200 and answer.json()["success"] is False
        assert search.get("/health").json()["status"] == "degraded"


def test_a_wrong_dimension_is_an_internal_error(sandbox: Sandbox, search: httpx.Client) -> None:
    search.post("/vectorize/document", json=document()).raise_for_status()
    with running_search(QDRANT_URL=sandbox.settings.qdrant_url, EMBEDDING_DIMENSIONS="768") as small:
        assert small.post("/vectorize/document", json=document()).status_code == 500


def test_without_qdrant_it_degrades_with_status_200() -> None:
    with running_search(QDRANT_URL=f"http://127.0.0.1:{any_free()}") as search:
        health = search.get("/health")
        assert health.status_code == 200 and health.json()["status"] == "degraded"
        assert health.json()["error"] == "not connected: qdrant"
        assert search.post("/vectorize/document", json=document()).status_code == 503
        found = search.post("/search", json={"query": "x", "mode": "semantic"})
        assert found.status_code == 200 and found.json()["results"] == []
