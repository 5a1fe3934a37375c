"""Where the alerts of a drill arrive: an HTTP server on loopback that keeps what it is sent."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Letterbox(ThreadingHTTPServer):
    """Keeps title and text of every notice, in the order in which they came."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.notices: list[tuple[str, str]] = []

    @property
    def url(self) -> str:
        """The channel, as ARCHON_ALERT_URLS wants it."""
        return f"json://127.0.0.1:{self.server_address[1]}/"

    def about(self, incident: str) -> list[str]:
        """The titles of the notices about one incident."""
        return [title for title, text in list(self.notices) if f"incident/{incident}" in text]


class _Handler(BaseHTTPRequestHandler):
    server: Letterbox

    def do_POST(self) -> None:
        said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.notices.append((said["title"], said["message"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None: ...


@contextmanager
def letterbox() -> Iterator[Letterbox]:
    """A letterbox for the block."""
    with Letterbox() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
