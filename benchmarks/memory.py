"""Memory of every operation above the idle process, at one and at ten times the data; nothing deduplicates.

Each operation runs in a process of its own, against servers in others. The sandbox's servers are filled by the
generator, whose larger scale contains the smaller.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from archon_dagster.sandbox import lifecycle
from archon_dagster.sandbox.lifecycle import Sandbox
from archon_dagster.sandbox.s3.running import object_storage
from archon_dagster.sandbox.seed.scale.graph import GraphSeed, endpoint
from archon_dagster.sandbox.seed.scale.tables import TableSeed
from archon_dagster.sandbox.seed.scale.vectors import VectorSeed, connected
from archon_dagster.stores.base import Work
from archon_dagster.stores.graph.connection import Bolt
from archon_dagster.stores.graph.dialect import choose
from archon_dagster.stores.graph.driver import open_driver
from archon_dagster.stores.relational import open_relational
from archon_dagster.stores.vectors.client import Client
from benchmarks.operations import PORTABLE
from benchmarks.repository import ours
from benchmarks.targets import MEMORY

TIMES = 10
NODES, POINTS, DIMENSION, ROWS = 2_000, 1_000, 1536, 20_000  # of the smaller size; a recorded platform has 2,024 nodes
PER_NODE = 40  # bytes that a restore remembers of each node: its check 24 (id and digest), its load 16 (two ids)
_ON_S3 = "quality_vectors.snapshot"  # the server keeps all it is sent in memory


def run(data: Path, scratch: Path) -> dict[str, Any]:
    """MiB above idle by operation and size, and how many nodes a graph may have."""
    found: dict[str, dict[str, float]] = {}
    sizes: dict[str, dict[str, Any]] = {}
    for times in (1, TIMES):
        for what, mib in (*_repository(data / "base", scratch, times), *_s3(data / "base", scratch, times)):
            found.setdefault(what, {})[f"{times}x"] = mib
    with _sandbox(scratch / "memory") as sandbox:
        for times in (1, TIMES):
            size = sizes[f"{times}x"] = {}
            for what, mib in _stores(sandbox, scratch, times, size):
                found.setdefault(what, {})[f"{times}x"] = mib
    return {"mib_above_idle": found, "sizes": sizes, "nodes_of_a_graph_within_the_limit": _nodes(found, sizes)}


def _nodes(found: dict[str, dict[str, float]], sizes: dict[str, dict[str, Any]]) -> int:
    """What is left below the limit, in nodes, added to those that were measured."""
    largest = f"{TIMES}x"
    used = max(figures[largest] for what, figures in found.items() if what.startswith("graph"))
    return int(sizes[largest]["nodes"] + max(0.0, MEMORY - used) * (1 << 20) / PER_NODE)


def _repository(folder: Path, scratch: Path, times: int) -> Iterator[tuple[str, float]]:
    repository, files = scratch / f"memory-{times}", scratch / f"memory-{times}-files"
    yield "repository, ingest", _mib("stream", repository, folder, times)
    yield "repository, verify", _mib("verify", repository)
    yield "repository, read back as files", _mib("export", repository, files)
    shutil.rmtree(repository)
    shutil.rmtree(files)


def _s3(folder: Path, scratch: Path, times: int) -> Iterator[tuple[str, float]]:
    one = scratch / f"one-file-{times}"
    one.mkdir()
    (one / _ON_S3).symlink_to(folder / _ON_S3)
    with object_storage() as storage:
        place = storage.environment["ARCHON_REPOSITORY"]
        yield "S3, ingest", _mib("stream", place, one, times, env=storage.environment)
        yield "S3, verify", _mib("verify", place, env=storage.environment)
        yield "S3, read back", _mib("read", place, env=storage.environment)


@contextmanager
def _sandbox(home: Path) -> Iterator[Sandbox]:
    sandbox = lifecycle.up(home, owner_pid=os.getpid())
    try:
        yield sandbox
    finally:
        lifecycle.down(home)


def _stores(sandbox: Sandbox, scratch: Path, times: int, size: dict[str, Any]) -> Iterator[tuple[str, float]]:
    work, home = Work(scratch), sandbox.home
    size |= _fill_graph(sandbox, times, work) | _fill_vectors(sandbox, times, work) | _fill_tables(sandbox, times, work)
    for store, name in (("graph", "graph"), ("relational", "tables"), ("vectors", "vectors")):
        made = ours("export-store", home, store)
        yield f"{name}, export", made["memory_mib"]
        yield f"{name}, verify", _mib("verify-store", home, store, made["backup"])
        lifecycle.wipe(home, store)
        yield f"{name}, restore", _mib("restore-store", home, store, made["backup"])
    made = ours("export-store", home, "vectors", PORTABLE)
    yield "vectors, portable export", made["memory_mib"]
    lifecycle.wipe(home, "vectors")
    yield "vectors, restore point by point", _mib("restore-store", home, "vectors", made["backup"], PORTABLE)


def _mib(verb: str, *arguments: object, env: dict[str, str] | None = None) -> float:
    return float(ours(verb, *map(str, arguments), env=env)["memory_mib"])


def _fill_graph(sandbox: Sandbox, times: int, work: Work) -> dict[str, Any]:
    with Bolt(endpoint(sandbox.settings), work, open_driver) as bolt:
        graph = GraphSeed(bolt, choose(bolt), NODES * times, work)
        graph.check()
        graph.write()
    return {"nodes": NODES * times}


def _fill_vectors(sandbox: Sandbox, times: int, work: Work) -> dict[str, Any]:
    with connected(sandbox.settings) as transport:
        vectors = VectorSeed(Client(transport, work.check), POINTS * times, DIMENSION, work)
        vectors.check()
        counts, _ = vectors.write()
    return {"points": sum(counts.values()), "dimension": DIMENSION}


def _fill_tables(sandbox: Sandbox, times: int, work: Work) -> dict[str, Any]:
    tables = TableSeed(open_relational(sandbox.settings, sandbox.runtime), ROWS * times, work)
    return {"rows": sum(tables.write().values())}
