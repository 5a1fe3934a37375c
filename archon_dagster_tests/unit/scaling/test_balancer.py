"""The parts of the balancer that look and forward, over small servers in this process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from archon_dagster.sandbox.balancer.checking import is_well
from archon_dagster.sandbox.balancer.forwarding import Link
from archon_dagster.sandbox.balancer.proxy import Balancer
from archon_dagster.sandbox.balancer.rotation import Replica

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def listening(serve: Serve) -> tuple[asyncio.Server, int]:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    return server, int(server.sockets[0].getsockname()[1])


def answering(answer: bytes) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    return serve


OK = b"HTTP/1.1 200 OK\r\n\r\n"


@pytest.mark.parametrize(
    ("answer", "well"),
    [
        (OK + b'{"status": "healthy"}', True),
        (OK + b'{"status": "degraded"}', True),  # a neighbour is down, for the others too
        (OK + b'{"status": "initializing"}', False),
        (OK + b"[1, 2]", True),
        (OK + b"not json", True),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", False),
        (b"HTTP/1.1 2000 OK\r\n\r\n", False),
        (b"nonsense", False),
        (b"", False),
    ],
)
def test_who_is_well(answer: bytes, well: bool) -> None:
    async def ask() -> bool:
        server, port = await listening(answering(answer))
        async with server:
            return await is_well("127.0.0.1", port, "/health")

    assert asyncio.run(ask()) is well


def test_who_does_not_answer_in_time_or_at_all_is_not_well() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def ask() -> tuple[bool, bool]:
        server, port = await listening(silent)
        async with server:
            late = await is_well("127.0.0.1", port, "/health", limit=0.05)
        return late, await is_well("127.0.0.1", port, "/health", limit=1.0)

    assert asyncio.run(ask()) == (False, False)


def test_a_connection_is_between_requests_only_after_an_answer() -> None:
    class Side:
        def close(self) -> None: ...

    link = Link(Replica(1), Side(), Side())  # type: ignore[arg-type]
    link.answered = 0.0
    assert not link.between_requests
    link.answered = 1e-6  # long ago
    assert link.between_requests


def test_a_list_that_cannot_be_understood_is_no_list(tmp_path: Path) -> None:
    balancer = Balancer(1, tmp_path)
    assert balancer._ports() is None
    for text in ("", "{", "[]", '{"ports": 3}', '{"ports": {"1": "x"}}', "null"):
        (tmp_path / "scale.json").write_text(text)
        assert balancer._ports() is None
    (tmp_path / "scale.json").write_text(json.dumps({"replicas": 2, "ports": {"1": 41001, "2": 41002}}))
    assert balancer._ports() == [41001, 41002]
