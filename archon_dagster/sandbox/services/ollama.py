"""Ollama with one model: the sandbox's hashing embedder.

``/api/tags`` answers 200 whether or not the model somebody wants is there: whoever asks has to compare names.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from archon_dagster.sandbox.misbehaviour import How
from archon_dagster.sandbox.services.behaving import behaving, order_of
from archon_dagster.sandbox.services.neighbours import body_of

MODEL = "sandbox-hashing-1536:latest"
VERSION = "0.12.6"

_ARCHITECTURE, _LENGTH, _CONTEXT = "hashing", 1536, 32768
_DIGEST = "7f3a" * 16
_DETAILS = {"format": "hash", "family": _ARCHITECTURE, "parameter_size": "0", "quantization_level": "F32"}


def create(environment: Mapping[str, str]) -> Starlette:
    """The server; nothing in its environment changes which model it has."""
    routes = [
        Route("/", _root),
        Route("/api/version", _version),
        Route("/api/tags", health),
        Route("/api/show", _show, methods=["POST"]),
        Route("/api/embed", _embed, methods=["POST"]),
        Route("/api/embeddings", _embeddings, methods=["POST"]),
    ]
    return Starlette(routes=routes, middleware=behaving(environment, _broken, _refused))


async def health(request: Request) -> Response:
    """``/api/tags``: the models that are there."""
    model = {
        "name": MODEL,
        "model": MODEL,
        "modified_at": "2025-11-01T00:00:00Z",
        "size": 1024,
        "digest": _DIGEST,
        "details": _DETAILS,
    }
    return JSONResponse({"models": [] if order_of(request) is How.unhealthy else [model]})


async def _root(request: Request) -> Response:
    return PlainTextResponse("Ollama is running")


async def _version(request: Request) -> Response:
    return JSONResponse({"version": VERSION})


async def _show(request: Request) -> Response:
    body = await body_of(request)
    name = body.get("model") or body.get("name")
    if not _is_ours(name):
        return _absent(name)
    info = {
        "general.architecture": _ARCHITECTURE,
        f"{_ARCHITECTURE}.embedding_length": _LENGTH,
        f"{_ARCHITECTURE}.context_length": _CONTEXT,
    }
    return JSONResponse({"details": _DETAILS, "model_info": info, "capabilities": ["embedding"]})


async def _embed(request: Request) -> Response:
    """One text or several; ``dimensions`` shortens the vectors, as the real server does."""
    body, begin = await body_of(request), time.monotonic_ns()
    if not _is_ours(body.get("model")):
        return _absent(body.get("model"))
    given = body.get("input")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        return JSONResponse({"error": "invalid input type"}, status_code=400)
    vectors = [vector[: body.get("dimensions") or _LENGTH] for vector in await _vectors(texts)]
    took = time.monotonic_ns() - begin
    return JSONResponse({"model": body["model"], "embeddings": vectors, "total_duration": took})


async def _embeddings(request: Request) -> Response:
    """The older form: one text; one that is empty has an empty embedding."""
    body = await body_of(request)
    if not _is_ours(body.get("model")):
        return _absent(body.get("model"))
    prompt = str(body.get("prompt") or "")
    return JSONResponse({"embedding": (await _vectors([prompt]))[0] if prompt else []})


async def _vectors(texts: list[str]) -> list[list[float]]:
    def embedded() -> list[list[float]]:
        from archon_dagster.sandbox.embedding import embed  # as a model is loaded: when it is first needed

        return [embed(text, _LENGTH).tolist() for text in texts]

    return await run_in_threadpool(embedded)


def _is_ours(name: Any) -> bool:
    """Whether a name means the model; without a tag it means the latest."""
    return isinstance(name, str) and (name if ":" in name else f"{name}:latest") == MODEL


def _absent(name: Any) -> Response:
    return JSONResponse({"error": f'model "{name}" not found, try pulling it first'}, status_code=404)


def _broken(request: Request) -> Response:
    return JSONResponse({"error": "llama runner process has terminated: exit status 2"}, status_code=500)


def _refused(request: Request) -> Response:
    return JSONResponse({"error": "unauthorized"}, status_code=401)
