"""Collections in strict mode: capped pages, nothing exact, a rate limit."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from archon_dagster.stores.vectors import live, state, strict
from archon_dagster.stores.vectors.client import Client
from archon_dagster.stores.vectors.strict import Limits, limits
from archon_dagster.stores.vectors.transport import Transport

POINTS = 25
STRICT = {"enabled": True, "max_query_limit": 4, "search_allow_exact": False}
CONFIG = {"params": {"vectors": {"size": 2, "distance": "Dot"}}, "strict_mode_config": STRICT}


class Strict(BaseHTTPRequestHandler):
    """A collection ``c`` in strict mode that answers every second read with "later"."""

    protocol_version = "HTTP/1.1"
    asked: list[str]

    def _answer(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)) or b"{}")
        self.asked.append(self.path)
        later = self.path.endswith("/scroll") and len(self.asked) % 2 == 1
        status, answer = (429, {"status": {"error": "Rate limiting exceeded"}}) if later else self._of(body)
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(data)))
        if later:
            self.send_header("retry-after", "0")
        self.end_headers()
        self.wfile.write(data)

    def _of(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if body.get("exact") or (body.get("params") or {}).get("exact"):
            return 400, {"status": {"error": "Exact search disabled!"}}
        if body.get("limit", 0) > STRICT["max_query_limit"]:
            return 400, {"status": {"error": 'Limit exceeded for "limit"'}}
        return 200, {"result": self._result(body)}

    def _result(self, body: dict[str, Any]) -> Any:
        if self.path == "/":
            return {"version": "1.18.3"}
        if self.path == "/collections/c":
            return {"status": "green", "config": CONFIG, "payload_schema": {}}
        if self.path.endswith("/query"):
            return {"points": [{"id": 24, "score": 577.0}]}
        first = body["offset"] or 0
        page = [{"id": n, "vector": [1.0, n]} for n in range(first, min(POINTS, first + body["limit"]))]
        return {"points": page, "next_page_offset": first + len(page) if first + len(page) < POINTS else None}

    do_GET = do_POST = _answer

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def client() -> Iterator[Client]:
    handler = type("Handler", (Strict,), {"asked": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            with Transport(f"http://127.0.0.1:{server.server_port}", None) as transport:
                yield Client(transport)
        finally:
            server.shutdown()
            thread.join()


def test_limits_hold_only_while_strict_mode_is_on() -> None:
    assert limits(CONFIG) == Limits(page=4, exact=False)
    assert limits({"strict_mode_config": STRICT | {"enabled": False}}) == Limits()
    assert limits({}) == Limits()


def test_points_are_counted_where_an_exact_count_is_forbidden(client: Client) -> None:
    assert strict.count(client, "c", CONFIG) == POINTS
    assert state.examine(client, ["c"]).alive["c"].count == POINTS


@pytest.mark.parametrize("limit", [1000, 0])
def test_they_are_read_in_pages_of_the_size_allowed(client: Client, limit: int) -> None:
    part, _ = live.points_part(client, "c", CONFIG, limit, lambda _: None)
    assert part.count == POINTS


def test_a_search_that_may_not_be_exact_need_not_find_the_point_itself(client: Client) -> None:
    assert live.find_themselves(client, "c", CONFIG) == 3
