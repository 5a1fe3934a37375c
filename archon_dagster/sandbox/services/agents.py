"""The agents: their health is a constant, whatever is down below them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from archon_dagster.sandbox.misbehaviour import How
from archon_dagster.sandbox.services.behaving import behaving, order_of
from archon_dagster.sandbox.services.neighbours import Neighbour, Unanswered, body_of


def create(environment: Mapping[str, str]) -> Starlette:
    """The service as a platform with these variables has it."""
    mcp = Neighbour.of(environment, "archon-mcp")

    async def run(request: Request) -> Response:
        """Let an agent work: it asks the MCP server for what is indexed."""
        prompt = str((await body_of(request)).get("prompt") or "")
        call = {"name": "search_knowledge", "arguments": {"query": prompt}}
        try:
            reply = await mcp.ask("POST", "/mcp", {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call})
        except Unanswered as error:
            return JSONResponse({"success": False, "error": f"MCP server: {error}"})
        return JSONResponse({"success": True, "result": (reply.body or {}).get("result")})

    routes = [Route("/health", health), Route("/agents/run", run, methods=["POST"])]
    return Starlette(routes=routes, middleware=behaving(environment, _broken))


async def health(request: Request) -> Response:
    status = "unhealthy" if order_of(request) is How.unhealthy else "healthy"
    return JSONResponse({"status": status, "service": "agents", "timestamp": datetime.now(UTC).isoformat()})


def _broken(request: Request) -> Response:
    return JSONResponse({"success": False, "error": "internal error"})
