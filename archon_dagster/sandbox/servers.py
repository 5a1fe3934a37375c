"""Which servers a sandbox has, and how each is run: the one place that knows the stand-ins and the real programs."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from archon_dagster import __version__
from archon_dagster.platform.runtime.process_spec import PORT, ProcessSpec, Replication
from archon_dagster.platform.services import CATALOGUE
from archon_dagster.sandbox import environment as env
from archon_dagster.sandbox import graph, misbehaviour, ports, postgres, vector_server
from archon_dagster.sandbox.layout import STAND_INS, Layout

SERVICES = tuple(service.name for service in CATALOGUE)
"""The services of a sandbox, the external ones too, in catalogue order."""

SCALED = ("archon-search",)
"""The services that can run more than once: they keep nothing themselves."""

_MODULE, _BALANCER = "archon_dagster.sandbox.services", "archon_dagster.sandbox.balancer"
_START_DELAYS = {"archon-bridge": 0.2, "archon-intelligence": 0.5, "archon-search": 0.5}
"""Seconds: what takes the platform's own services up to two minutes."""

_REAL = {"qdrant": env.REAL_QDRANT, "memgraph": env.REAL_MEMGRAPH}


def is_real(service: str, environment: Mapping[str, str]) -> bool:
    """Whether a real server takes this service's place."""
    return _REAL.get(service, "") in environment


def assemble(service: str, layout: Layout, environment: Mapping[str, str]) -> ProcessSpec:
    """Prepare a service's data and say how it is run on the port it has in ``environment``."""
    port = env.port_of(environment, service)
    return _ASSEMBLE[service](layout, environment, port)


def _qdrant(layout: Layout, environment: Mapping[str, str], port: int) -> ProcessSpec:
    # a directory for each kind of server: they do not read each other's files
    data = layout.data("vectors")
    if env.REAL_QDRANT not in environment:
        return vector_server.embedded(data / "embedded", port)
    (grpc,) = _spare(environment, 1)
    return vector_server.qdrant(shlex.split(environment[env.REAL_QDRANT]), data / "server", port, grpc)


def _memgraph(layout: Layout, environment: Mapping[str, str], port: int) -> ProcessSpec:
    data, own = layout.data("graph"), layout.services / "memgraph"
    if env.REAL_MEMGRAPH not in environment:
        (http,) = _spare(environment, 1)
        return graph.embedded(data / "embedded", own, port, http, environment[env.GRAPH_PASSWORD])
    monitoring, metrics = _spare(environment, 2)
    command = shlex.split(environment[env.REAL_MEMGRAPH])
    return graph.memgraph(command, data / "server", own, port, (monitoring, metrics))


def _postgres(layout: Layout, environment: Mapping[str, str], port: int) -> ProcessSpec:
    data, password = layout.data("relational"), environment["POSTGRES_PASSWORD"]
    way = postgres.unprivileged(data)
    postgres.initialise(data, password, way)
    return postgres.spec(data, port, password, way)


def _stand_in(service: str, layout: Layout, environment: Mapping[str, str], port: int) -> ProcessSpec:
    orders = misbehaviour.orders_file(layout, service)
    orders.parent.mkdir(parents=True, exist_ok=True)
    own = {misbehaviour.VARIABLE: str(orders)}
    if misbehaviour.START_DELAY not in os.environ and service in _START_DELAYS:
        own[misbehaviour.START_DELAY] = str(_START_DELAYS[service])
    if service == "supabase":
        own[env.SUPABASE_SECRET] = environment[env.SUPABASE_SECRET]
    command = [sys.executable, "-P", "-m", _MODULE, service, "--port"]
    return ProcessSpec(
        command=[*command, str(port)],
        replication=_replicated(layout.directory(service), command, port) if service in SCALED else None,
        env=own,
        env_files=[layout.env_file],
        path=[postgres.programs()] if service == "supabase" else [],
        cwd=layout.platform,
        version=f"archon-dagster {__version__}",
    )


def _replicated(directory: Path, command: list[str], port: int) -> Replication:
    balancer = [sys.executable, "-P", "-m", _BALANCER, "--port", str(port), "--directory", str(directory)]
    return Replication(command=[*command, PORT], balancer=balancer)


def _spare(environment: Mapping[str, str], count: int) -> list[int]:
    """Ports for a server's further listeners, which nobody needs to find."""
    found: list[int] = []
    while len(found) < count:
        found.append(ports.any_free({*env.taken(environment), *found}))
    return found


_ASSEMBLE: dict[str, Callable[[Layout, Mapping[str, str], int], ProcessSpec]] = {
    "qdrant": _qdrant,
    "memgraph": _memgraph,
    "postgres": _postgres,
    **{name: partial(_stand_in, name) for name in STAND_INS},
}
