"""Document intelligence: extracts entities into the graph, and is the one service with metrics.

Its health hangs on one thing, that the graph answers within 100 ms, so under a write load it flaps; that the embedder
is down it reports and does not mind.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from archon_dagster.sandbox.services.behaving import behaving
from archon_dagster.sandbox.services.graph import Graph, NoGraph
from archon_dagster.sandbox.services.health import Pulse, health
from archon_dagster.sandbox.services.neighbours import Neighbour, body_of
from archon_dagster.sandbox.services.supabase_client import REST, supabase
from archon_dagster.sandbox.services.timings import Timed, Timings

GRAPH_LIMIT = "INTELLIGENCE_GRAPH_LIMIT_MS"
"""The platform's 100 ms, for machines where that is nothing out of the ordinary."""

_NAME = re.compile(r"\b[A-Z][A-Za-z0-9]+\b")
_WRITE = (
    "UNWIND $entities AS e MERGE (n:Entity {entity_id: e.entity_id}) "
    "SET n.name = e.name, n.entity_type = 'concept', n.confidence_score = 0.5, n.source_path = e.source_path "
    "RETURN count(n) AS count"
)


class Intelligence:
    """The service's neighbours and timings."""

    def __init__(self, environment: Mapping[str, str], timings: Timings):
        self._pulse, self._graph, self._timings = Pulse(environment), Graph(environment), timings
        self._limit = float(environment.get(GRAPH_LIMIT) or 100) / 1000
        self._embedder = Neighbour((environment.get("OLLAMA_BASE_URL") or "").rstrip("/"))
        self._freshness = supabase(environment)

    async def close(self) -> None:
        await self._graph.close()

    async def health(self, request: Request) -> Response:
        memgraph, embedder, freshness = await asyncio.gather(
            self._graph.answers(self._limit), self._embedder.answers("/api/tags"), self._freshness.answers(REST)
        )
        connected = {
            "memgraph_connected": memgraph,
            "embedding_service_connected": embedder,
            "freshness_database_connected": freshness,
        }
        return health(request, self._pulse, connected, {"memgraph_connected": "memgraph"})

    async def extract(self, request: Request) -> Response:
        """Write the names in a document into the graph; a failure is 200 with ``success`` false."""
        document = await body_of(request)
        if not document.get("document_id") or not document.get("content"):
            return JSONResponse({"detail": "document_id and content are required"}, status_code=400)
        path = str(document["document_id"])
        names = sorted(set(_NAME.findall(str(document["content"]))))
        entities = [{"entity_id": _entity_id(path, name), "name": name, "source_path": path} for name in names]
        try:
            written = await self._graph.rows(_WRITE, entities=entities) if entities else [{"count": 0}]
        except NoGraph as error:
            return JSONResponse({"success": False, "error": str(error)})
        return JSONResponse({"success": True, "document_id": path, "entities": written[0]["count"]})

    async def baseline(self, request: Request) -> Response:
        """What has been measured so far; answers at once and ignores ``duration_minutes``, as newer builds do."""
        operation = str((await body_of(request)).get("operation_name") or "default")
        return JSONResponse(
            {
                "operation_name": operation,
                **self._timings.summary(),
                "timestamp": datetime.now(UTC).isoformat(),
                "source": "measured",
                "message": "baseline established",
            }
        )

    async def metrics(self, request: Request) -> Response:
        return PlainTextResponse(self._timings.exposition())


def create(environment: Mapping[str, str]) -> Starlette:
    """The service as a platform with these variables has it."""
    timings = Timings()
    service = Intelligence(environment, timings)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        await service.close()

    routes = [
        Route("/health", service.health),
        Route("/extract/document", service.extract, methods=["POST"]),
        Route("/performance/baseline", service.baseline, methods=["POST"]),
        Route("/metrics", service.metrics),
    ]
    middleware = [Middleware(Timed, timings=timings), *behaving(environment, _broken)]
    return Starlette(routes=routes, lifespan=lifespan, middleware=middleware)


def _entity_id(path: str, name: str) -> str:
    """The platform's form: ``entity_<8 hex digits>_<8 hex digits>``."""
    digits = hashlib.sha256(f"{path}\0{name}".encode()).hexdigest()
    return f"entity_{digits[:8]}_{digits[8:16]}"


def _broken(request: Request) -> Response:
    return JSONResponse({"success": False, "error": "internal error"})
