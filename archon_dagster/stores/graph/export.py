"""Write the whole graph into one artifact: typed, lossless, in one read transaction, in bounded memory.

On Memgraph its own dump stands beside it, as a second artifact from the same transaction.
"""

from __future__ import annotations

from typing import Any

from archon_dagster.errors import StoreError
from archon_dagster.stores.base import ArtifactWriter, Sink, Work
from archon_dagster.stores.graph.connection import Bolt
from archon_dagster.stores.graph.dialect import Dialect, State
from archon_dagster.stores.graph.dump.artifact import DumpArtifact
from archon_dagster.stores.graph.reading import GraphReading
from archon_dagster.stores.graph.records import VERSION, Lines

ARTIFACT = "memgraph/graph"
KIND = "graph-export"
MEDIA_TYPE = "application/x-ndjson"
LISTED = 200  # labels and types listed in the manifest at most


def export_graph(bolt: Bolt, dialect: Dialect, sink: Sink, work: Work) -> None:
    """Export into ``sink``; calls ``work.captured`` as early as the server's isolation allows."""
    state = dialect.state(bolt)
    with sink.artifact("graph", ARTIFACT, KIND, media_type=MEDIA_TYPE, cut="lines") as out:
        lines = Lines(out)
        lines.header(str(dialect), dialect.name)
        reading = GraphReading(bolt, dialect, state)
        _read(reading, lines, work, DumpArtifact(dialect.dump, sink, work, same_instant=state.repeatable))
        counts = reading.digest.counts
        lines.end(counts["nodes"], counts["relationships"])
        _describe(out, dialect, state, reading)
    for what in (*state.not_covered, *_lost(reading)):
        sink.not_covered("graph", what)


def _read(reading: GraphReading, lines: Lines, work: Work, dump: DumpArtifact) -> None:
    """Everything, then the dump; when that failed, the transaction may not even end properly, and need not."""
    try:
        reading.run(lines, work.captured, dump.take)
    except StoreError:
        if dump.failed is None:
            raise


def _describe(out: ArtifactWriter, dialect: Dialect, state: State, reading: GraphReading) -> None:
    digest = reading.digest
    out.counts = digest.counts
    out.fingerprint = digest.fingerprint()
    out.details = {
        "format": VERSION,
        "server": str(dialect),
        "snapshot": state.repeatable,
        "labels": dict(digest.nodes.most_common(LISTED)),
        "types": dict(digest.relationships.most_common(LISTED)),
        "schema": [str(item) for item in reading.objects[:LISTED]],
        **state.details,
    }


def _lost(reading: GraphReading) -> list[str]:
    lost: list[Any] = [
        f"{item}: recorded, but this program does not know how to make it again"
        for item in reading.objects
        if item.is_unsupported
    ]
    if any(item.type.endswith("_vector") for item in reading.objects):
        lost.append("the resize coefficient of vector indexes (the server does not tell it); the default is used")
    if reading.left_out:
        lost.append(f"{reading.left_out} relationships to nodes that were created while the nodes were being read")
    return lost
