"""A runtime whose services can be scaled and limited; one small server answers for all of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from archon_dagster.errors import ConfigurationError
from archon_dagster.platform.limits import Host, Resources
from archon_dagster.platform.runtime.protocol import Replica, Replicas
from archon_dagster.platform.settings import Settings, load_settings
from archon_dagster.scaling.context import ScalingContext
from archon_dagster_tests.unit.platform_double import SwitchRuntime

GIB = 2**30


class Scalable(SwitchRuntime):
    """Remembers how often each service shall run.

    :param sick_from: from how many replicas on the last one is not well. :param least: bytes a service needs to live.
    :param unread: services whose limits would not hold, as with a compose file that does not read them.
    """

    def __init__(self) -> None:
        super().__init__(("qdrant", "archon-intelligence", "archon-search"))
        self.counts: dict[str, int] = {}
        self.sick_from: int | None = None
        self.sick: set[str] = set()
        self.scaled: list[int] = []
        self.given: dict[str, Resources] = {}
        self.least = 64 * 2**20
        self.fixed = ""
        self.unread: set[str] = set()

    def scale(self, service: str, replicas: int) -> None:
        self.scaled.append(replicas)
        self.counts[service] = replicas

    def replicas(self, service: str) -> Replicas:
        count = self.counts.get(service, 1)
        sick = {count} if self.sick_from is not None and count >= self.sick_from else set()
        sick |= {1} if service in self.sick else set()
        each = (Replica(n, "exited" if n in sick else "running", str(n), n not in sick) for n in range(1, count + 1))
        return Replicas(service, count, tuple(each), self.fixed)

    def limit(self, service: str, limits: Resources | None) -> None:
        self.done.append(("limit", (service,)))
        self.given.pop(service, None)
        if limits is not None:
            self.given[service] = limits

    def require_limits(self, limits: Mapping[str, Resources]) -> None:
        if found := self.unread.intersection(limits):
            raise ConfigurationError(f"the compose file does not read the limits of {', '.join(found)}")

    def limits(self, service: str) -> Resources | None:
        return self.given.get(service)

    def recreate(self, *services: str) -> None:
        super().recreate(*services)
        for name in services:
            limits = self.given.get(name)
            if limits and limits.memory < self.least:  # it ends at once
                self.sick.add(name)
                self.states[name] = "exited"
            else:
                self.sick.discard(name)

    def host(self) -> Host:
        return Host(8, 32 * GIB)


class _Healthy(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        collections: dict[str, Any] = {"result": {"collections": []}}
        body = json.dumps({"status": "healthy", **collections}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None: ...


@contextmanager
def healthy() -> Iterator[int]:
    """A server that says that it is well; its port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Healthy)
    thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def settings_of(home: Path, port: int) -> Settings:
    """Every service is at this port; a start may take a second."""
    return load_settings(
        ARCHON_HOME=home, ARCHON_RUNTIME="processes", SEARCH_SERVICE_PORT=port, INTELLIGENCE_SERVICE_PORT=port,
        QDRANT_URL=f"http://127.0.0.1:{port}", ARCHON_START_PATIENCE=0.01,
    )  # fmt: skip


def context_of(home: Path, port: int, runtime: Scalable) -> ScalingContext:
    """Of a platform like that."""
    return ScalingContext(settings_of(home, port), runtime)
