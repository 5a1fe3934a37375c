"""The rows of ``DUMP DATABASE`` as an artifact beside the typed export, for people who have nothing but ``mgconsole``.

Taken at the end of the very transaction the graph was exported in, so both are of one instant. It is an extra: where
it fails, the backup says so and is as good as without it. A restore never uses it.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass, field

from archon_dagster.errors import StoreError
from archon_dagster.repository.manifest import Artifact
from archon_dagster.stores.base import ArtifactReader, Sink, Source, Verdict, Work
from archon_dagster.stores.graph.connection import Reader
from archon_dagster.stores.graph.dump.model import UnreadableDump
from archon_dagster.stores.graph.dump.reading import Kind, kind_of
from archon_dagster.stores.graph.dump.splitting import split
from archon_dagster.stores.graph.meter import Meter

ARTIFACT = "memgraph/dump"
KIND = "graph-dump"
MEDIA_TYPE = "application/x-cypher"
_BLOCK = 1 << 18  # bytes collected before they are written


@dataclass
class DumpArtifact:
    """Writes the dump of one export.

    :param query: the statement whose rows are the dump; ``None`` on servers that have none.
    :param same_instant: the transaction sees one state from beginning to end.
    :ivar failed: why there is no dump; the transaction may be dead then.
    """

    query: str | None
    sink: Sink
    work: Work
    same_instant: bool = True
    failed: str | None = None
    counts: dict[Kind, int] = field(default_factory=lambda: dict.fromkeys(Kind, 0))

    def take(self, reader: Reader) -> None:
        """Called inside the read transaction, when everything else has been read."""
        if self.query is None:
            return
        try:
            rows = reader.stream(self.query, "dump the database")
            first = next(rows, None)
            if first is not None:
                self._write(first[0], rows)
                self._say_what_it_is_not()
        except StoreError as error:
            self.failed = error.what
            self.sink.not_covered("graph", f"no {self.query} beside the export: {error.what}")

    def _say_what_it_is_not(self) -> None:
        if not self.same_instant:
            self.sink.not_covered(
                "graph", f"{ARTIFACT} is a little later than the export: this storage mode has no snapshots"
            )

    def _write(self, first: str, rows: Iterator[tuple[object, ...]]) -> None:
        meter = Meter(self.work, "dump the database", None, "statements")
        with self.sink.artifact("graph", ARTIFACT, KIND, media_type=MEDIA_TYPE, cut="lines") as out:
            block = bytearray()
            for text in _texts(first, rows):
                self.counts[kind_of(text)] += 1
                block += text.encode() + b"\n"
                if len(block) >= _BLOCK:
                    out.write(bytes(block))
                    block.clear()
                meter.add()
            out.write(bytes(block))
            out.details = _details(self.counts)
        meter.report()


def _texts(first: str, rows: Iterator[tuple[object, ...]]) -> Iterator[str]:
    yield first
    for row in rows:
        yield str(row[0])


def _details(counts: dict[Kind, int]) -> dict[str, object]:
    return {
        "statements": sum(counts.values()),
        "by_kind": {kind.value: count for kind, count in counts.items()},
        "replay": "mgconsole < FILE; what a dump loses is said in the handbook, a restore uses the export",
    }


def verdict(source: Source, artifact: Artifact, work: Work) -> Verdict:
    """Whether the dump is made of whole statements, as many of each kind as when it was taken."""
    counts = dict.fromkeys(Kind, 0)
    meter = Meter(work, "check the dump", artifact.details.get("statements"), "statements")
    try:
        with source.open(artifact) as stream:
            for statement in split(_Text(stream).read, artifact.name):
                counts[kind_of(statement.text)] += 1
                meter.add()
    except (UnreadableDump, UnicodeDecodeError) as error:
        return Verdict(artifact.name, "damaged", str(error).partition("\n")[0])
    if (found := _details(counts)["by_kind"]) != artifact.details.get("by_kind"):
        return Verdict(artifact.name, "damaged", f"it holds {found}, it had {artifact.details.get('by_kind')}")
    return Verdict(artifact.name, "verified", f"{sum(counts.values())} whole statements, for mgconsole")


class _Text:
    """An artifact as text."""

    def __init__(self, stream: ArtifactReader):
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-8")()

    def read(self, size: int) -> str:
        """At most so many characters; ``""`` only at the end."""
        while data := self._stream.read(size):
            if text := self._decoder.decode(data):
                return text
        return self._decoder.decode(b"", final=True)
