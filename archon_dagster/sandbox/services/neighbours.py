"""Asking another service of the platform: JSON over HTTP, at most 5 s a hop.

Over bare sockets: a client library would cost each of the processes more start time than everything else it does.
HTTP/1.0, so that an answer ends where the connection ends.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from json import JSONDecodeError
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request

from archon_dagster.platform.services import BY_NAME
from archon_dagster.sandbox.ports import LOOPBACK

HOP = 5.0  # seconds
_LIMIT = 2**26  # bytes of one answer


class Unanswered(Exception):
    """A neighbour did not answer, or not in a way that can be understood; says why."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer of a neighbour; ``body`` is ``None`` where it is not JSON."""

    status: int
    body: Any


@dataclass(frozen=True)
class Neighbour:
    """Another service. One without a URL is one that this platform does not have: it never answers."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, environment: Mapping[str, str], service: str) -> Neighbour:
        """A service of the platform on this host, by the variable of its port."""
        port = environment.get(BY_NAME[service].address_setting)
        return cls(f"http://{LOOPBACK}:{port}" if port else "")

    async def answers(self, path: str = "/health", timeout: float = HOP) -> bool:
        """Whether it answers 200, whatever it says: the platform's services look no closer."""
        try:
            return (await self.ask("GET", path, timeout=timeout)).status == 200
        except Unanswered:
            return False

    async def ask(self, method: str, path: str, body: Any = None, *, timeout: float = HOP) -> Reply:
        """One request; raises :class:`Unanswered`."""
        if not self.url:
            raise Unanswered("not configured")
        try:
            return await asyncio.wait_for(self._ask(method, path, body), timeout)
        except TimeoutError as error:
            raise Unanswered(f"no answer within {timeout:g} s") from error
        except (OSError, ValueError, EOFError) as error:
            raise Unanswered(f"{type(error).__name__}: {error}") from error

    async def _ask(self, method: str, path: str, body: Any) -> Reply:
        parts, content = urlsplit(self.url), b"" if body is None else json.dumps(body).encode()
        secure = parts.scheme == "https"
        port = parts.port or (443 if secure else 80)
        reader, writer = await asyncio.open_connection(parts.hostname, port, ssl=secure or None, limit=_LIMIT)
        try:
            fields = {"Host": parts.netloc, "Content-Type": "application/json", "Content-Length": str(len(content))}
            lines = [f"{name}: {value}" for name, value in {**fields, **self.headers}.items()]
            head = "\r\n".join([f"{method} {parts.path}{path} HTTP/1.0", *lines, "", ""])
            writer.write(head.encode() + content)
            await writer.drain()
            status = int((await reader.readuntil(b"\r\n\r\n")).split(maxsplit=2)[1])
            return Reply(status, _json(await reader.read(-1)))
        finally:
            writer.close()


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (JSONDecodeError, UnicodeDecodeError):
        return None


async def body_of(request: Request) -> dict[str, Any]:
    """The JSON object that was sent; an empty one where it is something else."""
    body = _json(await request.body())
    return body if isinstance(body, dict) else {}
