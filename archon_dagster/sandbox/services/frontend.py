"""The frontend: a page. That it is served says nothing about the platform behind it."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from archon_dagster.sandbox.misbehaviour import How
from archon_dagster.sandbox.services.behaving import behaving, order_of

_PAGE = "<!doctype html>\n<title>Archon</title>\n<h1>Archon</h1>\n<p>{}</p>\n"


def create(environment: Mapping[str, str]) -> Starlette:
    """The page as a platform with these variables has it."""
    routes = [Route("/", health)]
    return Starlette(routes=routes, middleware=behaving(environment, _broken, _refused))


async def health(request: Request) -> Response:
    broken = order_of(request) is How.unhealthy
    return HTMLResponse(_PAGE.format("Something went wrong." if broken else "The sandbox's knowledge base."))


def _broken(request: Request) -> Response:
    return HTMLResponse(_PAGE.format("Something went wrong."))


def _refused(request: Request) -> Response:
    return HTMLResponse(_PAGE.format("Please sign in."), status_code=401)
