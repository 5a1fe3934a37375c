"""The HTTP face of the search service, bad habits included.

Its health answers 200 while degraded, an embedder that is down is 200 with ``success: false``, and any failure
inside a search is 200 with no results: whoever operates it has to read the answers.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from archon_dagster.sandbox.search.documents import collection_of, entity_of, payload_of, result_of
from archon_dagster.sandbox.search.embedder import Embedder, NoEmbedding
from archon_dagster.sandbox.search.index import VectorIndex
from archon_dagster.sandbox.search.settings import SearchSettings
from archon_dagster.sandbox.services.behaving import behaving
from archon_dagster.sandbox.services.health import Pulse
from archon_dagster.sandbox.services.health import health as health_body
from archon_dagster.sandbox.services.neighbours import Neighbour, Unanswered, body_of

log = logging.getLogger("archon.search")

MODES = ("semantic", "structural", "hybrid", "relational")
_OF_THE_INDEX = ("semantic", "hybrid")


class Search:
    """The service: its index, its neighbours, and whether it was ever initialised."""

    def __init__(self, settings: SearchSettings, pulse: Pulse):
        self._settings, self._pulse = settings, pulse
        self._index, self._embedder = VectorIndex(settings), Embedder(settings)
        self._bridge = Neighbour(settings.bridge_url)
        self._initialised = False

    async def initialise(self) -> bool:
        """Until Qdrant has answered once the service is not initialised; afterwards its failures are index failures."""
        self._initialised = self._initialised or await self._index.answers()
        return self._initialised and not self._pulse.starting

    async def close(self) -> None:
        await self._index.close()

    async def health(self, request: Request) -> Response:
        """The bridge is reported and does not count; it is asked for its own health, which asks the next one."""
        qdrant, memgraph, bridge, embedder = await asyncio.gather(
            self._index.answers(),
            _listens(self._settings.memgraph_uri, 7687),
            self._bridge.answers(),
            self._embedder.answers(),
        )
        self._initialised = self._initialised or qdrant
        connected = {
            "memgraph_connected": memgraph,
            "bridge_connected": bridge,
            "embedding_service_connected": embedder,
            "vector_index_ready": qdrant,
        }
        needed = {"vector_index_ready": "qdrant", "embedding_service_connected": "embedding service"}
        if self._settings.memgraph_uri:
            needed["memgraph_connected"] = "memgraph"
        return health_body(request, self._pulse, connected, needed)

    async def vectorize(self, request: Request) -> Response:
        document = await body_of(request)
        if not document.get("document_id") or not document.get("content"):
            return _detail(400, "document_id and content are required")
        if not await self.initialise():
            return _detail(503, "Search engine not initialized")
        try:
            vector, point_id = await self._embedder.embed(str(document["content"])), str(uuid.uuid4())
            await self._index.insert(collection_of(document), point_id, vector, payload_of(document))
        except NoEmbedding as error:
            return JSONResponse({"success": False, "error": f"Failed to generate embedding: {error}"})
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
                "index_refreshed": await self._refresh(),
                "message": "Document vectorized and indexed successfully",
            }
        )

    async def _refresh(self) -> bool:
        if not self._settings.auto_refresh:
            return False
        try:
            await self._index.refresh()
        except httpx.HTTPError as error:
            log.warning("refreshing the index failed: %s", error)
            return False
        return True

    async def search(self, request: Request) -> Response:
        query = await body_of(request)
        mode, limit, text = query.get("mode", "hybrid"), query.get("limit", 10), query.get("query")
        if mode not in MODES or not isinstance(limit, int) or not 1 <= limit <= 100 or not isinstance(text, str):
            return _detail(422, f"query is a text, mode one of {', '.join(MODES)}, limit from 1 to 100")
        started = time.monotonic()
        return _found(text, mode, await self._results(mode, text, limit), time.monotonic() - started)

    async def _results(self, mode: str, text: str, limit: int) -> list[dict[str, Any]]:
        """Hits of the vector index, or of the graph for its modes; any failure has no results."""
        try:
            if mode in _OF_THE_INDEX:
                return [result_of(hit) for hit in await self._index.search(await self._embedder.embed(text), limit)]
            if not self._bridge.url:
                return []
            reply = await self._bridge.ask("POST", "/graph/search", {"query": text, "limit": limit})
            return [entity_of(node) for node in (reply.body or {}).get("results", [])]
        except (NoEmbedding, Unanswered, httpx.HTTPError) as error:
            log.error("search failed: %s", error)
            return []

    async def stats(self, request: Request) -> Response:
        available, embedder = await asyncio.gather(self._index.answers(), self._embedder.answers())
        return JSONResponse(
            {
                "service_status": "operational",
                "vector_index": {
                    "use_qdrant": True,
                    "embedding_dimension": self._settings.dimension,  # configuration, not the collection's size
                    "in_memory_entities": 0,
                    "memory_usage_mb": 0.0,
                    "qdrant_available": available,
                },
                "component_health": {"vector_index": available, "embedder": embedder},
                "search_capabilities": {"semantic_search": True, "structural_search": True, "hybrid_search": True},
            }
        )


def create(environment: Mapping[str, str]) -> Starlette:
    """The service as a platform with these variables has it; its client of Qdrant lives as long as it does."""
    service = Search(SearchSettings.from_environment(environment), Pulse(environment))

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        await service.initialise()
        yield
        await service.close()

    routes = [
        Route("/health", service.health),
        Route("/vectorize/document", service.vectorize, methods=["POST"]),
        Route("/search", service.search, methods=["POST"]),
        Route("/search/stats", service.stats),
    ]
    return Starlette(routes=routes, lifespan=lifespan, middleware=behaving(environment, _broken))


def _broken(request: Request) -> Response:
    if request.url.path == "/search":
        return _found("", "semantic", [], 0.0)
    return JSONResponse({"success": False, "error": "internal error"})


def _found(query: str, mode: str, results: list[dict[str, Any]], seconds: float) -> Response:
    count = len(results)
    return JSONResponse(
        {
            "query": query,
            "mode": mode,
            "total_results": count,
            "returned_results": count,
            "results": results,
            "search_time_ms": round(seconds * 1000, 2),
        }
    )


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


def _detail(status: int, detail: str) -> JSONResponse:
    return JSONResponse({"detail": detail}, status_code=status)
