"""The metrics over HTTP, at ``/metrics`` and nowhere else: a few scrapes at once, and no patience with slow ones.

There is no login: whoever may connect may read. So it listens on the loopback interface, or on a network that only
Prometheus is on.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

from archon_dagster.errors import ServiceError
from archon_dagster.metrics.gathering import Facts

PORT = 9464
"""Not 9090: that is Prometheus' own."""

MOST = 8  # scrapes at once
PATIENCE = 5.0  # seconds a client may keep us waiting


def registry_of(facts: Facts) -> CollectorRegistry:
    """These facts alone, without anything of this process."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(facts)
    return registry


class MetricsServer(ThreadingMixIn, WSGIServer):
    """A thread for each scrape, and not more than :data:`MOST`: one more is turned away."""

    daemon_threads = True

    def __init__(self, *arguments: Any, **options: Any):
        self._places = threading.BoundedSemaphore(MOST)
        super().__init__(*arguments, **options)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._places.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A scraper that hangs up is no error."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class _Handler(WSGIRequestHandler):
    timeout = PATIENCE

    def log_message(self, format: str, *arguments: Any) -> None:
        """A line for every scrape would be the whole log."""


def serving(facts: Facts, host: str, port: int) -> MetricsServer:
    """A server that listens; its ``serve_forever`` answers. :class:`ServiceError` where the port is taken."""
    try:
        return make_server(host, port, _application(registry_of(facts)), MetricsServer, _Handler)
    except OSError as error:
        raise ServiceError(
            f"the metrics cannot be served: {error.strerror or error}",
            where=f"{host}:{port}",
            todo="choose another port: archon metrics serve --port N, and the same one in prometheus.yml",
        ) from error


def _application(registry: CollectorRegistry) -> Callable[..., Iterable[bytes]]:
    metrics = make_wsgi_app(registry)

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/metrics":
            answered: Iterable[bytes] = metrics(environ, start_response)
            return answered
        start_response("404 Not Found", [("Content-Type", "text/plain; charset=utf-8")])
        return [b"the metrics are at /metrics\n"]

    return answer
