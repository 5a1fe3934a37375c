"""A wire between a client and a server that changes one byte of the first upload passing through it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from archon_dagster_tests.integration.wire import Wire, connected, listener, pieces, send


@dataclass
class BrokenWire(Wire):
    """:param spoilt: how many uploads have been changed."""

    spoilt: int = 0

    def _forth(self, client: socket.socket, server: socket.socket) -> None:
        uploading = False
        for data in pieces(client, server):
            uploading = uploading or b"/snapshots/upload" in data
            if uploading and not self.spoilt and len(data) >= 4096:  # inside the file, past every header
                self.spoilt += 1
                middle = len(data) // 2
                data = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
            send(server, data)


@contextmanager
def broken_wire(host: str, port: int) -> Iterator[BrokenWire]:
    """A broken wire to a server, closed afterwards."""
    with connected(BrokenWire((host, port), listener())) as wire:
        yield wire
