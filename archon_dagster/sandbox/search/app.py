"""The HTTP face of the search service, bad habits included.

Its health answers 200 while degraded, an embedder that is down is 200 with ``success: false``, and any failure
inside a search is 200 with no results: whoever operates it has to read the answers.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from json import JSONDecodeError
from typing import Any
from urllib.parse import urlsplit

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from archon_dagster.sandbox.embedding import embed
from archon_dagster.sandbox.search.documents import collection_of, payload_of, result_of
from archon_dagster.sandbox.search.index import VectorIndex
from archon_dagster.sandbox.search.settings import SearchSettings

log = logging.getLogger("archon.search")

VERSION = "1.0.0"
MODES = ("semantic", "structural", "hybrid", "relational")


@dataclass
class SearchService:
    """The service's state: its index, and whether it was ever initialised."""

    settings: SearchSettings
    index: VectorIndex
    initialised: bool = False
    started: float = field(default_factory=time.monotonic)

    async def initialise(self) -> bool:
        """Until Qdrant has answered once the service is not initialised; afterwards its failures are index failures."""
        self.initialised = self.initialised or await self.index.answers()
        return self.initialised

    def embed(self, text: str) -> list[float]:
        vector: list[float] = embed(text, self.settings.dimension).tolist()
        return vector


def create_app(settings: SearchSettings) -> Starlette:
    """The application; its client of Qdrant lives as long as it does."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        app.state.service = SearchService(settings, VectorIndex(settings))
        await app.state.service.initialise()
        yield
        await app.state.service.index.close()

    routes = [
        Route("/health", health),
        Route("/vectorize/document", vectorize, methods=["POST"]),
        Route("/search", search, methods=["POST"]),
        Route("/search/stats", stats),
    ]
    return Starlette(routes=routes, lifespan=lifespan)


async def health(request: Request) -> JSONResponse:
    service: SearchService = request.app.state.service
    qdrant, memgraph, bridge = await asyncio.gather(
        service.index.answers(),
        _listens(service.settings.memgraph_uri, 7687),
        _listens(service.settings.bridge_url, 8054),
    )
    service.initialised = service.initialised or qdrant
    missing = [
        name
        for name, wanted, there in (
            ("qdrant", True, qdrant),
            ("memgraph", bool(service.settings.memgraph_uri), memgraph),
            ("embedding service", True, service.settings.embedder_available),
        )
        if wanted and not there
    ]
    return JSONResponse(
        {
            "status": "degraded" if missing else "healthy",
            "memgraph_connected": memgraph,
            "bridge_connected": bridge,
            "embedding_service_connected": service.settings.embedder_available,
            "vector_index_ready": qdrant,
            "service_version": VERSION,
            "uptime_seconds": round(time.monotonic() - service.started, 3),
            "error": f"not connected: {', '.join(missing)}" if missing else None,
            "last_check": datetime.now(UTC).isoformat(),
        }
    )


async def vectorize(request: Request) -> JSONResponse:
    service: SearchService = request.app.state.service
    document = await _body(request)
    if not document.get("document_id") or not document.get("content"):
        return _detail(400, "document_id and content are required")
    if not await service.initialise():
        return _detail(503, "Search engine not initialized")
    if not service.settings.embedder_available:
        return JSONResponse({"success": False, "error": "Failed to generate embedding: embedding service unavailable"})
    vector, point_id = service.embed(document["content"]), str(uuid.uuid4())
    try:
        await service.index.insert(collection_of(document), point_id, vector, payload_of(document))
    except httpx.HTTPError as error:
        log.error("indexing %s failed: %s", document["document_id"], error)
        return _detail(500, f"Failed to index document: {type(error).__name__}")
    return JSONResponse(
        {
            "success": True,
            "document_id": document["document_id"],
            "project_id": document.get("project_id"),
            "vector_id": point_id,
            "embedding_dimension": len(vector),
            "indexed": True,
            "index_refreshed": await _refresh(service),
            "message": "Document vectorized and indexed successfully",
        }
    )


async def search(request: Request) -> JSONResponse:
    service: SearchService = request.app.state.service
    query = await _body(request)
    mode, limit, text = query.get("mode", "hybrid"), query.get("limit", 10), query.get("query")
    if mode not in MODES or not isinstance(limit, int) or not 1 <= limit <= 100 or not isinstance(text, str):
        return _detail(422, f"query is a text, mode one of {', '.join(MODES)}, limit from 1 to 100")
    started = time.monotonic()
    results = await _results(service, mode, text, limit)
    return JSONResponse(
        {
            "query": text,
            "mode": mode,
            "total_results": len(results),
            "returned_results": len(results),
            "results": results,
            "search_time_ms": round((time.monotonic() - started) * 1000, 2),
        }
    )


async def stats(request: Request) -> JSONResponse:
    service: SearchService = request.app.state.service
    available = await service.index.answers()
    return JSONResponse(
        {
            "service_status": "operational",
            "vector_index": {
                "use_qdrant": True,
                "embedding_dimension": service.settings.dimension,  # configuration, not the collection's size
                "in_memory_entities": 0,
                "memory_usage_mb": 0.0,
                "qdrant_available": available,
            },
            "component_health": {"vector_index": available, "embedder": service.settings.embedder_available},
            "search_capabilities": {"semantic_search": True, "structural_search": False, "hybrid_search": True},
        }
    )


async def _results(service: SearchService, mode: str, text: str, limit: int) -> list[dict[str, Any]]:
    """Hits of the vector index; the graph modes have no results here, and neither has any failure."""
    if mode not in ("semantic", "hybrid") or not service.settings.embedder_available:
        return []
    try:
        return [result_of(hit) for hit in await service.index.search(service.embed(text), limit)]
    except httpx.HTTPError as error:
        log.error("search failed: %s", error)
        return []


async def _refresh(service: SearchService) -> bool:
    if not service.settings.auto_refresh:
        return False
    try:
        await service.index.refresh()
    except httpx.HTTPError as error:
        log.warning("refreshing the index failed: %s", error)
        return False
    return True


async def _listens(address: str, default_port: int, timeout: float = 0.5) -> bool:
    """Whether something accepts a TCP connection there."""
    if not address:
        return False
    parts = urlsplit(address)
    try:
        opening = asyncio.open_connection(parts.hostname, parts.port or default_port)
        _, writer = await asyncio.wait_for(opening, timeout)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


async def _body(request: Request) -> dict[str, Any]:
    try:
        body = await request.json()
    except (JSONDecodeError, UnicodeDecodeError):
        return {}
    return body if isinstance(body, dict) else {}


def _detail(status: int, detail: str) -> JSONResponse:
    return JSONResponse({"detail": detail}, status_code=status)
