"""The service catalogue: everything this project knows about the platform's services, as data.

A name, a port, an order or a budget is written here and nowhere else. Names are the compose service names.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

ProbeKind = Literal["http", "qdrant", "bolt", "postgres", "tcp"]


@dataclass(frozen=True, slots=True)
class Probe:
    """One question asked of a service: how, where, how long to wait, when an answer is slow.

    ``http`` wants a JSON body that says healthy, not merely a 200 (the platform's services answer 200 while
    degraded); ``qdrant`` asks ``/readyz`` and then every collection, because ``/readyz`` is content with dead ones.
    """

    kind: ProbeKind
    path: str = ""
    timeout: float = 5.0  # seconds
    slow_after: float = 2.0  # seconds; slower answers are good but slow


@dataclass(frozen=True, slots=True)
class Service:
    """One service of the platform.

    :param order: start phase of the runbook; services of one phase start in parallel.
    :param critical: the platform is down without it.
    :param essential: ``False``: may be stopped in an emergency to preserve resources.
    :param external: probed, never started or stopped.
    :param writer: writes to a store, so it is paused while the stores are captured and stopped while they are restored.
    :param store: the store it holds, if any.
    :param address_setting: the setting that holds its address.
    :param start_budget: seconds it may take to become ready (the platform's compose file's start periods).
    :param stop_grace: seconds it gets to stop by itself; databases write a snapshot on exit.
    """

    name: str
    title: str
    order: int
    port: int
    probe: Probe
    depends_on: tuple[str, ...] = ()
    critical: bool = True
    essential: bool = True
    external: bool = False
    writer: bool = False
    store: str | None = None
    address_setting: str = ""
    start_budget: float = 60.0
    stop_grace: float = 30.0


_HEALTH = Probe("http", "/health")

CATALOGUE: tuple[Service, ...] = (
    Service("qdrant", "Qdrant", 1, 6333, Probe("qdrant"), store="vectors", address_setting="QDRANT_URL"),
    Service("memgraph", "Memgraph", 1, 7687, Probe("bolt"), store="graph", address_setting="MEMGRAPH_URI",
            stop_grace=120.0),
    Service("postgres", "PostgreSQL", 1, 5432, Probe("postgres"), store="relational",
            address_setting="POSTGRES_PORT", stop_grace=60.0),
    Service("archon-bridge", "Bridge", 2, 8054, _HEALTH, depends_on=("memgraph", "supabase"), writer=True,
            address_setting="BRIDGE_SERVICE_PORT"),
    Service("archon-intelligence", "Intelligence", 3, 8053, _HEALTH,
            depends_on=("memgraph", "archon-bridge", "ollama"), writer=True,
            address_setting="INTELLIGENCE_SERVICE_PORT", start_budget=120.0),
    Service("archon-search", "Search", 3, 8055, Probe("http", "/health", slow_after=1.0),
            depends_on=("qdrant", "memgraph", "archon-bridge", "ollama"), writer=True,
            address_setting="SEARCH_SERVICE_PORT", start_budget=120.0),
    Service("archon-mcp", "MCP server", 4, 8051, _HEALTH,
            depends_on=("archon-bridge", "archon-intelligence", "archon-search"), writer=True,
            address_setting="MCP_SERVER_PORT"),
    Service("archon-agents", "Agents", 4, 8052, _HEALTH, depends_on=("archon-mcp",), critical=False, essential=False,
            writer=True, address_setting="AGENTS_SERVICE_PORT"),
    Service("archon-frontend", "Frontend", 4, 3737, Probe("http", "/"), depends_on=("archon-mcp",), critical=False,
            essential=False, address_setting="FRONTEND_PORT"),
    Service("ollama", "Ollama", 0, 11434, Probe("http", "/api/tags"), external=True,
            address_setting="OLLAMA_BASE_URL"),
    Service("supabase", "Supabase", 0, 443, Probe("http", "/rest/v1/", timeout=10.0), external=True,
            address_setting="SUPABASE_URL"),
)  # fmt: skip

BY_NAME: dict[str, Service] = {service.name: service for service in CATALOGUE}

ARCHON_COLLECTIONS: tuple[str, ...] = ("archon_vectors", "quality_vectors", "code_generation_patterns")
"""The collections the platform's own services use; a server may hold others, and a backup takes all of them."""


def phases(names: Iterable[str]) -> list[list[Service]]:
    """The given services grouped by start order, first to start first; externals are left out."""
    chosen = [service for service in CATALOGUE if service.name in set(names) and not service.external]
    return [[s for s in chosen if s.order == order] for order in sorted({s.order for s in chosen})]


def writers(names: Iterable[str]) -> list[Service]:
    """Those of the given services that write to a store."""
    return [service for service in CATALOGUE if service.name in set(names) and service.writer]
