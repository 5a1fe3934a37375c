"""Three small services that read the platform's ``.env`` as containers do: when they are made, and never again.

They are real processes. Each says on ``/health`` that it is well, unless its environment says ``LOG_LEVEL=CRITICAL``;
with ``BATCH_SIZE=13`` the search service ends at once.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

NAMES = ("archon-bridge", "archon-intelligence", "archon-search")
PORTS = {"archon-bridge": "BRIDGE_SERVICE_PORT", "archon-intelligence": "INTELLIGENCE_SERVICE_PORT",
         "archon-search": "SEARCH_SERVICE_PORT"}  # fmt: skip


def serve(name: str, port: int) -> None:
    if name == "archon-search" and os.environ.get("BATCH_SIZE") == "13":
        sys.stderr.write("thirteen is too many\n")
        sys.exit(4)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            said = "degraded" if os.environ.get("LOG_LEVEL") == "CRITICAL" else "healthy"
            body = json.dumps({"status": said}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None: ...

    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


class EnvPlatform:
    """A home with these services, its project directory with an ``.env``."""

    def __init__(self, home: Path, content: bytes | None = None):
        from archon_dagster.platform.runtime.processes import ProcessesRuntime
        from archon_dagster.platform.settings import load_settings

        self.home, self.env_file = home, home / "platform" / ".env"
        kept = home / "ports.json"
        if content is not None:
            self._make(content)
            kept.write_text(json.dumps({PORTS[name]: _free_port() for name in NAMES}))
        ports: dict[str, Any] = json.loads(kept.read_text())
        self.runtime = ProcessesRuntime(home / "services")
        self.settings = load_settings(
            **{"ARCHON_HOME": home, "ARCHON_RUNTIME": "processes", "ARCHON_START_PATIENCE": 0.1, **ports}
        )
        if content is not None:
            self._specify(ports)

    def _make(self, content: bytes) -> None:
        self.env_file.parent.mkdir(parents=True)
        self.env_file.write_bytes(content)
        self.env_file.chmod(0o600)

    def _specify(self, ports: dict[str, Any]) -> None:
        from archon_dagster.platform.runtime.process_spec import ProcessSpec, write_spec

        for name in NAMES:
            command = [sys.executable, "-I", str(Path(__file__)), name, str(ports[PORTS[name]])]
            spec = ProcessSpec(command=command, cwd=self.home, env_files=[self.env_file])
            write_spec(self.home / "services" / name, spec)

    def start(self) -> None:
        from archon_dagster.platform.readiness import wait_until_ready

        self.runtime.up()
        wait_until_ready(NAMES, self.settings, self.runtime)

    def context(self, report: Callable[[Any], None] = lambda _: None) -> Any:
        from archon_dagster.configuration.context import ConfigurationContext

        return ConfigurationContext(self.settings, self.runtime, lambda: self.settings, report=report)

    def instances(self) -> dict[str, str]:
        return {one.service: one.instance for one in self.runtime.status() if one.state == "running"}

    def reads(self, variable: str) -> dict[str, str | None]:
        """What each running service has for a variable in its environment."""
        import psutil

        found = {name: psutil.Process(int(pid)).environ() for name, pid in self.instances().items()}
        return {name: environment.get(variable) for name, environment in found.items()}


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
