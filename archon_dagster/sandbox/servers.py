"""Which servers a sandbox has, and how each is run: the one place that knows the stand-ins and the real programs."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from archon_dagster import __version__
from archon_dagster.platform.runtime.process_spec import ProcessSpec
from archon_dagster.platform.services import CATALOGUE
from archon_dagster.sandbox import environment as env
from archon_dagster.sandbox import graph, ports, postgres, vector_server
from archon_dagster.sandbox.layout import Layout

_SEARCH_MODULE = "archon_dagster.sandbox.search"
_REAL = {"qdrant": env.REAL_QDRANT, "memgraph": env.REAL_MEMGRAPH}


def available(environment: Mapping[str, str]) -> tuple[str, ...]:
    """The services this sandbox can run, in catalogue order."""
    have = {"memgraph", "postgres"}
    if env.REAL_QDRANT in environment or _is_module(vector_server.MODULE):
        have.add("qdrant")
    if _is_module(_SEARCH_MODULE) and "qdrant" in have:
        have.add("archon-search")
    return tuple(service.name for service in CATALOGUE if service.name in have)


def _is_module(name: str) -> bool:
    """Whether a module of the sandbox can be run, without importing it."""
    path = Path(__file__).parent / name.rpartition(".")[2]
    return path.with_suffix(".py").is_file() or (path / "__main__.py").is_file()


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


def _search(layout: Layout, environment: Mapping[str, str], port: int) -> ProcessSpec:
    return ProcessSpec(
        command=[sys.executable, "-P", "-m", _SEARCH_MODULE, "--port", str(port)],
        env_files=[layout.env_file],
        cwd=layout.platform,
        version=f"archon-dagster {__version__}",
    )


def _spare(environment: Mapping[str, str], count: int) -> list[int]:
    """Ports for a server's further listeners, which nobody needs to find."""
    found: list[int] = []
    while len(found) < count:
        found.append(ports.any_free({*env.taken(environment), *found}))
    return found


_ASSEMBLE = {"qdrant": _qdrant, "memgraph": _memgraph, "postgres": _postgres, "archon-search": _search}
