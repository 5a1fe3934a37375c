"""A wire between a client and a server that becomes slow: what the server says then comes a few bytes at a time."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from archon_dagster_tests.integration.wire import Wire, connected, listener, pieces, send

RESET = struct.pack("ii", 1, 0)
BUFFER = 16 << 10  # bytes the wire takes ahead from the server, so that it is the server who waits


@dataclass
class SlowWire(Wire):
    """Hands on ``size`` bytes every ``every`` seconds once :meth:`slow_down` was called; 0 bytes: as fast as it can.

    :param later: also on connections that are made after that.
    :param first: bytes that a connection brings before it becomes slow.
    :param up: what the client says becomes slow, and not what the server says.
    :param trickles: set as soon as something comes slowly.
    """

    size: int = 0
    every: float = 0.05
    later: bool = False
    first: int = 0
    up: bool = False
    trickles: threading.Event = field(default_factory=threading.Event)
    slowed: set[socket.socket] = field(default_factory=set)
    closing: threading.Event = field(default_factory=threading.Event)

    def slow_down(
        self, size: int, every: float = 0.05, *, later: bool = False, first: int = 0, up: bool = False
    ) -> None:
        self.size, self.every, self.later, self.first, self.up = size, every, later, first, up
        self.slowed.update(self.open)

    def close(self) -> None:
        self.closing.set()
        super().close()

    def _connection(self) -> socket.socket:
        server = socket.socket()
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        server.connect(self.target)
        return server

    def _forth(self, client: socket.socket, server: socket.socket) -> None:
        for data in self._paced(client, server, up=True):
            send(server, data)

    def _back(self, server: socket.socket, client: socket.socket) -> None:
        for data in self._paced(server, client, up=False):
            try:
                client.sendall(data)
            except OSError:  # it has hung up: the server is told at once, whatever it has still to say
                server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                server.close()
                return

    def _paced(self, source: socket.socket, sink: socket.socket, *, up: bool) -> Iterator[bytes]:
        """What comes from the source, in pieces that may be handed on at once."""
        brought = 0
        for data in pieces(source, sink):
            while data:
                chosen = self.later or source in self.slowed
                slow = self.size and self.up is up and brought >= self.first and chosen
                count = self.size if slow else len(data)
                brought += count
                if slow:
                    self.trickles.set()
                yield data[:count]
                data = data[count:]
                if slow and self.closing.wait(self.every):
                    return


@contextmanager
def slow_wire(host: str, port: int) -> Iterator[SlowWire]:
    """A wire to a server that can be slowed down, closed afterwards."""
    with connected(SlowWire((host, port), listener())) as wire:
        yield wire
