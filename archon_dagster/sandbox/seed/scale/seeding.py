"""Fill every store with generated data of a chosen size, mixed with what breaks naive backup code.

Record ``i`` depends on ``i`` alone: the same scale always gives the same content, and a larger one contains it. What is
peculiar comes once each at the beginning and then in one record of a hundred. What a server cannot hold is found by
asking it, told in the report, and left out. Everything streams; only a few hundred ids are ever kept.

The data have collections, nodes with a number of their own and an SQL schema to themselves; nothing else is touched,
and nothing is ever deleted but that SQL schema.
"""

from __future__ import annotations

import resource
import sys
import time
from dataclasses import dataclass

from archon_dagster.errors import ConfigurationError
from archon_dagster.platform.runtime.protocol import Runtime
from archon_dagster.platform.settings import Settings
from archon_dagster.sandbox.seed.scale.counts import graph_counts
from archon_dagster.sandbox.seed.scale.graph import GraphSeed, endpoint
from archon_dagster.sandbox.seed.scale.tables import TableSeed
from archon_dagster.sandbox.seed.scale.vectors import VectorSeed, connected
from archon_dagster.stores.base import Work
from archon_dagster.stores.graph.connection import Bolt
from archon_dagster.stores.graph.dialect import choose
from archon_dagster.stores.graph.driver import open_driver
from archon_dagster.stores.relational import open_relational
from archon_dagster.stores.vectors.client import Client

LARGEST = 1_000_000
DIMENSION = 1536  # the platform's
WIDEST = 65_536  # Qdrant's own limit


@dataclass(frozen=True, slots=True)
class ScaleReport:
    """What is there, and what it took.

    :param points: per collection; :param nodes: per set of labels; :param relationships: per type; :param rows: per
        table: all that this scale has, whether written now or by an earlier run.
    :param written: points, nodes, relationships and rows that this run sent.
    :param seconds: per store; :param refused: per store, what its server would not hold, and why.
    :param peak_bytes: the most memory this process has had.
    """

    scale: int
    dimension: int
    points: dict[str, int]
    nodes: dict[str, int]
    relationships: dict[str, int]
    rows: dict[str, int]
    written: dict[str, int]
    seconds: dict[str, float]
    refused: dict[str, dict[str, str]]
    peak_bytes: int


def seed_scale(
    settings: Settings, runtime: Runtime, scale: int, work: Work, *, dimension: int = DIMENSION
) -> ScaleReport:
    """Make every store hold the generated data of this scale; doing it again changes nothing.

    :param scale: points in the main collection, nodes in the graph, and rows in the largest table.
    :param work: hears the progress, and can stop it between two requests.
    Raises :class:`ConfigurationError` for a scale that is out of range, and where a store already holds the data of a
    larger one or of another dimension: then nothing was written.
    """
    _check_range("scale", scale, LARGEST)
    _check_range("dimension", dimension, WIDEST)
    clock, tables = _Clock(), TableSeed(open_relational(settings, runtime), scale, work)
    with connected(settings) as transport, Bolt(endpoint(settings), work, open_driver) as bolt:
        vectors = VectorSeed(Client(transport, work.check), scale, dimension, work)
        graph = GraphSeed(bolt, choose(bolt), scale, work)
        vectors.check()
        graph.check()
        created, related = graph.write()
        clock.stop("graph")
        points, sent = vectors.write()
        clock.stop("vectors")
        rows = tables.write()
        clock.stop("relational")
    nodes, relationships = graph_counts(scale, graph.refusals.reasons)
    return ScaleReport(
        scale, dimension, points, nodes, relationships, rows,
        {"points": sent, "nodes": created, "relationships": related, "rows": sum(rows.values())}, clock.seconds,
        {"vectors": vectors.refusals.reasons, "graph": graph.refusals.reasons, "relational": tables.refusals.reasons},
        _peak(),
    )  # fmt: skip


class _Clock:
    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._since = time.monotonic()

    def stop(self, step: str) -> None:
        now = time.monotonic()
        self.seconds[step], self._since = round(now - self._since, 3), now


def _check_range(what: str, value: int, most: int) -> None:
    if not 1 <= value <= most:
        raise ConfigurationError(
            f"a {what} of {value:,} cannot be generated; nothing was written", todo=f"choose 1 to {most:,}"
        )


def _peak() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
