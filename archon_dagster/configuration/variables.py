"""Every variable of the platform's environment, as data: its kind, its range, who reads it.

The names are the runbook's (``.env.production``, ``.env.development``), those of the platform's compose file, and the
credentials the stores need. What the control plane itself reads from the same file is known from its settings.
Ports are those of the service catalogue.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import Literal

from archon_dagster.configuration.control_plane import FIELDS
from archon_dagster.platform.services import CATALOGUE, Service
from archon_dagster.stores.configuration.redaction import redact

Kind = Literal[
    "text", "flag", "whole", "choice", "zone",
    "port", "host", "bind", "http", "bolt", "origins",
    "secret", "dsn", "callback", "channels",
    "image", "cpus", "memory", "project", "repository",
]  # fmt: skip
_SECRET: tuple[Kind, ...] = ("secret", "dsn", "callback", "channels")
MOST_REPLICAS = 64

APPLICATIONS: tuple[str, ...] = tuple(s.name for s in CATALOGUE if not s.external and s.store is None)
"""The platform's own services; the stores read nothing of this file but what concerns them."""

_BACKEND = tuple(name for name in APPLICATIONS if name != "archon-frontend")
_EMBEDDING = ("archon-intelligence", "archon-search")
_GRAPH = ("archon-bridge", "archon-intelligence", "archon-search", "archon-mcp", "archon-agents")
_VECTORS = ("archon-search", "archon-intelligence", "archon-mcp", "archon-agents")


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable.

    :param readers: the services that read it: a change of it is a new environment for them.
    :param required: the platform does not work without it. :param production: not in production, at least.
    :param lowest, highest: of a whole number, both included; in the unit the text names.
    :param choices: the words it may be.
    :param service: whose port it is.
    """

    name: str
    kind: Kind
    readers: tuple[str, ...] = ()
    required: bool = False
    production: bool = False
    lowest: int = 0
    highest: int = 0
    unit: str = ""
    choices: tuple[str, ...] = ()
    service: str = ""

    @property
    def secret(self) -> bool:
        """Whether its value must never be shown."""
        return self.kind in _SECRET


def _ports() -> tuple[Variable, ...]:
    """The ports of the catalogue; whoever calls a service by its port reads it too."""
    own = [s for s in CATALOGUE if s.address_setting.endswith("_PORT") and s.store is None]
    return tuple(
        Variable(s.address_setting, "port", tuple(o.name for o in own if _calls(o, s)), service=s.name) for s in own
    )


def _calls(caller: Service, service: Service) -> bool:
    """The bridge asks intelligence, and MCP the agents, although neither waits for it."""
    also = (("archon-bridge", "archon-intelligence"), ("archon-mcp", "archon-agents"))
    return caller == service or service.name in caller.depends_on or (caller.name, service.name) in also


VARIABLES: tuple[Variable, ...] = (
    Variable("ARCHON_ENVIRONMENT", "choice", _BACKEND, required=True,
             choices=("production", "staging", "development")),
    Variable("LOG_LEVEL", "choice", _BACKEND, choices=("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")),
    Variable("DEBUG_MODE", "flag", _BACKEND),
    *_ports(),
    Variable("QDRANT_URL", "http", _VECTORS, required=True),
    Variable("QDRANT_API_KEY", "secret", ("qdrant", *_VECTORS)),
    Variable("MEMGRAPH_URI", "bolt", _GRAPH, required=True),
    Variable("MEMGRAPH_USER", "text", _GRAPH),
    Variable("MEMGRAPH_PASSWORD", "secret", _GRAPH),
    Variable("MEMGRAPH_DATABASE", "text", _GRAPH),
    Variable("POSTGRES_HOST", "host"),
    Variable("POSTGRES_PORT", "port", service="postgres"),
    Variable("POSTGRES_USER", "text", ("postgres",)),
    Variable("POSTGRES_PASSWORD", "secret", ("postgres",)),
    Variable("POSTGRES_DB", "text", ("postgres",)),
    Variable("POSTGRES_DSN", "dsn"),
    Variable("QDRANT_PORT", "port", ("qdrant",), service="qdrant"),
    Variable("MEMGRAPH_PORT", "port", ("memgraph",), service="memgraph"),
    Variable("SUPABASE_URL", "http", ("archon-bridge", "archon-intelligence", "archon-mcp"), required=True),
    Variable("SUPABASE_SERVICE_KEY", "secret", ("archon-bridge", "archon-intelligence", "archon-mcp"), required=True),
    Variable("SUPABASE_ANON_KEY", "secret"),
    Variable("OLLAMA_BASE_URL", "http", _EMBEDDING, required=True),
    Variable("EMBEDDING_MODEL", "text", _EMBEDDING, required=True),
    Variable("EMBEDDING_DIMENSIONS", "whole", _EMBEDDING, required=True, lowest=1, highest=65536),
    Variable("EMBEDDING_DIMENSION", "whole", lowest=1, highest=65536),
    Variable("BATCH_SIZE", "whole", _EMBEDDING, lowest=1, highest=1000),
    Variable("MAX_CONCURRENT_EMBEDDINGS", "whole", _EMBEDDING, lowest=1, highest=64),
    Variable("VECTOR_SEARCH_TIMEOUT", "whole", ("archon-search",), lowest=100, highest=120_000, unit="ms"),
    Variable("AUTO_REFRESH_ENABLED", "flag", ("archon-search",)),
    Variable("INDEX_OPTIMIZATION_INTERVAL", "whole", ("archon-search",), lowest=60, highest=604_800, unit="s"),
    Variable("INTELLIGENCE_GRAPH_LIMIT_MS", "whole", ("archon-intelligence",), lowest=1, highest=600_000, unit="ms"),
    Variable("SERVICE_AUTH_TOKEN", "secret", _BACKEND, production=True),
    Variable("CORS_ALLOWED_ORIGINS", "origins", _BACKEND),
    Variable("CORS_ORIGINS", "origins", _BACKEND),
    Variable("ENABLE_METRICS", "flag", _BACKEND),
    Variable("METRICS_PORT", "port", _BACKEND),
    Variable("HEALTH_CHECK_INTERVAL", "whole", _BACKEND, lowest=5, highest=3600, unit="s"),
    Variable("ENABLE_API_DOCS", "flag", _BACKEND),
    Variable("ENABLE_SWAGGER_UI", "flag", _BACKEND),
    Variable("MOCK_EXTERNAL_SERVICES", "flag", _BACKEND),
    Variable("BRIDGE_SERVICE_URL", "http", _BACKEND),
    Variable("INTELLIGENCE_SERVICE_URL", "http", _BACKEND),
    Variable("SEARCH_SERVICE_URL", "http", _BACKEND),
    Variable("ARCHON_TIMEZONE", "zone"),
    Variable("ARCHON_SERVICE_HOST", "host"),
    Variable("ARCHON_REPOSITORY", "repository"),
    Variable("ARCHON_WEBSERVER_URL", "http"),
    Variable("ARCHON_ALERT_URLS", "channels"),
    Variable("ARCHON_HEARTBEAT_URL", "callback"),
    Variable("COMPOSE_PROJECT_NAME", "project"),
    Variable("ARCHON_BIND", "bind"),
    Variable("ARCHON_RESTART_POLICY", "choice", choices=("no", "always", "unless-stopped", "on-failure")),
)  # fmt: skip

TABLE: dict[str, Variable] = {variable.name: variable for variable in VARIABLES}

SETTINGS: tuple[str, ...] = tuple(name for name in FIELDS if name not in TABLE)
"""Variables of the control plane alone; what they may be, its settings say."""

DEPLOYMENT = frozenset(
    f"ARCHON_{name}"
    for name in (
        "BACKUPS", "CONTROL_IMAGE", "CONTROL_PROJECT", "GID", "LISTEN", "MEMGRAPH_VOLUME", "PLATFORM_NETWORK",
        "PLATFORM_PROJECT", "QDRANT_VOLUME", "SECRETS_DIR", "STORAGE_IMAGE", "UID",
    )
)  # fmt: skip
"""Variables of the control plane's own compose project, ``docker/.env``; nobody reads them from the platform's."""

_COMPOSE = (
    "FILE", "PROFILES", "PATH_SEPARATOR", "ENV_FILES", "DISABLE_ENV_FILE", "IGNORE_ORPHANS", "REMOVE_ORPHANS",
    "PARALLEL_LIMIT", "ANSI", "STATUS_STDOUT", "MENU", "EXPERIMENTAL", "PROGRESS", "BAKE", "CONVERT_WINDOWS_PATHS",
)  # fmt: skip
_INSIDE = ("ARCHON_MCP_PORT", "ARCHON_AGENTS_PORT")
"""What the compose file gives containers beside the names of the table."""

_OTHERS = re.compile(
    rf"COMPOSE_({'|'.join(_COMPOSE)})|{'|'.join(_INSIDE)}|ARCHON_SANDBOX_[A-Z_]+|AWS_[A-Z0-9_]+|QDRANT__[A-Z0-9_]+"
)
_OF_CONTAINER = re.compile(r"([A-Z]+)_(IMAGE|REPLICAS|(CPUS|MEMORY)(?:_RESERVED)?)")
_PARTS = {"HAPROXY": "SEARCH"}
"""What a container is called that is part of a service: the balancer, of archon-search."""
_OF_CONTROL_PLANE = re.compile(r"COMPOSE_|ARCHON_|AWS_")
_NEAR = 0.75  # how alike two names are that may have been meant


def variable_of(name: str) -> Variable | None:
    """A variable of the table, or one of a service's container; ``None`` for what has no kind of its own here."""
    if name in TABLE:
        return TABLE[name]
    found, service = _OF_CONTAINER.fullmatch(name), _container_of(name)
    if found is None or service is None:
        return None
    kinds: dict[str, Kind] = {"IMAGE": "image", "REPLICAS": "whole", "CPUS": "cpus", "MEMORY": "memory"}
    return Variable(name, kinds[found[3] or found[2]], (service,), lowest=1, highest=MOST_REPLICAS)


def is_known(name: str) -> bool:
    """Whether anybody is known to read a variable of this name."""
    return variable_of(name) is not None or name in FIELDS or _OTHERS.fullmatch(name) is not None


def nearest(name: str) -> str | None:
    """The known name that was perhaps meant."""
    of_containers = [f"{found[1]}_{what}" for what in ("IMAGE", "REPLICAS", "CPUS", "MEMORY")
                     if (found := re.match(r"([A-Z]+)_", name)) and _container_of(f"{found[1]}_{what}")]  # fmt: skip
    known = [*TABLE, *FIELDS, *of_containers, *(f"COMPOSE_{one}" for one in _COMPOSE)]
    return next(iter(difflib.get_close_matches(name.upper(), known, 1, _NEAR)), None)


def is_secret(name: str) -> bool:
    """Whether its value must never be shown; of a variable nobody knows, its name decides, as it does in a backup."""
    if name in TABLE:
        return TABLE[name].secret
    if name in FIELDS and "SecretStr" in str(FIELDS[name].annotation):
        return True
    return bool(redact(".env", f"{name}=value".encode("utf-8", "surrogatepass")).secrets)


def readers_of(name: str) -> tuple[str, ...]:
    """The services that read a variable. One that nobody knows may be read by any of the platform's own."""
    if name in TABLE:
        return TABLE[name].readers
    if (service := _container_of(name)) is not None:
        return (service,)
    if name.startswith("QDRANT__"):
        return ("qdrant",)
    return () if name in SETTINGS or _OF_CONTROL_PLANE.match(name) else APPLICATIONS


def _container_of(name: str) -> str | None:
    """``SEARCH_IMAGE`` is the image of archon-search, ``QDRANT_MEMORY`` what qdrant may use: of one service alone."""
    found = _OF_CONTAINER.fullmatch(name)
    if found is None:
        return None
    word = _PARTS.get(found[1], found[1]).lower()
    return next((s.name for s in CATALOGUE if s.name in (word, f"archon-{word}")), None)
