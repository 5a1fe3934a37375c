"""The graph server: how much it holds, what that costs in memory, how fast it answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from archon_dagster.performance.measures import Fact, Found, Reading, Site
from archon_dagster.performance.sampling import TIMEOUT, asked
from archon_dagster.stores.base import Work
from archon_dagster.stores.graph.connection import Bolt
from archon_dagster.stores.graph.dialect import Dialect, choose
from archon_dagster.stores.graph.driver import Endpoint, open_driver
from archon_dagster.stores.graph.memgraph import Memgraph, size_in_bytes

QUESTIONS = {
    "graph, a round trip": "RETURN 1",
    "graph, 100 relationships": "MATCH (a)-[r]->(b) RETURN type(r), id(a), id(b) LIMIT 100",
}
_STORAGE = {"vertex_count": "nodes", "edge_count": "relationships"}
_MEMORY = ("memory_res", "memory_usage")  # the second one is what versions before 2.11 call it


def measure(site: Site) -> Iterator[Found]:
    """Counts and memory as the server tells them, and a sample of each of :data:`QUESTIONS`."""
    settings = site.settings
    endpoint = Endpoint(
        settings.memgraph_uri, settings.memgraph_user, settings.memgraph_password.get_secret_value(),
        settings.memgraph_database,
    )  # fmt: skip
    work = Work(Path("/nonexistent"), cancel=site.cancel, deadline=60.0, silence=2 * TIMEOUT)
    with Bolt(endpoint, work, open_driver) as bolt:
        dialect = choose(bolt)
        yield Fact(area="graph", subject="graph", name="server", text=str(dialect))
        yield from storage(bolt, dialect)
        for subject, query in QUESTIONS.items():
            yield from asked(site, "graph", subject, _asking(bolt, query))


def storage(bolt: Bolt, dialect: Dialect) -> Iterator[Found]:
    """Memgraph's own account of its memory; other servers are counted, and their memory is their process's."""
    if not isinstance(dialect, Memgraph):
        yield _reading("nodes", bolt.rows(dialect.COUNT_NODES, "count the nodes")[0][0])
        yield _reading("relationships", bolt.rows(dialect.COUNT_RELATIONSHIPS, "count the relationships")[0][0])
        return
    told = {str(key): value for key, value in bolt.rows("SHOW STORAGE INFO", "read the storage information")}
    for key, name in _STORAGE.items():
        if key in told:
            yield _reading(name, told[key])
    memory = next((size for key in _MEMORY if (size := _bytes(told.get(key))) is not None), None)
    for name, size in (("memory", memory), ("disk", _bytes(told.get("disk_usage")))):
        if size is not None:
            yield _reading(name, size)
    for key in ("storage_mode", "memory_tracked", "allocation_limit"):
        if key in told:
            yield Fact(area="graph", subject="graph", name=key, text=str(told[key]))


def _bytes(value: object) -> int | None:
    """Early versions give a number, later ones a text with its unit."""
    return value if isinstance(value, int) else size_in_bytes(value)


def _reading(name: str, value: float) -> Reading:
    return Reading(area="graph", subject="graph", name=name, value=float(value))


def _asking(bolt: Bolt, query: str) -> Callable[[], object]:
    return lambda: bolt.rows(query, "answer a question that is timed")
