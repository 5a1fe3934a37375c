"""What the control plane may ask of the Docker engine, and that nothing follows an allowed request unseen."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FILE = Path(__file__).parents[2] / "docker" / "engine_proxy.py"


@pytest.fixture
def proxy(tmp_path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("engine_proxy", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.ENGINE = str(tmp_path / "engine.sock")
    return module


@pytest.mark.parametrize(
    "request_",
    [
        "GET /_ping", "HEAD /_ping", "GET /v1.41/containers/json?all=1&filters=%7B%7D",
        "GET /v1.41/containers/ab12/json",
        "POST /v1.41/containers/create?name=archon-qdrant-1", "POST /v1.41/containers/ab12/exec",
        "POST /v1.41/exec/ab12/start", "POST /v1.41/containers/ab12/stop?t=30", "DELETE /v1.41/containers/ab12?force=1",
        "DELETE /v1.41/containers/ab12?v=False&force=False", "GET /v1.41/images/qdrant/qdrant:v1.7.4/json",
        "POST /v1.41/images/create?fromImage=qdrant%2Fqdrant&tag=v1", "POST /v1.41/volumes/create",
        "POST /v1.41/networks/archon_default/connect", "GET /v1.41/volumes/archon_qdrant_data",
    ],
)  # fmt: skip
def test_what_is_needed_is_allowed(proxy: ModuleType, request_: str) -> None:
    assert proxy.allowed(*request_.split())


@pytest.mark.parametrize(
    "request_",
    [
        "DELETE /volumes/archon_qdrant_data", "DELETE /v1.41/volumes/archon_qdrant_data?force=1", "POST /volumes/prune",
        "POST /v1.41/containers/prune", "POST /images/prune", "POST /networks/prune", "DELETE /networks/archon_default",
        "DELETE /images/ab12", "DELETE /containers/ab12?v=1", "DELETE /containers/ab12?v=0&v=1", "POST /swarm/init",
        "DELETE /containers/ab12?v=", "GET /secrets", "POST /plugins/pull", "PUT /containers/ab12/archive",
        "GET /containers/ab12/export", "POST /containers/ab12/update", "POST /v1.41/x/containers/create", "GET //info",
        "GET /containers/ab12/archive?path=/etc", "DELETE /containers/ab12/../../volumes/x",
    ],
)  # fmt: skip
def test_everything_else_is_refused(proxy: ModuleType, request_: str) -> None:
    assert not proxy.allowed(*request_.split())


def through(proxy: ModuleType, engine: Callable[..., Coroutine[Any, Any, None]], sent: bytes, *more: bytes) -> bytes:
    """What a client gets that sends a head, then more, then ends its side."""

    async def talk() -> bytes:
        real = await asyncio.start_unix_server(engine, proxy.ENGINE)
        server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
        async with real, server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
            for part in (sent, *more):
                writer.write(part)
                await writer.drain()
            writer.write_eof()
            got = await asyncio.wait_for(reader.read(), 20.0)
            writer.close()
            await writer.wait_closed()
            return got

    return asyncio.run(talk())


def test_the_end_of_the_input_is_passed_on_and_the_answer_still_comes(proxy: ModuleType) -> None:
    heads: list[bytes] = []

    async def engine(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 101 UPGRADED\r\n\r\n")
        writer.write(b"got %d" % len(await reader.read()))  # only when the input has ended
        writer.close()

    head = b"POST /exec/ab/start HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
    answer = through(proxy, engine, head, b"x" * 1_000_000)
    assert answer == b"HTTP/1.1 101 UPGRADED\r\n\r\ngot 1000000"
    assert b"Connection: Upgrade, close\r\n" in heads[0]


def test_every_connection_carries_one_request(proxy: ModuleType) -> None:
    heads: list[bytes] = []

    async def engine(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        writer.close()

    head = b"GET /_ping HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\nKeep-Alive: timeout=9\r\n\r\n"
    assert through(proxy, engine, head).startswith(b"HTTP/1.1 200")
    assert heads[0].lower().count(b"connection:") == 1
    assert b"Connection: close\r\n" in heads[0]


def test_a_refused_request_never_reaches_the_engine(proxy: ModuleType) -> None:
    async def engine(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        sys.exit("reached")

    answer = through(proxy, engine, b"POST /volumes/prune HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 403")
