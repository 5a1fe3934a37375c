"""The bridge between the graph and Supabase.

Its health counts intelligence as connected when that answers 200, however degraded it says it is; and because the
platform starts the bridge first, it leaves intelligence its start period before it misses it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from archon_dagster.platform.services import BY_NAME
from archon_dagster.sandbox.services.behaving import behaving
from archon_dagster.sandbox.services.graph import Graph, NoGraph
from archon_dagster.sandbox.services.health import Pulse, health
from archon_dagster.sandbox.services.neighbours import Neighbour, Unanswered, body_of
from archon_dagster.sandbox.services.supabase_client import supabase, table

_START_PERIOD = BY_NAME["archon-intelligence"].start_budget
_FOUND = (
    "MATCH (n) WHERE toLower(n.name) CONTAINS toLower($text) "
    "RETURN n.entity_id AS entity_id, labels(n) AS labels, n.name AS name, n.project_name AS project_name "
    "ORDER BY n.entity_id LIMIT $limit"
)
_COUNTS = ("MATCH (n) RETURN count(n) AS count", "MATCH ()-[r]->() RETURN count(r) AS count")
_KEPT = (
    "UNWIND $sources AS s MERGE (n:Source {entity_id: s.source_id}) SET n.name = s.title, n.source_id = s.source_id "
    "RETURN count(n) AS count"
)


class Bridge:
    """The service's neighbours, and whether it has ever met intelligence."""

    def __init__(self, environment: Mapping[str, str]):
        self._pulse, self._graph = Pulse(environment), Graph(environment)
        self._supabase = supabase(environment)
        self._intelligence = Neighbour.of(environment, "archon-intelligence")
        self._met = False

    async def close(self) -> None:
        await self._graph.close()

    async def health(self, request: Request) -> Response:
        memgraph, intelligence = await asyncio.gather(self._graph.answers(), self._intelligence.answers())
        self._met = self._met or intelligence
        needed = {"memgraph_connected": "memgraph"}
        if self._met or self._pulse.uptime > _START_PERIOD:
            needed["intelligence_connected"] = "intelligence"
        connected = {"memgraph_connected": memgraph, "intelligence_connected": intelligence}
        return health(request, self._pulse, connected, needed)

    async def search(self, request: Request) -> Response:
        """Nodes by name; none where the graph does not answer."""
        asked = await body_of(request)
        try:
            found = await self._graph.rows(
                _FOUND, text=str(asked.get("query") or ""), limit=int(asked.get("limit", 10))
            )
        except NoGraph as error:
            return JSONResponse({"results": [], "error": str(error)})
        return JSONResponse({"results": found, "error": None})

    async def stats(self, request: Request) -> Response:
        """How much there is on both sides of the bridge; zeros where something failed."""
        counts: dict[str, Any] = {"entities": 0, "relationships": 0, "sources": 0, "error": None}
        try:
            nodes, links = [await self._graph.rows(query) for query in _COUNTS]
            counts |= {"entities": nodes[0]["count"], "relationships": links[0]["count"]}
            counts["sources"] = len(await table(self._supabase, "archon_sources", "source_id"))
        except (NoGraph, Unanswered) as error:
            counts["error"] = str(error)
        return JSONResponse(counts)

    async def sync(self, request: Request) -> Response:
        """Write the sources of Supabase into the graph."""
        try:
            sources = await table(self._supabase, "archon_sources", "source_id,title")
            written = await self._graph.rows(_KEPT, sources=sources) if sources else [{"count": 0}]
        except (NoGraph, Unanswered) as error:
            return JSONResponse({"success": False, "error": str(error)})
        return JSONResponse({"success": True, "synced": written[0]["count"]})


def create(environment: Mapping[str, str]) -> Starlette:
    """The bridge as a platform with these variables has it."""
    bridge = Bridge(environment)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        await bridge.close()

    routes = [
        Route("/health", bridge.health),
        Route("/graph/search", bridge.search, methods=["POST"]),
        Route("/mapping/stats", bridge.stats),
        Route("/sync/sources", bridge.sync, methods=["POST"]),
    ]
    return Starlette(routes=routes, lifespan=lifespan, middleware=behaving(environment, _broken))


def _broken(request: Request) -> Response:
    return JSONResponse({"results": [], "success": False, "error": "internal error"})
