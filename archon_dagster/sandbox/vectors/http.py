"""The thin layer between HTTP and the handlers: bodies, envelopes, errors, keys.

A handler is a plain function from a :class:`Call` to an answer and runs in a thread: the event loop only moves bytes,
so that ``/healthz`` answers while a snapshot is packed.
"""

import json
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from archon_dagster.sandbox.vectors import body as bodies
from archon_dagster.sandbox.vectors.body import Json
from archon_dagster.sandbox.vectors.errors import BadRequest, Forbidden, ServerError, from_os
from archon_dagster.sandbox.vectors.registry import Registry

log = logging.getLogger(__name__)
OPEN_PATHS = frozenset({"/", "/healthz", "/readyz", "/livez"})
READING_POSTS = ("/points", "/scroll", "/search", "/query", "/count", "/recommend", "/facet", "/batch")


class RawJson(str):
    """JSON text that goes into the answer as it is."""

    __slots__ = ()


@dataclass(frozen=True)
class Call:
    """One request, as a handler sees it."""

    registry: Registry
    path: Mapping[str, str]
    query: Mapping[str, str]
    raw: bytes

    @property
    def body(self) -> Json:
        return bodies.parse(self.raw)

    @property
    def optional_body(self) -> Json:
        return self.body if self.raw else {}

    def flag(self, name: str, *, default: bool) -> bool:
        value = self.query.get(name)
        if value is None:
            return default
        if value not in ("true", "false"):
            raise BadRequest(f"Query deserialize error: provided string was not `true` or `false`: {value}")
        return value == "true"


Handler = Callable[[Call], Any]
Endpoint = Callable[[Request], Awaitable[Response]]


def answering(registry: Registry, handler: Handler) -> Endpoint:
    """An endpoint that runs ``handler`` in a thread and wraps its answer the way the server does."""

    async def endpoint(request: Request) -> Response:
        started = time.perf_counter()
        call = Call(registry, request.path_params, request.query_params, await request.body())
        try:
            answer = await run_in_threadpool(handler, call)
        except ServerError as error:
            return failure(error, started)
        return answer if isinstance(answer, Response) else success(answer, started)

    return endpoint


def success(answer: Any, started: float) -> Response:
    result = answer if isinstance(answer, RawJson) else json.dumps(answer, ensure_ascii=False, separators=(",", ":"))
    return _json(f'{{"result":{result},"status":"ok","time":{_seconds(started)}}}', 200)


def accepted(started: float) -> Response:
    return _json(f'{{"status":"accepted","time":{_seconds(started)}}}', 202)


def failure(error: ServerError, started: float) -> Response:
    if error.status >= 500:
        log.error("%s", error)
    shown = json.dumps(str(error), ensure_ascii=False)
    return _json(f'{{"status":{{"error":{shown}}},"time":{_seconds(started)}}}', error.status)


def _seconds(started: float) -> float:
    return round(time.perf_counter() - started, 9)


def _json(text: str, status: int) -> Response:
    return Response(text.encode(), status, media_type="application/json")


def nothing_here(request: Request, error: Exception) -> Response:
    """Unknown routes, and methods a route does not have, are 404 without a body."""
    return Response(status_code=404)


def disk_refuses(request: Request, error: Exception) -> Response:
    """What the file system refuses (a full disk, a name too long to be one) is the server's own error."""
    assert isinstance(error, OSError)
    return failure(from_os(error), time.perf_counter())


class ApiKeys:
    """Refuse whoever has no key, in plain text, before a route is looked up."""

    def __init__(self, app: ASGIApp, key: str | None, read_only_key: str | None):
        self._app, self._key, self._read_only_key = app, key, read_only_key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal(scope) if scope["type"] == "http" else None
        await (refusal or self._app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        if not (self._key or self._read_only_key) or scope["path"] in OPEN_PATHS:
            return None
        given = _given_key(dict(scope["headers"]))
        if given is None:
            return PlainTextResponse("Must provide an API key or an Authorization bearer token", 401)
        if self._key and secrets.compare_digest(given, self._key.encode()):
            return None
        if not (self._read_only_key and secrets.compare_digest(given, self._read_only_key.encode())):
            return PlainTextResponse("Invalid API key or JWT", 401)
        return None if _is_read(scope["method"], scope["path"]) else _forbidden()


def _given_key(headers: Mapping[bytes, bytes]) -> bytes | None:
    key = headers.get(b"api-key")
    bearer = headers.get(b"authorization", b"")
    return key if key is not None else bearer[7:] if bearer.lower().startswith(b"bearer ") else None


def _is_read(method: str, path: str) -> bool:
    if method in ("GET", "HEAD"):
        return True
    return method == "POST" and path.endswith(READING_POSTS) and not path.endswith("/points/batch")


def _forbidden() -> Response:
    return failure(Forbidden("Global manage access is required"), time.perf_counter())
