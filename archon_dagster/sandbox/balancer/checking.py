"""Ask a replica whether it is well: one ``GET``, answered with 200 and not with *I am still starting*.

A replica that says it is degraded stays: the cause is a neighbour, which the others have too.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress

LIMIT = 3.0  # seconds; a busy replica answers late, a frozen one never
_LARGEST = 64 * 1024  # bytes of an answer
_STARTING = ("initializing", "starting")


async def is_well(host: str, port: int, path: str, limit: float = LIMIT) -> bool:
    """Whether the server at this port may be given connections."""
    try:
        async with asyncio.timeout(limit):
            return _good(await _ask(host, port, path))
    except (OSError, TimeoutError, ValueError):
        return False


async def _ask(host: str, port: int, path: str) -> bytes:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        answer = b""
        while len(answer) < _LARGEST and (piece := await reader.read(_LARGEST)):
            answer += piece
        return answer
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


def _good(answer: bytes) -> bool:
    head, _, body = answer.partition(b"\r\n\r\n")
    if head.split(b" ", 2)[1:2] != [b"200"]:
        return False
    try:
        said = json.loads(body)
    except ValueError:
        return True  # a service that says nothing of itself is well when it answers
    return not (isinstance(said, dict) and said.get("status") in _STARTING)
