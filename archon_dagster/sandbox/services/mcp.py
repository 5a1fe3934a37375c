"""The MCP server: what an assistant's client connects to.

Before the first connection its health says no more than ``ready``, however the platform below it is; afterwards it
says what it sees, in an object of its own shape.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from archon_dagster.sandbox.misbehaviour import How
from archon_dagster.sandbox.services.behaving import behaving, order_of
from archon_dagster.sandbox.services.health import VERSION, Pulse
from archon_dagster.sandbox.services.neighbours import Neighbour, Unanswered, body_of

_BELOW = ("archon-bridge", "archon-intelligence", "archon-search")
_PROTOCOL = "2025-03-26"
_SEARCH = {
    "name": "search_knowledge",
    "description": "Search the indexed documents.",
    "inputSchema": {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]},
}
_METHOD_NOT_FOUND = -32601


class Mcp:
    """The server and whether anybody has ever connected."""

    def __init__(self, environment: Mapping[str, str]):
        self._pulse, self._connected = Pulse(environment), False
        self._below = {name: Neighbour.of(environment, name) for name in _BELOW}
        self._agents = Neighbour.of(environment, "archon-agents")

    async def health(self, request: Request) -> Response:
        order = order_of(request)
        if order is None and not self._connected:
            return JSONResponse({"success": True, "status": "ready"})
        *below, agents = await asyncio.gather(*(one.answers() for one in (*self._below.values(), self._agents)))
        api = all(below)
        status = {How.lie: "healthy", How.unhealthy: "unhealthy", None: "healthy" if api else "degraded"}[order]
        now = datetime.now(UTC).isoformat()
        said = {"status": status, "api_service": api, "agents_service": agents, "last_health_check": now}
        return JSONResponse({"success": True, "health": said, "uptime_seconds": self._pulse.uptime, "timestamp": now})

    async def mcp(self, request: Request) -> Response:
        """One JSON-RPC request; a notification has no answer."""
        self._connected = True
        call = await body_of(request)
        if "id" not in call:
            return Response(status_code=202)
        result = await self._result(str(call.get("method")), call.get("params"))
        if result is None:
            error = {"code": _METHOD_NOT_FOUND, "message": "Method not found"}
            return JSONResponse({"jsonrpc": "2.0", "id": call["id"], "error": error})
        return JSONResponse({"jsonrpc": "2.0", "id": call["id"], "result": result})

    async def _result(self, method: str, params: Any) -> dict[str, Any] | None:
        match method:
            case "initialize":
                server = {"name": "archon-mcp", "version": VERSION}
                return {"protocolVersion": _PROTOCOL, "capabilities": {"tools": {}}, "serverInfo": server}
            case "ping":
                return {}
            case "tools/list":
                return {"tools": [_SEARCH]}
            case "tools/call":
                return await self._search(params if isinstance(params, dict) else {})
        return None

    async def _search(self, params: dict[str, Any]) -> dict[str, Any]:
        arguments = params.get("arguments")
        query = arguments.get("query", "") if isinstance(arguments, dict) else ""
        asked = {"query": query, "mode": "semantic", "limit": 5}
        try:
            reply = await self._below["archon-search"].ask("POST", "/search", asked)
        except Unanswered as error:
            return {"isError": True, "content": [{"type": "text", "text": str(error)}]}
        titles = [str(one.get("title")) for one in (reply.body or {}).get("results", [])]
        return {"isError": False, "content": [{"type": "text", "text": "\n".join(titles)}]}


def create(environment: Mapping[str, str]) -> Starlette:
    """The server as a platform with these variables has it."""
    server = Mcp(environment)
    routes = [Route("/health", server.health), Route("/mcp", server.mcp, methods=["POST"])]
    return Starlette(routes=routes, middleware=behaving(environment, _broken))


def _broken(request: Request) -> Response:
    return JSONResponse({"success": False, "error": "internal error"})
