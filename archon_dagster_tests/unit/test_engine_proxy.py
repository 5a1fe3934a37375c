"""What the control plane may ask of the Docker engine, and that nothing follows an allowed request unseen."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from archon_dagster.platform.runtime.compose_marks import INFIX
from archon_dagster_tests.engine_calls import CHANGING, load_proxy, shape


@pytest.fixture
def proxy(tmp_path: Path) -> ModuleType:
    return load_proxy(tmp_path / "engine.sock")


@pytest.mark.parametrize("call", CHANGING)
def test_every_call_that_is_made_is_allowed(proxy: ModuleType, call: str) -> None:
    method, path = call.split()
    for named in (path, path.replace("ID", "0123ab"), path.replace("NAME", "archon_default")):
        assert proxy.allowed(method, f"/v1.44/{named}")
        assert proxy.allowed(method, f"/{named}")


def test_nothing_that_changes_anything_is_allowed_but_what_is_made(proxy: ModuleType) -> None:
    """Each pattern, written out, is one of the calls."""
    for method, patterns in proxy.ALLOWED.items():
        if method in ("GET", "HEAD"):
            continue
        for pattern in patterns:
            assert [call for call in CHANGING if re.fullmatch(f"{method} {pattern}", call.partition("?")[0])], pattern
            for word in re.findall(r"[a-z]+", re.sub(r"\[.*?\][*+]?|\{.*?\}", "", pattern)):
                assert [call for call in CHANGING if call.startswith(method) and word in call], word


def test_a_call_is_told_apart_from_its_names() -> None:
    image = "sha256:" + "12" * 32
    assert shape("POST", f"/v1.44/images/{image}/tag?repo=a&tag=b") in CHANGING
    assert shape("POST", "/containers/archon-qdrant-1/stop?t=30") == "POST containers/ID/stop"
    assert shape("POST", "/v1.44/networks/archon_default/connect") == "POST networks/NAME/connect"
    assert shape("POST", "/v1.44/containers/create?name=x") == "POST containers/create"


def test_what_a_restore_drill_makes_is_known_by_its_name(proxy: ModuleType) -> None:
    assert proxy.allowed("DELETE", f"/volumes/archon{INFIX}0123abcd_qdrant-0")
    assert proxy.allowed("DELETE", f"/v1.44/networks/archon{INFIX}0123abcd_default")


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
        f"DELETE /v1.44/images/sha256:{'0a' * 32}?force=False&noprune=False", "GET /v1.44/images/json?filters=%7B%7D",
        "GET /v1.44/containers/ab12/stats?stream=False", "GET /v1.44/info", "GET /v1.44/services?filters=%7B%7D",
        "DELETE /v1.41/volumes/archon-restore-drill-0123abcd_qdrant-0?force=False",
        "DELETE /v1.41/networks/archon-restore-drill-0123abcd_default",
    ],
)  # fmt: skip
def test_what_is_needed_is_allowed(proxy: ModuleType, request_: str) -> None:
    assert proxy.allowed(*request_.split())


@pytest.mark.parametrize(
    "request_",
    [
        "DELETE /volumes/archon_qdrant_data", "DELETE /v1.41/volumes/archon_qdrant_data?force=1", "POST /volumes/prune",
        "POST /v1.41/containers/prune", "POST /images/prune", "POST /networks/prune", "DELETE /networks/archon_default",
        "DELETE /images/ab12", "DELETE /images/qdrant/qdrant:v1.7.4", "POST /images/archon-search:1/tag?repo=x",
        f"DELETE /images/sha256:{'0a' * 32}?force=True", f"DELETE /images/sha256:{'0a' * 32}?force=0&force=1",
        f"DELETE /volumes/{'0a' * 32}", "DELETE /volumes/archon-restore-drill-0123abcd_a?force=true",
        "DELETE /volumes/archon-restore-drill-", "POST /build/prune", "POST /containers/ab12/kill", "POST /commit",
        "POST /containers/ab12/kill?signal=SIGKILL", "POST /containers/ab12/kill?signal=SIGCONT&signal=9",
        "POST /containers/ab12/kill?signal=", "POST /containers/ab12/kill?signal=SIGCONT&x=1",
        "POST /images/load", "DELETE /containers/ab12?v=1", "DELETE /containers/ab12?v=0&v=1", "POST /swarm/init",
        "DELETE /containers/ab12?v=", "GET /secrets", "POST /plugins/pull", "PUT /containers/ab12/archive",
        "GET /containers/ab12/export", "POST /containers/ab12/update", "POST /v1.41/x/containers/create", "GET //info",
        "GET /containers/ab12/archive?path=/etc", "DELETE /containers/ab12/../../volumes/x",
        "DELETE /volumes/x-restore-drill-0123abcd_data/../archon_qdrant_data",
        "DELETE /containers/archon-restore-drill-0123abcd_b?v=1", "DELETE /containers/ab12?a=#&v=1",
        "POST /containers/ab12/kill?signal=SIGCONT#&signal=9",
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
