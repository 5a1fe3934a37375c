"""A wire between a client and a server that changes one byte of the first upload passing through it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

_BLOCK = 65536
_DEADLINE = 120.0  # seconds without a byte after which a connection is given up


@dataclass
class BrokenWire:
    """Listens on a port of its own and hands everything on, byte for byte, but for one byte of one upload.

    :param target: host and port of the server; :param spoilt: how many uploads have been changed.
    """

    target: tuple[str, int]
    listener: socket.socket
    spoilt: int = 0
    threads: list[threading.Thread] = field(default_factory=list)
    open: list[socket.socket] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def serve(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:  # closed: the end
                return
            server = socket.create_connection(self.target, _DEADLINE)
            client.settimeout(_DEADLINE)
            self.open += [client, server]
            self._start(self._forth, client, server)
            self._start(self._back, server, client)

    def _start(self, pump: object, *ends: socket.socket) -> None:
        thread = threading.Thread(target=pump, args=ends)  # type: ignore[arg-type]
        thread.start()
        self.threads.append(thread)

    def _forth(self, client: socket.socket, server: socket.socket) -> None:
        uploading = False
        for data in _pieces(client, server):
            uploading = uploading or b"/snapshots/upload" in data
            if uploading and not self.spoilt and len(data) >= 4096:  # inside the file, past every header
                self.spoilt += 1
                middle = len(data) // 2
                data = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
            _send(server, data)

    def _back(self, server: socket.socket, client: socket.socket) -> None:
        for data in _pieces(server, client):
            _send(client, data)

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for end in self.open:
            _end(end)
        for thread in self.threads:
            thread.join()
        for end in self.open:
            end.close()


def _pieces(source: socket.socket, sink: socket.socket) -> Iterator[bytes]:
    try:
        while data := source.recv(_BLOCK):
            yield data
    except OSError:
        pass
    _end(sink)


def _send(sink: socket.socket, data: bytes) -> None:
    try:
        sink.sendall(data)
    except OSError:  # the receiver has had enough; the sender will see it
        _end(sink)


def _end(one: socket.socket) -> None:
    try:
        one.shutdown(socket.SHUT_RDWR)
    except OSError:  # it has ended already
        return


@contextmanager
def broken_wire(host: str, port: int) -> Iterator[BrokenWire]:
    """A broken wire to a server, closed afterwards."""
    wire = BrokenWire((host, port), socket.create_server(("127.0.0.1", 0)))
    accepting = threading.Thread(target=wire.serve)
    accepting.start()
    try:
        yield wire
    finally:
        wire.close()
        accepting.join()
