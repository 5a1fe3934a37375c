"""The generator of test data without the servers: all records are made and sent, and nobody keeps them.

The seeds are the real ones, with their batches and what they remember; what stands in for a server only counts.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from archon_dagster.sandbox.seed.scale.graph import GraphSeed
from archon_dagster.sandbox.seed.scale.table_rows import TABLES, lines
from archon_dagster.sandbox.seed.scale.vectors import VectorSeed
from archon_dagster.stores.base import Work
from archon_dagster.stores.graph.connection import Bolt, Row
from archon_dagster.stores.graph.dialect import Dialect
from archon_dagster.stores.graph.driver import Endpoint, open_driver
from archon_dagster.stores.vectors.client import Client
from benchmarks.repository import ours

DIMENSION = 1536
SIZES = 10  # the larger run has so many times the records of the smaller


class CountingClient(Client):
    """A vector server that counts the points it is sent, and holds none."""

    def __init__(self) -> None:
        self.points: dict[str, int] = {}
        self.bytes = 0

    @property
    def address(self) -> str:
        return "nowhere"

    def collections(self) -> list[str]:
        return sorted(self.points)

    def create_collection(self, collection: str, config: Mapping[str, Any]) -> None:
        self.points[collection] = 0

    def create_index(self, collection: str, field: str, schema: Any, patience: float) -> None: ...

    def change_aliases(self, **_: Any) -> None: ...

    def count(self, collection: str) -> int:
        return self.points[collection]

    def upsert(self, collection: str, body: bytes, patience: float) -> None:
        self.points[collection] += body.count(b'{"id":')  # inside a text the quotes would be escaped
        self.bytes += len(body)


class CountingBolt(Bolt):
    """A graph server that gives every node an id, and holds none."""

    def __init__(self, work: Work) -> None:
        super().__init__(Endpoint("bolt://nowhere"), work, open_driver)

    def rows(self, query: str, operation: str, **parameters: Any) -> list[Row]:
        return []

    def write(self, operation: str, statements: Sequence[tuple[str, list[dict[str, Any]]]]) -> list[list[Row]]:
        return [
            [(row["k"], row["k"]) for row in rows] if text.endswith("id(n)") else [(len(rows),)]
            for text, rows in statements
        ]


def generate(scale: str, dimension: str) -> dict[str, Any]:
    """Make all records of a scale; what was made, by kind."""
    work, wanted, client = Work(Path(tempfile.gettempdir())), int(scale), CountingClient()
    vectors = VectorSeed(client, wanted, int(dimension), work)
    vectors.check()
    points, _ = vectors.write()
    graph = GraphSeed(CountingBolt(work), Dialect("counting"), wanted, work)
    graph.check()
    nodes, relationships = graph.write()
    rows, table_bytes = 0, 0
    for table in TABLES:
        for line in lines(table, wanted):
            rows, table_bytes = rows + 1, table_bytes + len(line)
    return {
        "points": sum(points.values()), "nodes": nodes, "relationships": relationships, "rows": rows,
        "bytes_of_points_and_rows": client.bytes + table_bytes,
    }  # fmt: skip


def run(records: int, dimension: int) -> dict[str, Any]:
    """Seconds and memory of two sizes, in processes of their own."""
    found: dict[str, Any] = {"dimension": dimension}
    for scale in (records // SIZES, records):
        made = ours("generate", str(scale), str(dimension))
        found[f"{scale:,} records"] = {"mib_above_idle": made.pop("memory_mib"), **made}
    return found
