"""Services of the platform's own compose file whose images are one small program: the file itself is what is tested."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from archon_dagster_tests.docker.conftest import Compose
from archon_dagster_tests.docker.servers import CHECKOUT
from archon_dagster_tests.docker_command import PROXY_IMAGE

FOLDER = CHECKOUT / "docker" / "platform"

# Says who it is; at SIGTERM it takes nothing new and answers what is open, as the platform's own does. Works hard, or
# is degraded, while there is a file that says so.
SERVER = """\
import http.server, json, os, select, signal, socket, sys, threading, time
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/slow":
            time.sleep(0.5)
        status = "degraded" if os.path.exists("/broken/degraded") else "healthy"
        body = json.dumps({"status": status, "who": socket.gethostname()}).encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
class Server(http.server.ThreadingHTTPServer):
    daemon_threads, request_queue_size = False, 128
def work():
    while True:
        end = time.monotonic() + 0.05
        while os.path.exists("/broken/busy") and time.monotonic() < end: pass
        time.sleep(0.01)
threading.Thread(target=work, daemon=True).start()
if os.path.exists("/broken/now"):
    raise SystemExit("injected: it does not start")
server = Server(("", int(sys.argv[1])), Handler)
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
server.serve_forever(0.05)
while select.select([server], [], [], 0)[0]:  # it has connected already, and is not sent away
    server.handle_request()
server.server_close()
"""


def small(port: int, broken: Path, *mounts: str, **check: Any) -> dict[str, Any]:
    """A service that is this program. :param broken: where the files are. :param check: of its health check."""
    return {
        "command": ["python3", "-u", "-c", SERVER.replace("$", "$$"), str(port)],
        "volumes": [f"{broken}:/broken:ro", *mounts], "healthcheck": check,
    }  # fmt: skip


def write(project: Compose, services: dict[str, Any], **variables: object) -> None:
    """The platform's files, with these services changed, and an ``.env``."""
    for file in FOLDER.glob("[!.]*"):
        shutil.copy(file, project.directory)
    (project.directory / "small.yaml").write_text(json.dumps({"services": services}))
    values = {
        "COMPOSE_FILE": "compose.yaml:small.yaml", "COMPOSE_PROJECT_NAME": project.name, "POSTGRES_PASSWORD": "x",
        "HAPROXY_IMAGE": PROXY_IMAGE, **variables,
    }  # fmt: skip
    (project.directory / ".env").write_text("# kept\n" + "".join(f"{key}={one}\n" for key, one in values.items()))
