from __future__ import annotations

import dataclasses
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from archon_dagster.platform.probes import Answer, address, probe
from archon_dagster.platform.services import BY_NAME, Probe, Service
from archon_dagster.platform.settings import Settings, load_settings

Route = tuple[int, str]


@contextmanager
def http_server(routes: dict[str, Route]) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = routes.get(self.path, (404, ""))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body.encode())))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@contextmanager
def tcp_server(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """Serves one connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def run() -> None:
            connection, _ = listener.accept()
            with connection:
                serve(connection)

        thread = threading.Thread(target=run)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


def search(routes: dict[str, Route]) -> Answer:
    with http_server(routes) as port:
        return probe(BY_NAME["archon-search"], load_settings(SEARCH_SERVICE_PORT=port))


@pytest.mark.parametrize(
    "body",
    [
        '{"status": "healthy", "memgraph_connected": true}',
        '{"status": "ok"}',
        '{"success": true, "health": {"status": "healthy"}, "uptime_seconds": 3}',
        '{"success": true, "status": "ready"}',
        '{"success": true}',
    ],
)
def test_a_body_that_says_healthy_is_good(body: str) -> None:
    assert search({"/health": (200, body)}).ok


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ('{"status": "degraded", "error": "Memgraph gone"}', "degraded: Memgraph gone"),
        ('{"status": "unhealthy"}', "unhealthy"),
        ('{"success": false, "error": "no embedder"}', "no embedder"),
        ('{"success": true, "health": {"status": "unhealthy"}}', "unhealthy"),
        ('{"error": "boom"}', "boom"),
        ("{}", "does not say"),
        ("<html>OK</html>", "does not say"),
        ("[1]", "does not say"),
    ],
)
def test_a_200_that_does_not_say_healthy_is_bad(body: str, named: str) -> None:
    answer = search({"/health": (200, body)})
    assert not answer.ok
    assert named in answer.text


def test_an_error_status_is_bad_whatever_the_body_says() -> None:
    answer = search({"/health": (503, '{"status": "healthy"}')})
    assert not answer.ok
    assert "503" in answer.text


def test_a_page_only_has_to_answer() -> None:
    with http_server({"/": (200, "<html></html>")}) as port:
        assert probe(BY_NAME["archon-frontend"], load_settings(FRONTEND_PORT=port)).ok


def test_a_refused_connection_is_an_answer_too() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    answer = probe(BY_NAME["archon-search"], load_settings(SEARCH_SERVICE_PORT=port))
    assert not answer.ok
    assert answer.text == "nothing listens there: connection refused"


QDRANT = {
    "/readyz": (200, "all shards are ready"),
    "/collections": (200, '{"result": {"collections": [{"name": "a b"}, {"name": "c"}]}}'),
    "/collections/a%20b": (200, '{"result": {}}'),
    "/collections/c": (200, '{"result": {}}'),
}


def qdrant(routes: dict[str, Route], **options: bool) -> Answer:
    with http_server(routes) as port:
        return probe(BY_NAME["qdrant"], load_settings(QDRANT_URL=f"http://127.0.0.1:{port}"), **options)


def test_qdrant_is_good_when_every_collection_is() -> None:
    assert qdrant(QDRANT).ok


def test_one_dead_collection_behind_a_happy_readyz_is_found_and_named() -> None:
    answer = qdrant(QDRANT | {"/collections/c": (500, "dirty shard")})
    assert not answer.ok
    assert "/collections/c: HTTP 500: dirty shard" in answer.text


def test_a_red_collection_is_found_and_named() -> None:
    answer = qdrant(
        QDRANT | {"/collections/c": (200, '{"result": {"status": "red", "optimizer_status": {"error": "E"}}}')}
    )
    assert not answer.ok
    assert "collection c is red" in answer.text


def test_a_collection_that_was_deleted_meanwhile_is_nobodys_fault() -> None:
    assert qdrant({path: route for path, route in QDRANT.items() if path != "/collections/c"}).ok


def test_before_a_restore_a_dead_collection_is_no_obstacle() -> None:
    assert qdrant(QDRANT | {"/collections/c": (500, "dirty shard")}, loaded=False).ok


def test_shards_that_are_not_ready_are_bad() -> None:
    assert not qdrant(QDRANT | {"/readyz": (503, "some shards are not ready")}).ok


def postgres(serve: Callable[[socket.socket], None]) -> Answer:
    with tcp_server(serve) as port:
        return probe(BY_NAME["postgres"], load_settings(POSTGRES_PORT=port))


def error_message(code: str, text: str) -> bytes:
    fields = f"SFATAL\0C{code}\0M{text}\0\0".encode()
    return b"E" + struct.pack(">I", 4 + len(fields)) + fields


def says(message: bytes) -> Callable[[socket.socket], None]:
    def serve(connection: socket.socket) -> None:
        connection.recv(1024)
        connection.sendall(message)
        connection.recv(1024)

    return serve


def test_postgres_is_good_when_it_asks_for_the_password() -> None:
    assert postgres(says(b"R" + struct.pack(">II", 8, 5))).ok


@pytest.mark.parametrize("code", ["57P03", "53300"])
def test_postgres_that_takes_no_sessions_is_bad(code: str) -> None:
    answer = postgres(says(error_message(code, "not now")))
    assert not answer.ok
    assert answer.text == "not now"


def test_postgres_that_objects_to_the_session_only_is_at_work() -> None:
    assert postgres(says(error_message("28000", "no pg_hba.conf entry"))).ok


def test_postgres_that_hangs_up_is_bad() -> None:
    assert not postgres(lambda connection: connection.close()).ok


@pytest.mark.parametrize(
    ("name", "variable", "form"),
    [
        ("archon-search", "SEARCH_SERVICE_PORT", "{}"),
        ("qdrant", "QDRANT_URL", "http://127.0.0.1:{}"),
        ("memgraph", "MEMGRAPH_URI", "bolt://127.0.0.1:{}"),
        ("postgres", "POSTGRES_PORT", "{}"),
    ],
)
def test_a_server_that_hangs_costs_no_more_than_the_time_limit(name: str, variable: str, form: str) -> None:
    service = BY_NAME[name]
    hurried = dataclasses.replace(service, probe=dataclasses.replace(service.probe, timeout=0.2))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        answer = probe(hurried, load_settings(**{variable: form.format(silent.getsockname()[1])}))
    assert answer == Answer(False, "no answer within 0.2 s", answer.seconds)
    assert answer.seconds < 2


def test_bolt_that_is_no_bolt_is_bad() -> None:
    with tcp_server(lambda connection: connection.close()) as port:
        assert not probe(BY_NAME["memgraph"], load_settings(MEMGRAPH_URI=f"bolt://127.0.0.1:{port}")).ok


def test_an_external_service_without_address_is_not_configured() -> None:
    answer = probe(BY_NAME["ollama"], load_settings())
    assert answer == Answer(False, "not configured: OLLAMA_BASE_URL is not set", 0.0, reached=False)


def test_an_open_port_is_enough_for_a_tcp_probe() -> None:
    service = dataclasses.replace(BY_NAME["archon-mcp"], probe=Probe("tcp"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        settings = load_settings(MCP_SERVER_PORT=listener.getsockname()[1])
        assert probe(service, settings).ok
    assert not probe(service, settings).ok


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("qdrant", "http://127.0.0.1:6333"),
        ("memgraph", "bolt://127.0.0.1:7687"),
        ("postgres", "127.0.0.1:5432"),
        ("archon-search", "http://127.0.0.1:8055"),
        ("supabase", ""),
    ],
)
def test_addresses_come_from_the_settings(name: str, expected: str) -> None:
    assert address(BY_NAME[name], load_settings()) == expected


def test_an_address_shows_no_credentials() -> None:
    settings: Settings = load_settings(QDRANT_URL="https://me:secret@qdrant.example:6333/")
    service: Service = BY_NAME["qdrant"]
    assert address(service, settings) == "https://qdrant.example:6333"


def test_a_database_reached_by_dsn_is_probed_there() -> None:
    settings = load_settings(POSTGRES_DSN="postgresql://me:secret@db.example:6543/x")
    assert address(BY_NAME["postgres"], settings) == "db.example:6543"
