"""The client against answers recorded from real servers; what was not recorded is not asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from archon_dagster.errors import Cancelled, StoreError, StoreUnavailable
from archon_dagster.stores.base import Work
from archon_dagster.stores.vectors import waiting
from archon_dagster.stores.vectors.client import Client, ServerSnapshot
from archon_dagster.stores.vectors.ledger import Ledger
from archon_dagster.stores.vectors.store import VectorStore
from archon_dagster.stores.vectors.transport import Refused, Transport, address
from archon_dagster.stores.vectors.version import Version
from archon_dagster_tests.unit.vector_data import SMALL

VERSIONS = ("1.18.3", "1.7.4")


class Recorded(BaseHTTPRequestHandler):
    """Answers a request with the last answer recorded for it; notes the routes that were not."""

    protocol_version = "HTTP/1.1"
    answers: dict[tuple[str, str], tuple[int, Any]]
    unknown: list[str]

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        status, answer = self.answers.get((self.command, self.path), (404, None))
        if answer is None:
            self.unknown.append(f"{self.command} {self.path}")
        body = b"" if answer is None else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_DELETE = _answer

    def log_message(self, *_: object) -> None: ...


@contextmanager
def recorded(version: str, **more: tuple[int, Any]) -> Iterator[tuple[Client, list[str]]]:
    """A client of a server that answers as one of that version did; also the routes it was asked and did not have."""
    answers: dict[tuple[str, str], tuple[int, Any]] = {}
    for line in (SMALL / f"v{version}" / "transcript.jsonl").read_text().splitlines():
        entry = json.loads(line)
        route, status, answer = (entry["method"], entry["path"]), entry["status"], entry["answer"]
        is_json = status and isinstance(answer, dict) and "__bytes__" not in answer
        if is_json and (status < 400 or route not in answers):
            answers[route] = (status, answer)
    answers |= {("GET", path): answer for path, answer in more.items()}
    unknown: list[str] = []
    handler = type("Handler", (Recorded,), {"answers": answers, "unknown": unknown})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            with Transport(f"http://127.0.0.1:{server.server_port}", None) as transport:
                yield Client(transport), unknown
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("version", VERSIONS)
def test_it_reads_both_servers(version: str) -> None:
    with recorded(version) as (client, unknown):
        assert str(client.version) == version
        assert client.aliases() == {"live": "archon_vectors"}
        assert client.info("archon_vectors")["status"] == "green"
        assert client.cluster_enabled() is False
        assert (client.disk_bytes("archon_vectors") is None) == (version == "1.7.4")
        assert unknown == []


@pytest.mark.parametrize("version", VERSIONS)
def test_it_searches_by_the_route_the_version_has(version: str) -> None:
    with recorded(version) as (client, unknown):
        with_answer = client.search("archon_vectors", [1.0], "", 3)
        assert {"id", "score"} <= with_answer[0].keys()
        assert unknown == []


@pytest.mark.parametrize("version", VERSIONS)
def test_checksums_are_missing_where_the_server_has_none(version: str) -> None:
    with recorded(version) as (client, _):
        listed = client.snapshots("quality_vectors")
        assert listed
        assert all(isinstance(s, ServerSnapshot) and s.size > 0 for s in listed)
        assert all((s.checksum is None) == (version == "1.7.4" or s.name == "s.snapshot") for s in listed)


@pytest.mark.parametrize("version", VERSIONS)
def test_an_absent_collection_has_no_snapshots(version: str) -> None:
    with recorded(version) as (client, _):
        assert client.snapshots("newer") == []


def test_a_lost_snapshot_directory_holds_no_snapshots() -> None:
    lost = {"status": {"error": "Service internal error: No such file or directory (os error 2)"}}
    with recorded("1.7.4", **{"/collections/c/snapshots": (500, lost)}) as (client, _):
        assert client.snapshots("c") == []


def test_disk_use_is_not_known_where_its_route_is_gone() -> None:
    with recorded("1.18.3", **{"/": (200, {"version": "1.25.0"})}) as (client, _):
        assert client.disk_bytes("named") is None


def test_an_address_may_have_a_path() -> None:
    behind = {"/behind/a/proxy/": (200, {"version": "1.2.3"})}
    with (
        recorded("1.18.3", **behind) as (client, _),
        Transport(f"{client.address}/behind/a/proxy/", None) as transport,
    ):
        assert str(Client(transport).version) == "1.2.3"


def test_a_refusal_carries_the_servers_words() -> None:
    with recorded("1.18.3") as (client, _), pytest.raises(Refused, match="Collection `absent` doesn't exist") as caught:
        client.info("absent")
    assert caught.value.status == 404


def test_something_else_than_qdrant_is_recognised() -> None:
    with recorded("1.18.3", **{"/": (200, {"hello": "world"})}) as (client, _), pytest.raises(StoreError, match="not"):
        _ = client.version


def test_nobody_listening_is_unavailable() -> None:
    with pytest.raises(StoreUnavailable, match="no connection"):
        VectorStore("http://127.0.0.1:1").describe()


def test_credentials_in_an_address_are_not_shown() -> None:
    assert address("https://user:s3cret@host:6333/") == "https://host:6333"
    assert "s3cret" not in repr(VectorStore("https://user:s3cret@host:6333/"))


@pytest.mark.parametrize(("server", "snapshot", "loads"), [
    ("1.18.3", "1.18.3", True), ("1.18.0", "1.18.9", True), ("1.19.0", "1.18.3", True), ("1.20.0", "1.18.3", False),
    ("1.17.1", "1.18.3", False), ("2.18.0", "1.18.0", False), ("1.7.4", "1.18.3", False),
])  # fmt: skip
def test_the_version_rule(server: str, snapshot: str, loads: bool) -> None:
    assert Version.parse(server).loads(Version.parse(snapshot)) is loads


def test_a_hanging_call_is_left_when_the_run_is_cancelled(tmp_path: Any) -> None:
    work, hang = Work(scratch=tmp_path), threading.Event()
    threading.Timer(0.1, work.cancel.set).start()
    with pytest.raises(Cancelled):
        waiting.call(lambda: hang.wait(30), work.check)
    hang.set()


def test_a_call_in_its_grace_still_returns_what_it_made(tmp_path: Any) -> None:
    work, answered = Work(scratch=tmp_path), threading.Event()
    work.cancel.set()
    threading.Timer(0.5, answered.set).start()
    assert waiting.call(lambda: answered.wait(30), work.check, grace=lambda: 20.0) is True


def test_the_ledger_remembers_until_it_is_struck(tmp_path: Any) -> None:
    ledger = Ledger(tmp_path / "state" / "ledger.json")
    ledger.note("http://a", "c")
    assert [e.collection for e in ledger.entries("http://a") if not e.name] == ["c"]
    ledger.note("http://a", "c", asked=2.0)
    ledger.note("http://a", "c", "c-1.snapshot")
    assert [(e.name, e.asked) for e in ledger.entries("http://a")] == [("", 2.0), ("c-1.snapshot", 0.0)]
    ledger.strike("http://a", "c", asked=2.0)
    again = Ledger(tmp_path / "state" / "ledger.json")
    assert [e.name for e in again.entries("http://a")] == ["c-1.snapshot"]
    assert again.entries("http://b") == []
    again.strike("http://a", "c", "c-1.snapshot")
    assert ledger.entries("http://a") == []
