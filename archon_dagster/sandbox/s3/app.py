"""``moto``'s S3 as a WSGI application, with the one thing added that a lock in a bucket needs: writes are atomic."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterable
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.test import Client

Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]


def create_app(bucket: str) -> Wsgi:
    """An S3 service with an empty bucket in it."""
    app = _one_write_at_a_time(DomainDispatcherApplication(create_backend_app))
    answer = Client(app).put(f"/{bucket}", headers={"Host": "localhost"})
    if answer.status_code != 200:
        raise RuntimeError(f"the bucket {bucket} could not be made: {answer.status}")
    return app


def _one_write_at_a_time(app: Wsgi) -> Wsgi:
    """moto looks at a condition and then writes; in between, another thread would do the same."""
    turn = threading.Lock()

    def serve(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] in ("GET", "HEAD"):
            return app(environ, start_response)
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))  # a slow sender holds up nobody
        with turn:
            return list(app({**environ, "wsgi.input": io.BytesIO(body)}, start_response))

    return serve
