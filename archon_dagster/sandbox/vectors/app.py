"""The application: every route of the server, and nothing that is not one."""

import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import anyio.to_thread
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from archon_dagster.sandbox.vectors import collection_routes, http, metrics, point_routes
from archon_dagster.sandbox.vectors.http import Call, Endpoint
from archon_dagster.sandbox.vectors.optimizing import Optimizer
from archon_dagster.sandbox.vectors.registry import Registry
from archon_dagster.sandbox.vectors.snapshot_routes import SnapshotEndpoints

log = logging.getLogger(__name__)
THREADS = 128
"""Writers wait in threads while a snapshot is taken; readers must still find one."""


def build(registry: Registry, *, version: str, key: str | None = None, read_only_key: str | None = None) -> Starlette:
    """The application over ``registry``, which it closes when it stops."""
    optimizer = Optimizer(registry)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
        optimizer.start()
        try:
            yield
        finally:
            optimizer.stop()
            registry.close()

    return Starlette(
        routes=_routes(registry, optimizer, version),
        middleware=[Middleware(http.ApiKeys, key=key, read_only_key=read_only_key)],
        exception_handlers={404: http.nothing_here, 405: http.nothing_here, OSError: http.disk_refuses},
        lifespan=lifespan,
    )


def _routes(registry: Registry, optimizer: Optimizer, version: str) -> list[BaseRoute]:
    handled = [*collection_routes.ROUTES, *point_routes.ROUTES, *_service_handlers(version)]
    routes = [
        *_service_routes(registry, optimizer, version),
        *SnapshotEndpoints(registry).routes(),
        *(Route(path, http.answering(registry, handler), methods=[method]) for method, path, handler in handled),
    ]
    for route in routes:
        if route.methods is not None:
            route.methods.discard("HEAD")  # the real server has no HEAD: 404
    return [*routes]


def _service_handlers(version: str) -> list[tuple[str, str, Callable[[Call], Any]]]:
    started = datetime.now(UTC)
    return [
        ("GET", "/cluster", lambda call: {"status": "disabled"}),
        ("GET", "/issues", lambda call: {"issues": []}),
        ("GET", "/snapshots", lambda call: []),
        ("GET", "/telemetry", lambda call: metrics.telemetry(call.registry, version, started)),
    ]


def _service_routes(registry: Registry, optimizer: Optimizer, version: str) -> list[Route]:
    """What must answer at once, whatever the threads are doing."""

    async def root(request: Request) -> Response:
        return JSONResponse({"title": "qdrant - vector search engine", "version": version})

    async def exposition(request: Request) -> Response:
        text = await anyio.to_thread.run_sync(metrics.rendered, registry, version, optimizer.running)
        return PlainTextResponse(text)

    return [
        Route("/", root, methods=["GET"]),
        Route("/healthz", _text("healthz check passed"), methods=["GET"]),
        Route("/livez", _text("healthz check passed"), methods=["GET"]),
        Route("/readyz", _text("all shards are ready"), methods=["GET"]),
        Route("/metrics", exposition, methods=["GET"]),
    ]


def _text(text: str) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        return PlainTextResponse(text)

    return endpoint
