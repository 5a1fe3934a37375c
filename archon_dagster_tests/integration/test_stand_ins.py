"""The platform's own services, and Ollama and Supabase, as the sandbox has them: real neighbours, real bad habits."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from archon_dagster.errors import ConfigurationError
from archon_dagster.platform.probes import address, probe
from archon_dagster.platform.services import BY_NAME
from archon_dagster.sandbox import lifecycle
from archon_dagster.sandbox.layout import EXTERNALS, STAND_INS
from archon_dagster.sandbox.lifecycle import Sandbox
from archon_dagster_tests.eventually import eventually
from archon_dagster_tests.processes import processes_under

pytestmark = [pytest.mark.sandbox, pytest.mark.long]

COMMON = {"status", "service_version", "uptime_seconds", "error", "last_check"}


def ask(sandbox: Sandbox, service: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
    url = address(BY_NAME[service], sandbox.settings) + path
    with httpx.Client(timeout=30.0, headers=headers, trust_env=False) as client:
        return client.get(url) if body is None else client.post(url, json=body)


def health(sandbox: Sandbox, service: str) -> dict[str, Any]:
    """The body; its status code is 200 whatever it says."""
    answer = ask(sandbox, service, "/health")
    assert answer.status_code == 200
    body: dict[str, Any] = answer.json()
    return body


@contextmanager
def without(sandbox: Sandbox, service: str) -> Iterator[None]:
    lifecycle.kill(sandbox.home, service)
    try:
        yield
    finally:
        lifecycle.start(sandbox.home, service)


# health


@pytest.mark.parametrize(
    ("service", "fields"),
    [
        ("archon-bridge", {"memgraph_connected", "intelligence_connected"}),
        (
            "archon-intelligence",
            {"memgraph_connected", "embedding_service_connected", "freshness_database_connected"},
        ),
        (
            "archon-search",
            {"memgraph_connected", "bridge_connected", "embedding_service_connected", "vector_index_ready"},
        ),
    ],
)
def test_health_says_what_is_connected(sandbox: Sandbox, service: str, fields: set[str]) -> None:
    body = health(sandbox, service)
    assert body.keys() == COMMON | fields
    assert (body["status"], body["error"]) == ("healthy", None)
    assert [name for name in fields if body[name] is not True] == []
    assert health(sandbox, service)["uptime_seconds"] >= body["uptime_seconds"] > 0


def test_the_agents_are_always_healthy(sandbox: Sandbox) -> None:
    with without(sandbox, "archon-mcp"):
        body = health(sandbox, "archon-agents")
        assert (body["status"], body["service"]) == ("healthy", "agents")
        assert ask(sandbox, "archon-agents", "/agents/run", {"prompt": "x"}).json()["success"] is False


def test_the_mcp_server_is_ready_until_somebody_connects_and_then_says_what_it_sees(sandbox: Sandbox) -> None:
    sandbox.runtime.restart("archon-mcp")
    eventually(lambda: probe(BY_NAME["archon-mcp"], sandbox.settings).ok)
    with without(sandbox, "archon-search"):
        assert health(sandbox, "archon-mcp") == {"success": True, "status": "ready"}
        opening = {"jsonrpc": "2.0", "id": 7, "method": "initialize", "params": {}}
        assert ask(sandbox, "archon-mcp", "/mcp", opening).json()["result"]["serverInfo"]["name"] == "archon-mcp"
        body = health(sandbox, "archon-mcp")
        assert body.keys() == {"success", "health", "uptime_seconds", "timestamp"} and body["success"] is True
        assert body["health"].keys() == {"status", "api_service", "agents_service", "last_health_check"}
        assert (body["health"]["status"], body["health"]["api_service"]) == ("degraded", False)
        assert not probe(BY_NAME["archon-mcp"], sandbox.settings).ok
    assert health(sandbox, "archon-mcp")["health"]["status"] == "healthy"


def test_the_mcp_server_knows_its_methods(sandbox: Sandbox) -> None:
    def call(method: str) -> Any:
        return ask(sandbox, "archon-mcp", "/mcp", {"jsonrpc": "2.0", "id": 1, "method": method}).json()

    assert call("ping")["result"] == {}
    assert [tool["name"] for tool in call("tools/list")["result"]["tools"]] == ["search_knowledge"]
    assert call("no/such")["error"]["code"] == -32601
    assert ask(sandbox, "archon-mcp", "/mcp", {"method": "notifications/initialized"}).status_code == 202


def test_the_frontend_is_a_page(sandbox: Sandbox) -> None:
    answer = ask(sandbox, "archon-frontend", "/")
    assert answer.status_code == 200 and "<title>Archon</title>" in answer.text


# the cascade


def test_with_ollama_down_everything_says_200_and_searches_find_nothing(sandbox: Sandbox) -> None:
    document = {"document_id": "cascade", "content": "a document that would be found"}
    assert ask(sandbox, "archon-search", "/vectorize/document", document).json()["success"]
    query = {"query": document["content"], "mode": "semantic"}
    assert ask(sandbox, "archon-search", "/search", query).json()["results"] != []
    with without(sandbox, "ollama"):
        search = health(sandbox, "archon-search")
        assert (search["status"], search["error"]) == ("degraded", "not connected: embedding service")
        assert search["embedding_service_connected"] is False and search["bridge_connected"] is True
        answer = ask(sandbox, "archon-search", "/search", query)
        assert (answer.status_code, answer.json()["results"], answer.json()["total_results"]) == (200, [], 0)
        answer = ask(sandbox, "archon-search", "/vectorize/document", document)
        assert answer.status_code == 200 and answer.json()["success"] is False and answer.json()["error"]
        intelligence = health(sandbox, "archon-intelligence")  # reports it, and does not mind
        assert (intelligence["status"], intelligence["embedding_service_connected"]) == ("healthy", False)
        assert health(sandbox, "archon-bridge")["status"] == "healthy"
    assert health(sandbox, "archon-search")["status"] == "healthy"
    assert ask(sandbox, "archon-search", "/search", query).json()["results"] != []


def test_with_the_graph_down_its_three_clients_are_degraded_and_recover_by_themselves(sandbox: Sandbox) -> None:
    clients = ("archon-bridge", "archon-intelligence", "archon-search")
    with without(sandbox, "memgraph"):
        for service in clients:
            body = health(sandbox, service)
            assert (body["status"], body["memgraph_connected"]) == ("degraded", False)
        assert ask(sandbox, "archon-bridge", "/graph/search", {"query": "x"}).json()["results"] == []
        assert ask(sandbox, "archon-bridge", "/mapping/stats").json()["error"]
        found = ask(sandbox, "archon-search", "/search", {"query": "x", "mode": "structural"})
        assert (found.status_code, found.json()["results"]) == (200, [])
        extracted = ask(sandbox, "archon-intelligence", "/extract/document", {"document_id": "d", "content": "Aa"})
        assert (extracted.status_code, extracted.json()["success"]) == (200, False)
    for service in clients:
        eventually(lambda service=service: health(sandbox, service)["status"] == "healthy")  # type: ignore[misc]


def test_with_intelligence_down_the_bridge_is_degraded_and_search_does_not_mind(sandbox: Sandbox) -> None:
    assert health(sandbox, "archon-bridge")["intelligence_connected"] is True
    with without(sandbox, "archon-intelligence"):
        body = health(sandbox, "archon-bridge")
        assert (body["status"], body["error"]) == ("degraded", "not connected: intelligence")
        body = health(sandbox, "archon-search")
        assert (body["status"], body["bridge_connected"]) == ("healthy", True)


def test_a_bridge_that_has_not_met_intelligence_yet_is_healthy_because_it_is_started_first(sandbox: Sandbox) -> None:
    with without(sandbox, "archon-intelligence"):
        sandbox.runtime.restart("archon-bridge")
        eventually(lambda: probe(BY_NAME["archon-bridge"], sandbox.settings).ok)
        assert health(sandbox, "archon-bridge")["intelligence_connected"] is False


# what they do with the graph and the tables


def test_what_intelligence_extracts_is_in_the_graph_and_found_through_bridge_and_search(clean_sandbox: Sandbox) -> None:
    document = {"document_id": "d1", "content": "the HeaderParser calls a RequestReader, a HeaderParser indeed"}
    answer = ask(clean_sandbox, "archon-intelligence", "/extract/document", document).json()
    assert (answer["success"], answer["entities"]) == (True, 2)
    found = ask(clean_sandbox, "archon-bridge", "/graph/search", {"query": "headerpars"}).json()["results"]
    assert [(one["name"], one["labels"]) for one in found] == [("HeaderParser", ["Entity"])]
    query = {"query": "requestreader", "mode": "structural"}
    (result,) = ask(clean_sandbox, "archon-search", "/search", query).json()["results"]
    assert result["entity_id"].startswith("entity_") and result["title"] == "RequestReader"
    assert ask(clean_sandbox, "archon-bridge", "/mapping/stats").json()["entities"] == 2


def test_an_incomplete_document_is_refused_by_intelligence(sandbox: Sandbox) -> None:
    assert ask(sandbox, "archon-intelligence", "/extract/document", {"document_id": "d"}).status_code == 400


def test_the_bridge_writes_supabases_sources_into_the_graph(clean_sandbox: Sandbox) -> None:
    _sources(clean_sandbox, 3)
    for _ in range(2):  # twice is as good as once
        assert ask(clean_sandbox, "archon-bridge", "/sync/sources", {}).json() == {"success": True, "synced": 3}
    counts = ask(clean_sandbox, "archon-bridge", "/mapping/stats").json()
    assert (counts["entities"], counts["sources"]) == (3, 3)


def test_intelligence_has_metrics_and_a_baseline_from_what_it_measured(sandbox: Sandbox) -> None:
    health(sandbox, "archon-intelligence")
    asked = {"operation_name": "search", "duration_minutes": 60}
    begin = time.monotonic()
    body = ask(sandbox, "archon-intelligence", "/performance/baseline", asked).json()
    assert time.monotonic() - begin < 30  # it does not measure for an hour
    measured = {"average_response_time_ms", "p50_ms", "p95_ms", "p99_ms", "sample_size"}
    assert body.keys() == {"operation_name", "timestamp", "source", "message"} | measured
    assert body["operation_name"] == "search" and body["sample_size"] > 0 and 0 < body["p50_ms"] <= body["p99_ms"]
    text = ask(sandbox, "archon-intelligence", "/metrics").text
    assert '_bucket{method="GET",path="/health",le="+Inf"}' in text and "archon_http_request_duration_seconds" in text
    assert ask(sandbox, "archon-bridge", "/metrics").status_code == 404


# ollama


def test_ollama_has_the_model_of_the_settings_and_says_how_long_its_vectors_are(sandbox: Sandbox) -> None:
    model = sandbox.settings.embedding_model
    assert [one["name"] for one in ask(sandbox, "ollama", "/api/tags").json()["models"]] == [model]
    info = ask(sandbox, "ollama", "/api/show", {"model": model}).json()["model_info"]
    length = info[f"{info['general.architecture']}.embedding_length"]
    (vector,) = ask(sandbox, "ollama", "/api/embed", {"model": model, "input": "a text"}).json()["embeddings"]
    assert len(vector) == length == sandbox.settings.embedding_dimensions
    two = ask(sandbox, "ollama", "/api/embed", {"model": model, "input": ["a text", "another"]}).json()["embeddings"]
    older = ask(sandbox, "ollama", "/api/embeddings", {"model": model, "prompt": "a text"}).json()["embedding"]
    assert two[0] == vector == older and two[1] != vector


@pytest.mark.parametrize("path", ["/api/show", "/api/embed", "/api/embeddings"])
def test_ollama_does_not_know_another_model(sandbox: Sandbox, path: str) -> None:
    answer = ask(sandbox, "ollama", path, {"model": "llama3:8b", "input": "x", "prompt": "x"})
    assert answer.status_code == 404 and "not found" in answer.json()["error"]
    assert ask(sandbox, "ollama", "/api/tags").status_code == 200


def test_searches_vectors_are_those_of_ollama(clean_sandbox: Sandbox) -> None:
    document = {"document_id": "v", "content": "where do vectors come from"}
    assert ask(clean_sandbox, "archon-search", "/vectorize/document", document).json()["embedding_dimension"] == 1536
    asked = {"model": clean_sandbox.settings.embedding_model, "prompt": document["content"]}
    vector = ask(clean_sandbox, "ollama", "/api/embeddings", asked).json()["embedding"]
    scroll = "/collections/archon_vectors/points/scroll"
    (point,) = ask(clean_sandbox, "qdrant", scroll, {"with_vector": True}).json()["result"]["points"]
    assert point["vector"] == pytest.approx(vector, abs=1e-6)


# supabase


def _sources(sandbox: Sandbox, count: int) -> None:
    statement = (
        "CREATE TABLE archon_sources (source_id text PRIMARY KEY, title text);"
        f"INSERT INTO archon_sources SELECT 's' || n, 'it''s ' || n FROM generate_series(1, {count}) n;"
    )
    with sandbox.runtime.exec("postgres", ["psql", "-qX", "-v", "ON_ERROR_STOP=1", "-c", statement]) as command:
        command.stdin.close()
        assert command.wait(60.0) == 0, command.stderr_tail()


def rest(sandbox: Sandbox, path: str, variable: str | None = "SUPABASE_SERVICE_KEY", **headers: str) -> httpx.Response:
    key = {"apikey": sandbox.environment[variable]} if variable else {}
    return ask(sandbox, "supabase", f"/rest/v1/{path}", None, **key, **headers)


def test_supabase_looks_at_the_key_and_its_role(sandbox: Sandbox) -> None:
    answer = rest(sandbox, "", None)
    assert answer.status_code == 401 and answer.json()["message"] == "No API key found in request"
    assert rest(sandbox, "", "SUPABASE_ANON_KEY").status_code == 403
    assert rest(sandbox, "").status_code == 200
    good = sandbox.environment["SUPABASE_SERVICE_KEY"]
    for forged in ("nonsense", good[:-4] + "AAAA", sandbox.environment["SUPABASE_ANON_KEY"].split(".")[0] + good):
        assert rest(sandbox, "", None, apikey=forged).status_code == 401


def test_supabase_reads_the_tables_of_postgresql(clean_sandbox: Sandbox) -> None:
    _sources(clean_sandbox, 5)
    assert "/archon_sources" in rest(clean_sandbox, "").json()["paths"]
    answer = rest(clean_sandbox, "archon_sources?select=source_id&order=source_id.desc&limit=2", Prefer="count=exact")
    assert answer.json() == [{"source_id": "s5"}, {"source_id": "s4"}]
    assert answer.headers["content-range"] == "0-1/5"
    assert rest(clean_sandbox, "archon_sources?title=eq.it's 3").json() == [{"source_id": "s3", "title": "it's 3"}]
    assert rest(clean_sandbox, "archon_sources?offset=4&order=source_id").json()[0]["source_id"] == "s5"
    assert rest(clean_sandbox, "archon_sources", "SUPABASE_ANON_KEY").json() == []  # 200, and nothing to see


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("archon_nothing", 404, "PGRST205"),
        ("archon_sources?select=nothing", 400, "42703"),
        ("archon_sources?limit=many", 400, "PGRST100"),
        ("archon_sources?title=near.3", 400, "PGRST100"),
        ('archon_sources"; DROP TABLE archon_sources; --', 404, "PGRST205"),
    ],
)
def test_supabase_refuses_what_makes_no_sense(clean_sandbox: Sandbox, path: str, status: int, code: str) -> None:
    _sources(clean_sandbox, 1)
    answer = rest(clean_sandbox, path)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert len(rest(clean_sandbox, "archon_sources").json()) == 1


def test_supabase_without_its_database_says_so(sandbox: Sandbox) -> None:
    with without(sandbox, "postgres"):
        answer = rest(sandbox, "")
        assert (answer.status_code, answer.json()["code"]) == (503, "PGRST001")
        assert health(sandbox, "archon-intelligence")["freshness_database_connected"] is False


# a platform of its own services


def test_the_externals_are_the_sandboxes_and_not_the_platforms(sandbox: Sandbox) -> None:
    assert set(sandbox.services) == set(BY_NAME) - set(EXTERNALS)
    assert sandbox.externals.services() == EXTERNALS
    with pytest.raises(ConfigurationError, match="no such service"):
        sandbox.runtime.stop("ollama")
    for name in EXTERNALS:
        assert probe(BY_NAME[name], sandbox.settings).ok
        with without(sandbox, name):
            assert not probe(BY_NAME[name], sandbox.settings).ok
        assert probe(BY_NAME[name], sandbox.settings).ok


@pytest.mark.parametrize("service", STAND_INS)
def test_each_ends_by_itself_when_asked_to(sandbox: Sandbox, service: str) -> None:
    runtime = sandbox.externals if service in EXTERNALS else sandbox.runtime
    runtime.stop(service)
    (status,) = (one for one in runtime.status() if one.service == service)
    assert status.state == "exited" and status.exit_code != -9
    assert "Finished server process" in runtime.logs(service, 5)
    lifecycle.start(sandbox.home, service)


def test_a_service_that_moved_is_found_again_by_the_others(tmp_path: Path) -> None:
    home = tmp_path / "home"
    begin = time.monotonic()
    sandbox = lifecycle.up(home)
    print(f"\nthe whole sandbox, cold to all-healthy: {time.monotonic() - begin:.1f} s")  # noqa: T201
    try:
        before = sandbox.settings
        lifecycle.kill(home, "ollama")
        with socket.create_server(("127.0.0.1", int(str(before.ollama_url).rpartition(":")[2]))):
            lifecycle.start(home, "ollama")
        assert sandbox.settings.ollama_url != before.ollama_url
        assert health(sandbox, "archon-search")["status"] == "healthy"
        assert {view.healthy for view in lifecycle.status(home)} == {True}
    finally:
        lifecycle.down(home)
    assert processes_under(home) == []


def test_the_product_sees_no_secret_of_supabase(sandbox: Sandbox) -> None:
    kept = json.loads((sandbox.home / "sandbox" / "variables.json").read_text())
    assert kept["SUPABASE_JWT_SECRET"] not in sandbox.env_file.read_text()
    assert "SUPABASE_JWT_SECRET" not in sandbox.environment
