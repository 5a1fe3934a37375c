"""Optimising Qdrant: what wakes its optimizers is not refused, they are waited for, and a failure has a name."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from archon_dagster.errors import StoreError
from archon_dagster.maintenance import vectors
from archon_dagster.maintenance.step import MaintenanceContext
from archon_dagster_tests.unit.platform_double import Platform


class Qdrant:
    """Collections whose status is the next of a list at each look; the last one stays."""

    def __init__(self) -> None:
        self.statuses: dict[str, list[str]] = {"archon_vectors": ["green"], "quality_vectors": ["green"]}
        self.refuses: set[str] = set()
        self.woken: list[str] = []

    def answer(self, method: str, path: str) -> tuple[int, Any]:
        name = path.rpartition("/")[2]
        if path == "/collections":
            return 200, {"collections": [{"name": one} for one in self.statuses]}
        if method == "PATCH" and name not in self.refuses:
            self.woken.append(name)
            return 200, True
        if method == "GET" and name in self.statuses:
            left = self.statuses[name]
            status = left.pop(0) if len(left) > 1 else left[0]
            return 200, {"status": status, "optimizer_status": "ok", "segments_count": len(left)}
        return 404, None  # as for the runbook's POST of an index


@pytest.fixture
def qdrant(tmp_path: Path) -> Iterator[tuple[Qdrant, MaintenanceContext]]:
    double = Qdrant()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, result = double.answer(self.command, self.path.partition("?")[0])
            body = json.dumps({"result": result, "status": "ok" if status == 200 else {"error": "Not found"}}).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_PATCH = do_POST = do_PUT = answer

        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        platform = Platform(tmp_path)
        changed = {"qdrant_url": f"http://127.0.0.1:{server.server_address[1]}", "maintenance_step_limit": 3.0}
        object.__setattr__(platform.context, "settings", platform.settings.model_copy(update=changed))
        yield double, MaintenanceContext(platform.context)
        server.shutdown()
        thread.join()


def test_every_collection_is_woken_and_waited_for(qdrant: tuple[Qdrant, MaintenanceContext]) -> None:
    server, context = qdrant
    server.statuses["archon_vectors"] = ["grey", "yellow", "yellow", "green"]
    done = vectors.optimise(context)
    assert server.woken == ["archon_vectors", "quality_vectors"]
    assert done.detail == "2 collections are green"
    assert done.lines[0].startswith("archon_vectors: 3 -> 1 segments")


def test_a_request_that_the_server_does_not_know_is_a_failure_by_name(
    qdrant: tuple[Qdrant, MaintenanceContext],
) -> None:
    server, context = qdrant
    server.refuses = {"archon_vectors"}
    with pytest.raises(StoreError, match=r"1 of 2 collections were not optimised: archon_vectors: .*404"):
        vectors.optimise(context)
    assert server.woken == ["quality_vectors"]


@pytest.mark.parametrize(
    ("status", "said"), [("yellow", "not done within 3 s: status yellow"), ("red", "optimizers failed: status red")]
)
def test_one_that_does_not_become_green_is_a_failure_by_name(
    qdrant: tuple[Qdrant, MaintenanceContext], status: str, said: str
) -> None:
    server, context = qdrant
    server.statuses["quality_vectors"] = [status]
    with pytest.raises(StoreError, match=rf"quality_vectors: .*{said}"):
        vectors.optimise(context)
    assert server.woken == ["archon_vectors", "quality_vectors"]
