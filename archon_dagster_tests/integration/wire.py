"""A wire between a client and a server, which hands everything on; what is done to it is the others' business."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

_BLOCK = 65536
_DEADLINE = 120.0  # seconds without a byte after which a connection is given up


W = TypeVar("W", bound="Wire")


@dataclass
class Wire:
    """Listens on a port of its own and hands everything on, byte for byte.

    :param target: host and port of the server.
    """

    target: tuple[str, int]
    listener: socket.socket
    threads: list[threading.Thread] = field(default_factory=list)
    open: list[socket.socket] = field(default_factory=list)

    @property
    def port(self) -> int:
        return int(self.listener.getsockname()[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def serve(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:  # closed: the end
                return
            server = self._connection()
            client.settimeout(_DEADLINE)
            self.open += [client, server]
            self._start(self._forth, client, server)
            self._start(self._back, server, client)

    def _connection(self) -> socket.socket:
        return socket.create_connection(self.target, _DEADLINE)

    def _start(self, pump: object, *ends: socket.socket) -> None:
        thread = threading.Thread(target=pump, args=ends)  # type: ignore[arg-type]
        thread.start()
        self.threads.append(thread)

    def _forth(self, client: socket.socket, server: socket.socket) -> None:
        for data in pieces(client, server):
            send(server, data)

    def _back(self, server: socket.socket, client: socket.socket) -> None:
        for data in pieces(server, client):
            send(client, data)

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for end in self.open:
            _end(end)
        for thread in self.threads:
            thread.join()
        for end in self.open:
            end.close()


def pieces(source: socket.socket, sink: socket.socket) -> Iterator[bytes]:
    try:
        while data := source.recv(_BLOCK):
            yield data
    except OSError:
        pass
    _end(sink)


def send(sink: socket.socket, data: bytes) -> None:
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
def connected(wire: W) -> Iterator[W]:
    """The wire at work, closed afterwards."""
    accepting = threading.Thread(target=wire.serve)
    accepting.start()
    try:
        yield wire
    finally:
        wire.close()
        accepting.join()


def listener() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))
