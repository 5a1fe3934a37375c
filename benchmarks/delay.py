"""A line with latency: a TCP proxy on the loopback interface that hands everything on a little later.

Only time is added, no limit of bandwidth: what is sent while something waits waits beside it, not behind it.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
import time
from typing import Self
from urllib.parse import urlsplit

_BLOCK = 1 << 18


class DelayingProxy:
    """Takes ``latency`` seconds for each way there and back together.

    :ivar exchanges: how often a client has said something and waited for the answer: HTTP requests.
    """

    def __init__(self, upstream: str, latency: float):
        parts = urlsplit(upstream)
        self._upstream = (parts.hostname or "", parts.port or 80)
        self._one_way = latency / 2
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._mutex = threading.Lock()
        self.exchanges = 0

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = self._listening.accept()
                server = socket.create_connection(self._upstream)
                for end in (client, server):
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                turn = _Turn()
                self._start(client, server, turn, asks=True)
                self._start(server, client, turn, asks=False)

    def _start(self, source: socket.socket, target: socket.socket, turn: _Turn, *, asks: bool) -> None:
        under_way: queue.Queue[tuple[float, bytes]] = queue.Queue()

        def receive() -> None:
            data = b"begin"
            while data:
                try:
                    data = source.recv(_BLOCK)
                except OSError:
                    data = b""
                if data and turn.changes(asks) and asks:
                    with self._mutex:
                        self.exchanges += 1
                under_way.put((time.monotonic() + self._one_way, data))

        def send() -> None:
            with contextlib.suppress(OSError):
                while True:
                    due, data = under_way.get()
                    time.sleep(max(0.0, due - time.monotonic()))
                    if not data:
                        break
                    target.sendall(data)
                target.shutdown(socket.SHUT_WR)

        for work in (receive, send):
            threading.Thread(target=work, daemon=True).start()


class _Turn:
    """Whose turn it is to speak on a connection."""

    def __init__(self) -> None:
        self._client = False

    def changes(self, client: bool) -> bool:
        """Note who speaks; whether it was the other one before."""
        changed, self._client = self._client != client, client
        return changed
