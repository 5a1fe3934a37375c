"""Misbehave when told to: the layer between a service and its clients that follows orders."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from archon_dagster.sandbox import misbehaviour
from archon_dagster.sandbox.misbehaviour import How, Order

Answer = Callable[[Request], Response]

_LOOK_EVERY = 0.1  # seconds between two looks at whether a hung service may go on
_ORDER = "archon.order"  # where a request carries the order that its service's health has to follow


def behaving(environment: Mapping[str, str], broken: Answer, refused: Answer | None = None) -> list[Middleware]:
    """The layer for a service.

    :param broken: what it answers where it does not work, everywhere but at its ``health`` routes.
    :param refused: what it answers to everybody when it takes no credentials.
    """
    file = environment.get(misbehaviour.VARIABLE)
    if not file:
        return []
    return [Middleware(_Behaving, file=Path(file), broken=broken, refused=refused or unauthorised)]


def unauthorised(request: Request) -> Response:
    return JSONResponse({"detail": "Invalid or missing service token"}, status_code=401)


def order_of(request: Request) -> How | None:
    """What a health route has to claim, whatever is true: :attr:`How.lie` or :attr:`How.unhealthy`."""
    order: How | None = request.scope.get(_ORDER)
    return order


class _Behaving:
    def __init__(self, app: ASGIApp, file: Path, broken: Answer, refused: Answer):
        self._app, self._file, self._broken, self._refused = app, file, broken, refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        order = misbehaviour.read(self._file) if scope["type"] == "http" else None
        if order is not None:
            await self._obey_by_waiting(order)
            if order.how is How.refuse:
                return await self._refused(Request(scope))(scope, receive, send)
            if order.how in (How.lie, How.unhealthy):
                scope[_ORDER] = order.how
                if not _says_health(scope["app"], scope["path"]):
                    return await self._broken(Request(scope))(scope, receive, send)
        return await self._app(scope, receive, send)

    async def _obey_by_waiting(self, order: Order) -> None:
        if order.how is How.slow:
            await asyncio.sleep(order.seconds)
        while order.how is How.hang and misbehaviour.read(self._file) == order:
            await asyncio.sleep(_LOOK_EVERY)


def _says_health(app: object, path: str) -> bool:
    """Whether a path is one of the service's health routes: those that are named so."""
    routes = getattr(app, "routes", [])
    return any(getattr(route, "path", None) == path and getattr(route, "name", "") == "health" for route in routes)
