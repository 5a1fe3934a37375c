"""A Docker engine's address, where a test answers the requests."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Answer = Callable[[str, str, dict[str, list[str]]], tuple[int, Any]]
"""By method, path and query: the status, and what is said."""


@contextmanager
def serving(answer: Answer) -> Iterator[str]:
    """What ``DOCKER_HOST`` would be."""

    class Handler(BaseHTTPRequestHandler):
        def _reply(self) -> None:
            asked = urlsplit(self.path)
            status, said = answer(self.command, asked.path, parse_qs(asked.query))
            body = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_DELETE = _reply

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"tcp://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
