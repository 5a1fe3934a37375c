"""How fast a graph is loaded, against its replay statement by statement, as a dump is played into a server's shell.

Both write into a graph that has nothing in their way: what a restore removes first is emptied before, and timed apart.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

from archon_dagster.context import OperationContext
from archon_dagster.repository.manifest import Manifest
from archon_dagster.sandbox.seed.scale.graph import endpoint
from archon_dagster.stores.graph.connection import Bolt
from archon_dagster.stores.graph.dialect import Dialect, choose
from archon_dagster.stores.graph.driver import CONNECT_TIMEOUT, open_driver
from archon_dagster.stores.graph.schema import SchemaObject
from benchmarks.measure import timed

_ROUNDS = 3
_STATEMENTS = 1500  # of each kind, replayed one by one; more would only take longer
_INDEX = SchemaObject("index", "label+property", on="Replayed", properties=("number",))


def run(context: OperationContext, manifest: Manifest) -> dict[str, Any]:
    """Records a second, medians of some rounds; the graph is that of the backup afterwards."""
    records = sum(sum(artifact.counts.values()) for artifact in manifest.of_store("graph"))
    removed, loaded, replayed = list[float](), list[float](), list[float]()
    source = context.repository.source(manifest)
    with context.work() as work, Bolt(endpoint(context.settings), work, open_driver) as bolt:
        dialect = choose(bolt)
        for _ in range(_ROUNDS):
            replayed.append(2 * _STATEMENTS / _replay(bolt, dialect))
            removed.append((records + 2 * _STATEMENTS) / timed(lambda: _empty(bolt, dialect)))
            loaded.append(records / timed(lambda: context.stores["graph"].restore(source, work)))
    return {
        "records": records, "loaded_per_second": statistics.median(loaded),
        "replayed_per_second": statistics.median(replayed),
        "times_as_fast_as_replay": statistics.median(a / b for a, b in zip(loaded, replayed, strict=True)),
        "removed_before_per_second": statistics.median(removed),
    }  # fmt: skip


def _empty(bolt: Bolt, dialect: Dialect) -> None:
    for query, what in dialect.deletions():
        while bolt.rows(query.format(limit=5000), f"remove {what}")[0][0]:
            pass


def _replay(bolt: Bolt, dialect: Dialect) -> float:
    """Seconds for one node each, then one relationship between two of them, found by an index as a dump makes one."""
    for statement in dialect.create(_INDEX):
        bolt.rows(statement, f"create {_INDEX}")
    with (
        open_driver(bolt.endpoint, CONNECT_TIMEOUT) as driver,
        driver.session(database=bolt.endpoint.database) as session,
    ):
        started = time.perf_counter()
        for number in range(_STATEMENTS):
            session.run(f"CREATE (:Replayed {{number: {number}, name: 'entity {number}'}})").consume()
        for number in range(_STATEMENTS):
            other = number * 7919 % _STATEMENTS
            session.run(
                f"MATCH (a:Replayed {{number: {number}}}), (b:Replayed {{number: {other}}}) CREATE (a)-[:NEXT]->(b)"
            ).consume()
        return time.perf_counter() - started
