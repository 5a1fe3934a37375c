"""The balancer: listens on one port, follows ``scale.json``, tells in ``rotation.json``.

The files are described in :mod:`archon_dagster.platform.runtime.process_scale`. The port may still be somebody else's:
it is taken as soon as that one has left it, and the replicas are looked at meanwhile. At SIGTERM nothing new is taken,
and what is open gets three seconds.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from archon_dagster.sandbox.balancer.checking import is_well
from archon_dagster.sandbox.balancer.forwarding import Link
from archon_dagster.sandbox.balancer.rotation import Replica, Rotation

log = logging.getLogger("archon.balancer")

LOOPBACK = "127.0.0.1"
SCALE, ROTATION = "scale.json", "rotation.json"
_LOOK = 0.1  # seconds between two looks at the list, and between two reports
_CHECK, _CHECK_UNWELL = 1.0, 0.2  # seconds between two questions to a replica
_CONNECT = 2.0  # seconds
_GRACE = 3.0  # seconds open connections get at the end
_BIND = 0.01  # seconds between two attempts to have a port that is somebody else's
_NOBODY = b'{"detail": "no replica takes connections"}'
_REFUSAL = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(_NOBODY), _NOBODY)
)


class Balancer:
    """One balancer. :param path: what a replica is asked to find out whether it is well."""

    def __init__(self, port: int, directory: Path, path: str = "/health"):
        self._port, self._directory, self._path = port, directory, path
        self._rotation, self._links = Rotation(()), set[Link]()
        self._listening = False
        self._checks: dict[int, asyncio.Task[None]] = {}
        self._told = ""

    async def run(self) -> None:
        """Serve until SIGTERM."""
        ended = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, ended.set)
        self._follow()
        following = asyncio.create_task(_again_and_again(self._follow, _LOOK))
        opening = asyncio.create_task(self._listen())
        await ended.wait()
        following.cancel()
        opening.cancel()
        await self._finish(opening)

    async def _finish(self, opening: asyncio.Task[asyncio.Server]) -> None:
        with suppress(asyncio.CancelledError):
            (await opening).close()
        end = asyncio.get_running_loop().time() + _GRACE
        while any(not link.between_requests for link in self._links) and asyncio.get_running_loop().time() < end:
            await asyncio.sleep(_LOOK)
        for task in self._checks.values():
            task.cancel()
        for link in list(self._links):
            link.close()

    async def _listen(self) -> asyncio.Server:
        waiting = False
        while True:
            try:
                server = await asyncio.start_server(self._serve, LOOPBACK, self._port)
            except OSError as error:
                if not waiting:
                    log.info("port %d is not free yet: %s", self._port, error.strerror)
                waiting = True
                await asyncio.sleep(_BIND)
                continue
            self._listening = True
            log.info("listening on port %d", self._port)
            return server

    # who there is

    def _follow(self) -> None:
        """Read the list, look after who is on it, tell how it is."""
        ports = self._ports()
        if ports is not None and ports != self._rotation.ports():
            log.info("replicas at %s", ", ".join(map(str, ports)) or "no port")
            self._rotation.replace(ports)
        there = {one.port for one in self._rotation.replicas() if not one.draining}
        for port in there - self._checks.keys():
            self._checks[port] = asyncio.create_task(self._check(port))
        for port in self._checks.keys() - there:
            self._checks.pop(port).cancel()
        for link in list(self._links):
            if link.replica.draining and link.between_requests:
                link.close()
        self._tell()

    def _ports(self) -> list[int] | None:
        """The list; ``None`` where there is none that can be understood, and the last one goes on to count."""
        try:
            return [int(port) for port in json.loads((self._directory / SCALE).read_bytes())["ports"].values()]
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    async def _check(self, port: int) -> None:
        while True:
            good = await is_well(LOOPBACK, port, self._path)
            before = self._is_well(port)
            self._rotation.checked(port, good)
            if (now := self._is_well(port)) != before:
                log.info("the replica at %d is %s", port, "well" if now else "not well and gets nothing more")
            await asyncio.sleep(_CHECK if now else _CHECK_UNWELL)

    def _is_well(self, port: int) -> bool:
        return any(one.well for one in self._rotation.replicas() if one.port == port)

    def _tell(self) -> None:
        replicas = [
            {"port": one.port, "well": one.well, "open": one.open, "draining": one.draining, "served": one.served}
            for one in self._rotation.replicas()
        ]
        said = json.dumps({"pid": os.getpid(), "listening": self._listening, "replicas": replicas})
        if said == self._told:
            return
        fresh = self._directory / f".{ROTATION}.{os.getpid()}"
        try:
            fresh.write_text(said)
            fresh.replace(self._directory / ROTATION)
        except OSError as error:  # a full disk must not end the service
            log.warning("%s cannot be written: %s", ROTATION, error)
            return
        self._told = said

    # connections

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tried: list[int] = []
        while (replica := self._rotation.choose(tried)) is not None:
            try:
                async with asyncio.timeout(_CONNECT):
                    answers, server = await asyncio.open_connection(LOOPBACK, replica.port)
            except (OSError, TimeoutError):
                log.warning("the replica at %d takes no connection", replica.port)
                tried.append(replica.port)
                self._rotation.refused(replica)
                continue
            await self._forward(replica, reader, writer, answers, server)
            return
        with suppress(OSError):
            writer.write(_REFUSAL)
            await writer.drain()
        writer.close()

    async def _forward(
        self, replica: Replica, reader: asyncio.StreamReader, writer: asyncio.StreamWriter,
        answers: asyncio.StreamReader, server: asyncio.StreamWriter,
    ) -> None:  # fmt: skip
        link = Link(replica, writer, server)
        self._links.add(link)
        try:
            await link.forward(reader, answers)
        finally:
            self._links.discard(link)
            self._rotation.ended(replica)


async def _again_and_again(work: Callable[[], None], pause: float) -> None:
    while True:
        await asyncio.sleep(pause)
        work()
