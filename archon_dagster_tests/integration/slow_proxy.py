"""A proxy in front of a server that does single requests badly: a byte now and then, or not at all."""

from __future__ import annotations

import http.client
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

EVERY = 0.05  # seconds between two bytes
SMALL_BUFFER = 4096  # bytes the proxy takes without having read them

How = Literal["trickles down", "trickles up", "answers nothing", "is not heard", "has no room", "is stopped"]
"""``answers nothing``: the request never arrives. ``is not heard``: it does and is carried out, the answer is lost.
``is stopped``: the proxy's ``stop`` is called, then the request is handed on."""

NO_ROOM = (
    b'{"status":{"error":"Service internal error: No space left on device: WAL buffer size exceeds available disk '
    b'space"},"time":0.01}'
)


class Fault(NamedTuple):
    method: str
    pattern: str
    how: How


class Proxy(ThreadingHTTPServer):
    """The proxy; ``faults`` may change at any time, ``met`` tells which have been met."""

    daemon_threads = True

    def __init__(self, target: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler, bind_and_activate=False)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
        self.server_bind()
        self.server_activate()
        self.target = urlsplit(target).netloc
        self.faults: list[Fault] = []
        self.met, self.hung_up, self.closing = threading.Event(), threading.Event(), threading.Event()
        self.stop: Callable[[], None] = lambda: None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: object, client_address: object) -> None:
        """The other side has hung up: what these tests are about."""
        self.hung_up.set()


class _Handler(BaseHTTPRequestHandler):
    server: Proxy
    timeout = 10.0

    def _serve(self) -> None:
        self.close_connection = True
        path = self.path.partition("?")[0]
        for fault in self.server.faults:
            if fault.method == self.command and re.fullmatch(fault.pattern, path):
                if fault.how not in ("is stopped", "is not heard"):
                    self.server.met.set()
                self._misbehave(fault.how)
                return
        self._forward(self._body())

    def _misbehave(self, how: How) -> None:
        if how == "trickles down":
            self._forward(self._body(), slowly=True)
        elif how == "trickles up":
            self._trickle_up()
        elif how == "is stopped":
            self.server.stop()
            self.server.met.set()
            self._forward(self._body())
        elif how == "answers nothing":
            self._until_hung_up()
        elif how == "is not heard":
            self._ask(self._body())
            self.server.met.set()
            self._until_hung_up()
        else:
            self._body()
            self._answer(500, [("content-type", "application/json")], NO_ROOM)

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("content-length") or 0))

    def _ask(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(self.server.target, timeout=30.0)
        try:
            headers = {k: v for k, v in self.headers.items() if k.lower() not in ("host", "connection")}
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()

    def _forward(self, body: bytes, *, slowly: bool = False) -> None:
        status, headers, content = self._ask(body)
        self._answer(status, headers, content, slowly=slowly)

    def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes, *, slowly: bool = False) -> None:
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in ("content-length", "transfer-encoding", "connection", "date", "server"):
                self.send_header(name, value)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        if not slowly:
            self.wfile.write(content)
            return
        for byte in content:
            if self.server.closing.wait(EVERY):
                return
            self.wfile.write(bytes([byte]))

    def _trickle_up(self) -> None:
        """A reader sees a reset only behind what has arrived before it, so the connection is asked."""
        while self.connection.recv(1):
            if self.server.closing.wait(EVERY):
                return
            if self.connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                break
        self.server.hung_up.set()

    def _until_hung_up(self) -> None:
        """Take whatever still comes and say nothing."""
        self.connection.settimeout(EVERY)
        while not self.server.closing.is_set():
            with suppress(TimeoutError):
                if not self.connection.recv(1 << 16):
                    self.server.hung_up.set()
                    return

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _serve

    def log_message(self, *_: object) -> None: ...


@contextmanager
def in_front_of(target: str) -> Iterator[Proxy]:
    """A proxy to the server at that address, as long as the context lasts."""
    with Proxy(target) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield proxy
        finally:
            proxy.closing.set()
            proxy.shutdown()
            thread.join()
