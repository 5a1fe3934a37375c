"""The ``.env`` of the sandbox's platform: the runbook's names, with the ports and passwords of this sandbox."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dotenv import dotenv_values

from archon_dagster.platform.runtime.process_spec import write_private
from archon_dagster.platform.services import BY_NAME
from archon_dagster.platform.settings import Settings, load_settings
from archon_dagster.sandbox import graph, ports, postgres
from archon_dagster.sandbox.layout import Layout
from archon_dagster.sandbox.services import keys

REAL_QDRANT, REAL_MEMGRAPH = "ARCHON_SANDBOX_QDRANT", "ARCHON_SANDBOX_MEMGRAPH"
"""Commands of real servers that take the place of the sandbox's own."""

_ADDRESSES = {
    "qdrant": ("QDRANT_URL", "http://127.0.0.1:{}"),
    "memgraph": ("MEMGRAPH_URI", "bolt://127.0.0.1:{}"),
    "postgres": ("POSTGRES_PORT", "{}"),
    "archon-bridge": ("BRIDGE_SERVICE_PORT", "{}"),
    "archon-intelligence": ("INTELLIGENCE_SERVICE_PORT", "{}"),
    "archon-search": ("SEARCH_SERVICE_PORT", "{}"),
    "archon-mcp": ("MCP_SERVER_PORT", "{}"),
    "archon-agents": ("AGENTS_SERVICE_PORT", "{}"),
    "archon-frontend": ("FRONTEND_PORT", "{}"),
    "ollama": ("OLLAMA_BASE_URL", "http://127.0.0.1:{}"),
    "supabase": ("SUPABASE_URL", "http://127.0.0.1:{}"),
}

_USUAL_PORTS = {"supabase": 54321}
"""Where a service's own port is none for a program on this host: Supabase's is 443."""

GRAPH_PASSWORD = "embedded graph password"
"""Not a variable of the platform: kept for the own graph server while a real one, which has no password, runs."""

SUPABASE_SECRET = "SUPABASE_JWT_SECRET"
"""Not a variable of the platform: a Supabase project keeps it to itself."""

_PRIVATE = (GRAPH_PASSWORD, SUPABASE_SECRET)

_QDRANT_FILES, _MEMGRAPH_FILES = "ARCHON_QDRANT_STORAGE", "ARCHON_MEMGRAPH_DATA"
"""Where the stores' files are, so that the automatic recovery can copy and set them aside."""

_OWN = frozenset(
    {
        *(variable for variable, _ in _ADDRESSES.values()),
        *("MEMGRAPH_USER", "MEMGRAPH_PASSWORD", REAL_QDRANT, REAL_MEMGRAPH, *_PRIVATE),
        *("SUPABASE_SERVICE_KEY", "SUPABASE_ANON_KEY"),
        *("POSTGRES_HOST", "POSTGRES_USER", "POSTGRES_PASSWORD", "POSTGRES_DB", "ARCHON_RUNTIME"),
        *(_QDRANT_FILES, _MEMGRAPH_FILES),
    }
)

_FIXED = {
    "ARCHON_RUNTIME": "processes",
    "ARCHON_ENVIRONMENT": "development",
    "ARCHON_HEALTH_DEPENDS": '{"supabase": ["postgres"]}',  # the stand-in's tables are there
    "ARCHON_RECOVERY": "restore",  # nobody's data are at stake here: the whole ladder may be seen at work
    "POSTGRES_HOST": ports.LOOPBACK,
    "POSTGRES_USER": postgres.USER,
    "POSTGRES_DB": postgres.DATABASE,
    "EMBEDDING_MODEL": "sandbox-hashing-1536:latest",
    "EMBEDDING_DIMENSIONS": "1536",
    "AUTO_REFRESH_ENABLED": "false",
    "INTELLIGENCE_GRAPH_LIMIT_MS": "4000",  # two busy cores need more than the platform's 100 now and then
    "LOG_LEVEL": "INFO",
    "CORS_ORIGINS": "http://localhost:3737,http://127.0.0.1:3737",
}

_ELSEWHERE = ("POSTGRES_DSN", "QDRANT_API_KEY", "MEMGRAPH_DATABASE")
"""Settings that a shell may carry for another platform and that would lead away from this one."""

_HEADER = """\
# The sandbox's platform. Written by 'archon sandbox up': ports are chosen anew when somebody else has taken them,
# everything else is kept.
"""


def read(layout: Layout) -> dict[str, str]:
    """The variables of this sandbox; none for a new one.

    An operator may change the ``.env``, and a restore puts an old one back. Where the servers are and what they take
    for a password is not changed by that, so for these variables the sandbox's own copy counts.
    """
    kept = dotenv_values(layout.env_file) if layout.env_file.is_file() else {}
    try:
        own: dict[str, str] = json.loads(layout.variables.read_bytes())
    except FileNotFoundError:
        own = {}
    return {key: value for key, value in kept.items() if value is not None} | own


def port_of(environment: Mapping[str, str], service: str) -> int:
    """The port a service has in this platform."""
    return int(environment[_ADDRESSES[service][0]].rpartition(":")[2])


def plan(
    known: Mapping[str, str],
    services: Iterable[str],
    running: Iterable[str],
    real: Mapping[str, str],
    avoid: Iterable[int] = (),
) -> dict[str, str]:
    """The variables for the next start: what is known, and what is missing for the given services.

    :param running: services that keep their port because they are using it.
    :param real: commands of real servers, by variable name.
    :param avoid: ports that are somebody else's, even if they are free now.
    """
    kept = {key: value for key, value in known.items() if key not in (REAL_QDRANT, REAL_MEMGRAPH)}
    environment = _FIXED | kept | {key: value for key, value in real.items() if value}
    at_work = set(running)
    for name in services:
        if name not in at_work or _ADDRESSES[name][0] not in environment:
            environment |= new_port(environment, name, avoid)
    for password in ("POSTGRES_PASSWORD", *_PRIVATE):
        environment.setdefault(password, secrets.token_urlsafe(18))
    for variable, role in (("SUPABASE_SERVICE_KEY", keys.SERVICE), ("SUPABASE_ANON_KEY", keys.ANON)):
        environment.setdefault(variable, keys.key(environment[SUPABASE_SECRET], role))
    if "memgraph" not in at_work:
        environment |= _graph_login(environment)
    return environment


def _graph_login(environment: Mapping[str, str]) -> dict[str, str]:
    """A new Memgraph has no users and wants no login; the sandbox's own server does."""
    if REAL_MEMGRAPH in environment:
        return {"MEMGRAPH_USER": "", "MEMGRAPH_PASSWORD": ""}
    return {"MEMGRAPH_USER": graph.USER, "MEMGRAPH_PASSWORD": environment[GRAPH_PASSWORD]}


def new_port(environment: Mapping[str, str], service: str, avoid: Iterable[int] = ()) -> dict[str, str]:
    """The variable that holds a service's port, with a port that is free now: its last, its usual, or any."""
    variable, form = _ADDRESSES[service]
    others = taken(environment, but=service) | set(avoid)
    preferred = [port_of(environment, service)] if environment.get(variable) else []
    usual = _USUAL_PORTS.get(service, BY_NAME[service].port)
    return {variable: form.format(ports.choose([*preferred, usual], others))}


def taken(environment: Mapping[str, str], but: str = "") -> set[int]:
    """The ports that the services of this platform have."""
    return {port_of(environment, name) for name, (key, _) in _ADDRESSES.items() if name != but and environment.get(key)}


def public(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables without those that are the sandbox's own business."""
    return {key: value for key, value in environment.items() if key not in _PRIVATE}


def addresses(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that say where the services of this platform are."""
    known = {variable for variable, _ in _ADDRESSES.values()}
    return {key: value for key, value in environment.items() if key in known}


def files(layout: Layout, environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that say where the stores keep their files; a real server has a directory of its own."""
    qdrant, memgraph = ("server" if real in environment else "embedded" for real in (REAL_QDRANT, REAL_MEMGRAPH))
    return {
        _QDRANT_FILES: str(layout.data("vectors") / qdrant / "storage"),
        _MEMGRAPH_FILES: str(layout.data("graph") / memgraph),
    }


def write(layout: Layout, environment: Mapping[str, str]) -> None:
    """Write the variables, and the sandbox's own copy; for their owner only: passwords are among them."""
    environment = {**environment, **files(layout, environment)}
    own = {key: value for key, value in environment.items() if key in _OWN}
    write_private(layout.variables, json.dumps(own, indent=2) + "\n")
    lines = [f"{key}={_quoted(value)}\n" for key, value in sorted(public(environment).items())]
    write_private(layout.env_file, _HEADER + "".join(lines))


def _quoted(value: str) -> str:
    if value and not set(value) & set(" #'\"\\$`\n\t"):
        return value
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'" if value else ""


def write_sample_configuration(directory: Path) -> None:
    """Configuration files as a platform has them, so that there is something to back up."""
    for name, text in _SAMPLES.items():
        file = directory / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.exists():
            file.write_text(text)


_SAMPLES = {
    "logging.yml": "version: 1\nroot:\n  level: INFO\n  handlers: [console]\n",
    "search/ranking.yml": (
        "# weights of the hybrid search\nsemantic: 0.6\nstructural: 0.25\nrelational: 0.15\nminimum_score: 0.2\n"
    ),
}


def settings_of(layout: Layout, environment: Mapping[str, str]) -> Settings:
    """The settings of this sandbox, whatever the shell's environment says about another platform."""
    values: dict[str, Any] = dict.fromkeys(_ELSEWHERE) | dict(environment)
    return load_settings(**values | {"ARCHON_HOME": layout.home, "ARCHON_PROJECT_DIR": layout.platform})
