"""The sandbox's real servers as containers: a compose project of a whole small platform, with nothing pulled.

The containers have this machine's packages mounted, so their Python must be of the same minor version.
"""

from __future__ import annotations

import socket
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from archon_dagster.sandbox import graph, postgres
from archon_dagster_tests.docker.conftest import Compose
from archon_dagster_tests.docker_command import IMAGE, docker

CHECKOUT = Path(__file__).parents[2]
SITE = Path(sysconfig.get_path("purelib"))
PASSWORD = "only-on-this-machine"

MOUNTS = [f"{path}:{path}:ro" for path in sorted({CHECKOUT, SITE} - ({SITE} if CHECKOUT in SITE.parents else set()))]
_PYTHON = {"PYTHONPATH": f"{CHECKOUT}:{SITE}", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"}

_POSTGRES = """\
set -e
as_postgres="setpriv --reuid=www-data --regid=www-data --clear-groups"
mkdir -p /data/pg && chown www-data: /data /data/pg
if [ ! -f /data/made ]; then
  $as_postgres initdb -D /data/pg -U "$OWNER" -A trust -E UTF8 --no-locale --no-sync >/dev/null
  echo "host all all all trust" >>/data/pg/pg_hba.conf
  echo "CREATE DATABASE $PGDATABASE;" | $as_postgres postgres --single -D /data/pg postgres >/dev/null
  touch /data/made
fi
exec $as_postgres postgres -D /data/pg -h 0.0.0.0 -c unix_socket_directories=
"""


def require_same_python() -> None:
    """Skip where the image's Python cannot use this machine's packages."""
    said = docker("run", "--rm", IMAGE, "python3", "-c", "import sys; print(sys.version_info[:2])")
    if said != str(sys.version_info[:2]):
        pytest.skip(f"the Python of {IMAGE} is not this one's: name an image with ARCHON_TEST_IMAGE")


def postgres_service(owner: str = "postgres", database: str = "archon", **more: Any) -> dict[str, Any]:
    """The real server, with a database that anybody who can reach it may enter."""
    path = f"{postgres.programs()}:/usr/bin:/bin"
    environment = {"PATH": path, "PGHOST": "127.0.0.1", "PGDATABASE": database, "OWNER": owner}
    return {
        "image": IMAGE, "command": ["sh", "-c", _POSTGRES.replace("$", "$$")], "environment": environment,
        "stop_signal": "SIGINT", "volumes": [*MOUNTS, "postgres_data:/data"], **more,
    }  # fmt: skip


def services(ports: dict[str, int]) -> dict[str, Any]:
    """Qdrant's engine, a Bolt server and PostgreSQL, and one of the platform's services that writes.

    :param ports: on the host, by service.
    """

    def published(name: str, port: int) -> list[str]:
        return [f"127.0.0.1:{ports[name]}:{port}"] if name in ports else []

    java = graph._package()
    flags = {
        "arcadedb.server.rootPath": "/data", "arcadedb.server.rootPassword": PASSWORD,
        "arcadedb.server.mode": "production", "arcadedb.server.httpIncomingHost": "127.0.0.1",
        "arcadedb.bolt.host": "0.0.0.0", "arcadedb.bolt.port": 7687,
        "arcadedb.server.plugins": "Bolt:com.arcadedb.bolt.BoltProtocolPlugin",
        "arcadedb.server.defaultDatabases": f"{graph.DATABASE}[{graph.USER}]",
    }  # fmt: skip
    return {
        "qdrant": {
            "image": IMAGE,
            "command": ["python3", "-m", "archon_dagster.sandbox.vectors", "--host", "0.0.0.0", "--port", "6333",
                        "--storage", "/data/storage", "--snapshots", "/data/snapshots", "--version", "1.18.3"],
            "environment": _PYTHON, "volumes": [*MOUNTS, "qdrant_data:/data"], "ports": published("qdrant", 6333),
            "init": True,
        },
        "memgraph": {
            "image": IMAGE,
            "command": [str(java / "jre" / "bin" / "java"), "-Xmx384m", "-XX:+UseSerialGC", *graph._ADDED,
                        *(f"-D{name}={value}" for name, value in flags.items()),
                        "-cp", str(java / "jars" / "*"), "com.arcadedb.server.ArcadeDBServer"],
            "working_dir": "/data", "volumes": [*MOUNTS, "memgraph_data:/data"],
            "ports": published("memgraph", 7687), "init": True,
        },
        "postgres": postgres_service(ports=published("postgres", 5432)),
        "archon-agents": {
            "image": IMAGE, "command": ["python3", "-u", "-c", _WRITER],
            "ports": published("archon-agents", 8052), "init": True,
        },
    }  # fmt: skip


_WRITER = """\
import http.server, json
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(json.dumps({"status": "healthy"}).encode())
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("", 8052), Handler).serve_forever()
"""

VOLUMES: dict[str, Any] = {"qdrant_data": {}, "memgraph_data": {}, "postgres_data": {}}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def write_settings(project: Compose, ports: dict[str, int]) -> None:
    """The ``.env`` of the platform, as an operator on the host has it."""
    values = {
        "QDRANT_URL": f"http://127.0.0.1:{ports['qdrant']}", "MEMGRAPH_URI": f"bolt://127.0.0.1:{ports['memgraph']}",
        "MEMGRAPH_USER": graph.USER, "MEMGRAPH_PASSWORD": PASSWORD, "POSTGRES_PORT": ports["postgres"],
        "POSTGRES_DB": "archon", "AGENTS_SERVICE_PORT": ports["archon-agents"],
        "COMPOSE_PROJECT_NAME": project.name, "ARCHON_ENVIRONMENT": "development",
    }  # fmt: skip
    (project.directory / ".env").write_text("".join(f"{name}={value}\n" for name, value in values.items()))
