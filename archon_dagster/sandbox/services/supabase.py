"""Supabase's REST interface over the sandbox's PostgreSQL, as much of PostgREST as the platform uses, for reading.

Who has no key is told so, a bad one is refused, and ``anon``, whom the tables' policies let see nothing, gets empty
lists with status 200.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from archon_dagster.sandbox.misbehaviour import How
from archon_dagster.sandbox.services import keys
from archon_dagster.sandbox.services.behaving import behaving, order_of
from archon_dagster.sandbox.services.tables import Misread, NoDatabase, Refused, Tables

SECRET = "SUPABASE_JWT_SECRET"

_NO_KEY = {"message": "No API key found in request", "hint": "No `apikey` request header or url param was found."}
_BAD_KEY = {"message": "Invalid API key", "hint": "Double check your Supabase `anon` or `service_role` API key."}
_SECRET_ONLY = {"message": "Access to schema is forbidden", "hint": "Use a secret key."}
_NO_TABLE = "42P01"


class Supabase:
    """One project: its key and its tables."""

    def __init__(self, environment: Mapping[str, str]):
        self._secret, self._tables = environment.get(SECRET) or "", Tables(environment)

    async def health(self, request: Request) -> Response:
        """The root: a description of the interface, for whoever has the service's key."""
        role = self._role(request)
        if isinstance(role, Response):
            return role
        if role != keys.SERVICE:
            return JSONResponse(_SECRET_ONLY, status_code=403)
        order = order_of(request)
        if order is How.unhealthy:
            return JSONResponse({"status": "unhealthy", "error": "database is not available"})
        return await _answered(lambda: self._description(ask=order is None))

    async def _description(self, *, ask: bool) -> Response:
        names = json.loads(await self._tables.names()) if ask else []
        paths: dict[str, dict[str, object]] = {f"/{name}": {"get": {}} for name in ["", *names]}
        return JSONResponse({"swagger": "2.0", "info": {"title": "standard public schema"}, "paths": paths})

    async def table(self, request: Request) -> Response:
        role = self._role(request)
        if isinstance(role, Response):
            return role
        if role == keys.ANON:
            return JSONResponse([])
        return await _answered(lambda: self._rows(request))

    async def _rows(self, request: Request) -> Response:
        name = request.path_params["table"]
        rows = await self._tables.rows(name, request.query_params)
        headers, length = {}, len(json.loads(rows))
        if "count=exact" in request.headers.get("prefer", ""):
            first = int(request.query_params.get("offset", 0))
            shown = f"{first}-{first + length - 1}" if length else "*"
            headers["Content-Range"] = f"{shown}/{await self._tables.count(name)}"
        return Response(rows, media_type="application/json", headers=headers)

    def _role(self, request: Request) -> str | Response:
        key = request.headers.get("apikey") or request.query_params.get("apikey")
        if not key:
            return JSONResponse(_NO_KEY, status_code=401)
        return keys.role_of(self._secret, key) or JSONResponse(_BAD_KEY, status_code=401)


async def _answered(answer: Callable[[], Awaitable[Response]]) -> Response:
    try:
        return await answer()
    except Misread as error:
        return _error(400, "PGRST100", str(error))
    except Refused as error:
        state, message = error.args
        if state == _NO_TABLE:
            return _error(404, "PGRST205", f"Could not find the table in the schema cache: {message}")
        return _error(400, state, message)
    except NoDatabase as error:
        return _error(503, "PGRST001", f"Database client error: {error}")


def _error(status: int, code: str, message: str) -> Response:
    return JSONResponse({"code": code, "details": None, "hint": None, "message": message}, status_code=status)


def create(environment: Mapping[str, str]) -> Starlette:
    """The project of a platform with these variables."""
    project = Supabase(environment)
    routes = [Route("/rest/v1/", project.health), Route("/rest/v1/{table}", project.table)]
    return Starlette(routes=routes, middleware=behaving(environment, _broken, _refused))


def _broken(request: Request) -> Response:
    return _error(503, "PGRST001", "Database client error: connection to server lost")


def _refused(request: Request) -> Response:
    return JSONResponse(_BAD_KEY, status_code=401)
