"""One round: in time with everything dead or hung, and every answer read for what it is."""

from __future__ import annotations

import dataclasses
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from archon_dagster.health.consistency import judge
from archon_dagster.health.knowledge import Expected, Knowledge
from archon_dagster.health.samples import Sample
from archon_dagster.health.sampling import take_samples, watched
from archon_dagster.platform.runtime.elsewhere import ElsewhereRuntime
from archon_dagster.platform.services import BY_NAME, CATALOGUE, Probe
from archon_dagster.platform.settings import Settings, load_settings
from archon_dagster_tests.unit.test_probes import http_server

PORTS = ("POSTGRES_PORT", "BRIDGE_SERVICE_PORT", "INTELLIGENCE_SERVICE_PORT", "SEARCH_SERVICE_PORT",
         "MCP_SERVER_PORT", "AGENTS_SERVICE_PORT", "FRONTEND_PORT")  # fmt: skip


def take_round(settings: Settings) -> dict[str, Sample]:
    """Ask the whole catalogue, in less than three seconds."""
    begin = time.monotonic()
    found = take_samples(CATALOGUE, settings)
    assert time.monotonic() - begin < 3
    return found


def everybody_at(port: int) -> Settings:
    """A platform all of whose services are at one port."""
    where = f"http://127.0.0.1:{port}"
    return load_settings(
        QDRANT_URL=where, MEMGRAPH_URI=f"bolt://127.0.0.1:{port}", OLLAMA_BASE_URL=where, SUPABASE_URL=where,
        SUPABASE_SERVICE_KEY="secret", EMBEDDING_MODEL="m", **dict.fromkeys(PORTS, port),
    )  # fmt: skip


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Accepts connections, and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_a_round_with_everything_dead_is_over_at_once(closed_port: int) -> None:
    found = take_round(everybody_at(closed_port))
    assert len(found) == len(CATALOGUE)
    for sample in found.values():
        assert (sample.verdict, sample.reached, sample.seconds) == ("unhealthy", False, None)
        assert [facet.problem for facet in sample.failed] == ["unreachable"]


def test_a_round_with_everything_hung_ends_in_time(silent_port: int) -> None:
    found = take_round(everybody_at(silent_port))
    for sample in found.values():
        assert (sample.verdict, sample.reached) == ("unhealthy", True), sample
        assert [facet.problem for facet in sample.failed] == ["silent"], sample


def test_an_address_that_leads_nowhere_costs_no_more(silent_port: int) -> None:
    """A full backlog: not even the connection is accepted."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=1))
        port = listener.getsockname()[1]
        for _ in range(8):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.1", port))
        found = take_round(everybody_at(port))
    assert {sample.verdict for sample in found.values()} == {"unhealthy"}


def test_a_service_that_says_degraded_is_degraded_and_one_that_says_unhealthy_is_not_ready() -> None:
    for said, verdict, problem in (("degraded", "degraded", "says_degraded"), ("unhealthy", "unhealthy", "not_ready")):
        with http_server({"/health": (200, f'{{"status": "{said}", "error": "no bridge"}}')}) as port:
            found = take_samples([BY_NAME["archon-search"]], load_settings(SEARCH_SERVICE_PORT=port))
        sample = found["archon-search"]
        assert (sample.verdict, [facet.problem for facet in sample.failed]) == (verdict, [problem])
        assert "no bridge" in sample.text


def test_slow_is_what_the_threshold_says() -> None:
    slow = dataclasses.replace(BY_NAME["archon-search"], probe=Probe("http", "/health", slow_after=1e-9))
    with http_server({"/health": (200, '{"status": "ok"}')}) as port:
        settings = load_settings(SEARCH_SERVICE_PORT=port)
        assert take_samples([slow], settings)["archon-search"].verdict == "degraded"
        own = load_settings(SEARCH_SERVICE_PORT=port, ARCHON_HEALTH_POLICIES={"archon-search": {"slow_after": 5}})
        assert take_samples([slow], own)["archon-search"].verdict == "healthy"


def test_an_answer_of_an_unforeseen_shape_is_no_healthy_one() -> None:
    with http_server({"/api/tags": (200, "[1]")}) as port:
        settings = load_settings(OLLAMA_BASE_URL=f"http://127.0.0.1:{port}", EMBEDDING_MODEL="m")
        sample = take_samples([BY_NAME["ollama"]], settings)["ollama"]
    assert sample.verdict == "unhealthy" and "cannot be read" in sample.text


def test_who_is_not_there_is_left_out_with_the_reason() -> None:
    found = watched(load_settings(), ElsewhereRuntime())
    assert [service.name for service in found.services] == ["qdrant", "memgraph", "postgres"]
    assert found.left_out["ollama"] == "not configured: OLLAMA_BASE_URL is not set"
    assert found.left_out["archon-search"] == "this platform does not have it"


def test_the_settings_may_name_who_is_watched() -> None:
    settings = load_settings(ARCHON_HEALTH_WATCHED=["archon-search"], OLLAMA_BASE_URL="http://127.0.0.1:1")
    found = watched(settings, ElsewhereRuntime())
    assert [service.name for service in found.services] == ["archon-search"]
    assert found.left_out["ollama"] == "not among ARCHON_HEALTH_WATCHED"


BUSY = {
    "/readyz": "ready",
    "/": '{"version": "1.18.3"}',
    "/collections": '{"result": {"collections": [{"name": "archon_vectors"}, {"name": "quality_vectors"}]}}',
    **{
        f"/collections/{name}{rest}": f'{{"result": {said}}}'
        for name in ("archon_vectors", "quality_vectors")
        for rest, said in (
            ("", '{"status": "green", "config": {"params": {"vectors": {"size": 1536, "distance": "Cosine"}}}}'),
            ("/points/count", '{"count": 0}'),
        )
    },
}


@contextmanager
def busy_qdrant(stalled: str, **more: Any) -> Iterator[Settings]:
    """A Qdrant with two empty collections that answers everything but one path, and to that one never."""
    released = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.path == stalled:
                released.wait(60)
            body = BUSY[self.path].encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, *_: Any) -> None: ...

        def handle(self) -> None:
            try:
                super().handle()
            except ConnectionError:  # who asked has given up
                return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            where = f"http://127.0.0.1:{server.server_address[1]}"
            yield load_settings(QDRANT_URL=where, ARCHON_HEALTH_ROUND_LIMIT=1.0, **more)
        finally:
            released.set()
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("stalled", "verdict", "unseen"),
    [
        ("/collections", "degraded", "not examined: it did not list"),
        ("/collections/archon_vectors", "healthy", "not examined: archon_vectors"),
        ("/collections/archon_vectors/points/count", "healthy", "not examined: archon_vectors"),
        ("/readyz", "unhealthy", "not ready"),
    ],
)
def test_a_qdrant_that_is_busy_is_no_qdrant_that_hangs(stalled: str, verdict: str, unseen: str) -> None:
    """It would be restarted for it, and what was not counted in time restored."""
    with busy_qdrant(stalled) as settings:
        sample = take_samples([BY_NAME["qdrant"]], settings)["qdrant"]
    assert sample.verdict == verdict, sample.text
    assert any(facet.problem == "silent" for facet in sample.failed) == (verdict == "unhealthy")
    seen = sample.facet("functional")
    assert seen is None or unseen in seen.detail
    held = Knowledge(expected={"vectors": Expected("B", {"archon_vectors": 100})})
    consistent = judge(sample, held, settings)
    assert consistent is not None and consistent.passed is None
