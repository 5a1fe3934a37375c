"""An HTTP proxy on the loopback interface that breaks chosen requests in chosen ways."""

from __future__ import annotations

import http.client
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, Self
from urllib.parse import urlsplit

Fault = Literal[
    "busy",  # 503 SlowDown, nothing forwarded
    "denied",  # 403 AccessDenied, nothing forwarded
    "broken",  # 500 InternalError, nothing forwarded
    "reset",  # the connection is reset, nothing forwarded
    "lost answer",  # forwarded, and then the connection is reset
    "reset midway",  # half of the body, then a reset
    "truncated",  # half of the body, then a clean end
    "trickle",  # a byte of the body now and then
    "other bytes",  # a bit of the body is flipped
    "silence",  # no answer at all
    "no conditions",  # the conditions are taken away before it is forwarded
    "no date",  # the answer does not tell the time
    "late date",  # the answer tells a time long past
]
_BUSY = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
_BROKEN = b"<Error><Code>InternalError</Code><Message>We encountered an internal error.</Message></Error>"
_DENIED = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
_REFUSALS = {"busy": (503, _BUSY), "broken": (500, _BROKEN), "denied": (403, _DENIED)}
_CONDITIONS = ("if-match", "if-none-match")
LONG_PAST = "Tue, 01 Sep 2026 00:00:00 GMT"


@dataclass
class Plan:
    """A fault for the next requests that fit."""

    fault: Fault
    method: str
    containing: str
    times: int


@dataclass
class FaultyProxy:
    """A proxy in front of ``upstream``; faults are ordered with :meth:`fail`."""

    upstream: str
    plans: list[Plan] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    connections: int = 0
    latency: float = 0.0  # seconds before anything is forwarded

    def fail(self, fault: Fault, *, method: str = "", containing: str = "", times: int = 1_000_000) -> None:
        """Break the next ``times`` requests of this method whose path holds this text."""
        self.plans.append(Plan(fault, method, containing, times))

    def mend(self) -> None:
        """No more faults."""
        self.plans.clear()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._mutex = threading.Lock()
        self.end = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def chosen(self, method: str, path: str) -> Fault | None:
        """The fault for this request, used up by one."""
        with self._mutex:
            self.requests.append(f"{method} {path}")
            for plan in self.plans:
                if plan.times and method.startswith(plan.method) and plan.containing in path:
                    plan.times -= 1
                    return plan.fault
        return None


def _handler(proxy: FaultyProxy) -> type[BaseHTTPRequestHandler]:
    upstream = urlsplit(proxy.upstream)
    connect = http.client.HTTPSConnection if upstream.scheme == "https" else http.client.HTTPConnection

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            proxy.connections += 1

        def log_message(self, *_: Any) -> None: ...

        def _relay(self) -> None:
            fault = proxy.chosen(self.command, self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if proxy.latency:
                proxy.end.wait(proxy.latency)
            if fault in _REFUSALS:
                self._send(*_REFUSALS[fault], {})
                return
            if fault == "silence":
                proxy.end.wait(30)
                self.close_connection = True
                return
            if fault == "reset":
                self._reset()
                return
            status, headers, answer = self._forward(body, without_conditions=fault == "no conditions")
            self._answer(fault, status, headers, answer)

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _relay

        def _forward(self, body: bytes, *, without_conditions: bool) -> tuple[int, dict[str, str], bytes]:
            connection = connect(upstream.netloc, timeout=30)
            try:
                connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
                for name, value in self.headers.items():
                    if not (without_conditions and name.lower() in _CONDITIONS):
                        connection.putheader(name, value)
                connection.endheaders(body)
                answer = connection.getresponse()
                return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
            finally:
                connection.close()

        def _answer(self, fault: Fault | None, status: int, headers: dict[str, str], body: bytes) -> None:
            changes: dict[str, Callable[[], None]] = {
                "no date": lambda: void(headers.pop("date", "")),
                "late date": lambda: headers.update(date=LONG_PAST),
            }
            changes.get(fault or "", lambda: None)()
            half = len(body) // 2
            if fault == "lost answer":
                self._reset()
            elif fault == "other bytes" and body:
                self._send(status, body[:half] + bytes([body[half] ^ 1]) + body[half + 1 :], headers)
            elif fault in ("reset midway", "truncated"):
                self._head(status, headers, len(body))
                self.wfile.write(body[:half])
                self._reset() if fault == "reset midway" else self._leave()
            elif fault == "trickle":
                self._head(status, headers, len(body))
                self._trickle(body)
            else:
                self._send(status, body, headers)

        def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            length = int(headers.get("content-length", len(body)))  # of HEAD, the length of what is not sent
            self._head(status, headers, length)
            if self.command != "HEAD":
                self.wfile.write(body)

        def _head(self, status: int, headers: dict[str, str], length: int) -> None:
            self.send_response_only(status)
            for name, value in headers.items():
                if name not in ("content-length", "connection", "transfer-encoding"):
                    self.send_header(name, value)
            if status != 204:
                self.send_header("Content-Length", str(length))
            self.end_headers()

        def _trickle(self, body: bytes) -> None:
            for position in range(len(body)):
                if proxy.end.wait(0.05):
                    break
                try:
                    self.wfile.write(body[position : position + 1])
                except OSError:
                    break
            self._leave()

        def _leave(self) -> None:
            self.close_connection = True

        def _reset(self) -> None:
            self.wfile.flush()
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            self.close_connection = True

        def finish(self) -> None:
            try:
                super().finish()
            except OSError:
                return  # the connection was reset on purpose

    return Handler


def void(_: object) -> None:
    """Take a value and do nothing with it."""
