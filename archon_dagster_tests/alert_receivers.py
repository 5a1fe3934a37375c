"""Servers that take alerts, for tests: a mail server and an HTTP server that keep what they are sent.

Both can be told to misbehave: to answer with an error, or never to answer.
"""

from __future__ import annotations

import email
import email.policy
import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Post(ThreadingHTTPServer):
    """Keeps the JSON of every POST in ``received`` and the path of every GET in ``beats``.

    :ivar answer: the status it answers with; :ivar hangs: set, it takes a request and never answers.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _PostHandler)
        self.received: list[dict[str, Any]] = []
        self.beats: list[str] = []
        self.answer = 200
        self.hangs = threading.Event()
        self.released = threading.Event()

    @property
    def port(self) -> int:
        return self.server_address[1]

    def titles(self) -> list[str]:
        return [said["title"] for said in self.received]


class _PostHandler(BaseHTTPRequestHandler):
    server: Post

    def do_POST(self) -> None:
        said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.server.hangs.is_set():
            self.server.released.wait(60)
        if self.server.answer == 200:
            self.server.received.append(said)
        self._reply()

    def do_GET(self) -> None:
        if self.server.hangs.is_set():
            self.server.released.wait(60)
        self.server.beats.append(self.path)
        self._reply()

    def _reply(self) -> None:
        self.send_response(self.server.answer)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None: ...


class Mail(socketserver.ThreadingTCPServer):
    """Speaks as much SMTP as a client needs; keeps every message in ``received``."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _MailHandler)
        self.received: list[EmailMessage] = []
        self.refuses = False

    @property
    def port(self) -> int:
        return self.server_address[1]


class _MailHandler(socketserver.StreamRequestHandler):
    server: Mail

    def handle(self) -> None:
        self._say("220 ready")
        while line := self.rfile.readline().decode().strip():
            verb = line[:4].upper()
            if verb in ("EHLO", "HELO"):
                self._say("250 hello")
            elif verb == "MAIL" and self.server.refuses:
                self._say("550 no mail today")
            elif verb == "DATA":
                self._say("354 go on")
                self.server.received.append(self._message())
                self._say("250 taken")
            elif verb == "QUIT":
                self._say("221 bye")
                return
            else:
                self._say("250 ok")

    def _message(self) -> EmailMessage:
        lines = []
        while (line := self.rfile.readline()) not in (b".\r\n", b""):
            lines.append(line.removeprefix(b"."))
        return email.message_from_bytes(b"".join(lines), policy=email.policy.default)

    def _say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())


@contextmanager
def serving(server: Post | Mail) -> Iterator[None]:
    """The server at work, ended afterwards."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        if isinstance(server, Post):
            server.released.set()
        server.shutdown()
        server.server_close()
        thread.join()
