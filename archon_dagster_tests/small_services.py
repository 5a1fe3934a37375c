"""Small real services for the logic of starting: processes that answer ``GET /health``, and do as a file tells them.

``python small_services.py DIRECTORY PORT`` serves; :class:`SmallPlatform` has one for each of the platform's services.
What a service is told is read at each request: ``healthy``, ``degraded`` (with status 200), ``hang``; ``crash`` is
read at its start, and ``after 0.5`` makes it say for so many seconds that it is still starting.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

APPLICATIONS = (
    "archon-bridge", "archon-intelligence", "archon-search", "archon-mcp", "archon-agents", "archon-frontend",
)  # fmt: skip


def serve(directory: Path, port: int) -> None:
    begin = time.monotonic()
    told = _told(directory)
    _note(directory, "begins")
    if told[0] == "crash":
        sys.stderr.write("cannot open storage: disk on fire\n")
        sys.exit(4)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            order = _told(directory)
            while order[0] == "hang":
                time.sleep(0.05)
                order = _told(directory)
            starting = order[0] == "after" and time.monotonic() - begin < float(order[1])
            status = "initializing" if starting else "degraded" if order[0] == "degraded" else "healthy"
            if status == "healthy":
                _note(directory, "healthy")
            code, said = _as_qdrant(self.path, status) if directory.name == "qdrant" else (200, {"status": status})
            body = json.dumps(said).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None: ...

    sys.stderr.write(f"{directory.name} listens on {port}\n")
    sys.stderr.flush()
    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


def _as_qdrant(path: str, status: str) -> tuple[int, dict[str, Any]]:
    """What Qdrant answers: it has no ``/health``."""
    if path == "/readyz":
        return (200 if status == "healthy" else 503), {}
    return (200, {"result": {"collections": []}}) if path == "/collections" else (404, {})


def _told(directory: Path) -> list[str]:
    file = directory / "told"
    return (file.read_text() if file.exists() else "").split() or ["healthy"]


def _note(directory: Path, event: str) -> None:
    """What happened in which order, over all services; of each event of a process the first counts."""
    with (directory.parent / "events").open("a") as file:
        file.write(f"{time.monotonic()} {directory.name} {event}\n")


class SmallPlatform:
    """A home with services that can be started, and with nothing else."""

    def __init__(self, home: Path, names: Iterable[str] = APPLICATIONS, **settings: Any):
        from archon_dagster.platform.runtime.process_spec import ProcessSpec, write_spec
        from archon_dagster.platform.runtime.processes import ProcessesRuntime
        from archon_dagster.platform.services import BY_NAME
        from archon_dagster.platform.settings import load_settings

        self.home, self.names = home, tuple(names)
        ports: dict[str, Any] = {BY_NAME[name].address_setting: _free_port() for name in self.names}
        for name in self.names:
            directory = home / "services" / name
            command = [
                sys.executable,
                "-I",
                str(Path(__file__)),
                str(directory),
                str(ports[BY_NAME[name].address_setting]),
            ]
            write_spec(directory, ProcessSpec(command=command, cwd=home))
        if "qdrant" in self.names:
            ports["QDRANT_URL"] = f"http://127.0.0.1:{ports['QDRANT_URL']}"
        own = {"ARCHON_HOME": home, "ARCHON_RUNTIME": "processes"} | ports
        self.environment = {name: str(value) for name, value in own.items()}  # leads a command to this platform
        self.settings = load_settings(**own | settings)
        self.runtime = ProcessesRuntime(home / "services")

    def tell(self, service: str, what: str) -> None:
        (self.home / "services" / service / "told").write_text(what)

    def instances(self) -> dict[str, str]:
        """The process of each service that runs or is paused."""
        at_work = [one for one in self.runtime.status() if one.state in ("running", "paused")]
        return {one.service: one.instance for one in at_work}

    def first(self, service: str, event: str) -> float:
        """When a service first began, or first said that it is healthy."""
        lines = (self.home / "services" / "events").read_text().splitlines()
        return min(float(at) for at, name, what in map(str.split, lines) if (name, what) == (service, event))


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


if __name__ == "__main__":
    serve(Path(sys.argv[1]), int(sys.argv[2]))
