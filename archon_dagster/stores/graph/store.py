"""The graph store: Memgraph in production, any openCypher server over Bolt elsewhere."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from archon_dagster.errors import DamagedBackup, StoreError
from archon_dagster.platform.settings import Settings
from archon_dagster.repository.manifest import Artifact, Fingerprint
from archon_dagster.stores.base import Description, Sink, Source, StoreName, Verdict, Work
from archon_dagster.stores.graph.connection import Bolt
from archon_dagster.stores.graph.dialect import Dialect, choose
from archon_dagster.stores.graph.driver import Endpoint, OpenDriver, open_driver
from archon_dagster.stores.graph.dump import artifact as dump
from archon_dagster.stores.graph.export import KIND, export_graph
from archon_dagster.stores.graph.foreign import accept_what_it_can_hold
from archon_dagster.stores.graph.load import ROWS, Loader, LoadReport
from archon_dagster.stores.graph.reading import Discard, GraphReading, makeable
from archon_dagster.stores.graph.records import BadRecord, Node, Relationship, read_records
from archon_dagster.stores.graph.survey import Check, Survey, survey

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archon_dagster.stores.graph.part import LabelStore

DESCRIBE_DEADLINE = 120.0  # seconds; counting a big graph is work, and a frozen server is found out much sooner


def open_graph(settings: Settings) -> GraphStore:
    """The graph store the settings describe; nothing is contacted yet."""
    return GraphStore(
        settings.memgraph_uri,
        settings.memgraph_user,
        settings.memgraph_password.get_secret_value(),
        settings.memgraph_database,
    )


class GraphStore:
    """See :mod:`archon_dagster.stores.base` for the verbs.

    :param database: ``None`` for the server's default.
    :param batch_rows: nodes or relationships a restore creates in one transaction.
    :param driver: makes the Bolt driver; the seam for doubles.
    :ivar report: of the last restore: what was loaded, and what the server could not take back (schema objects it
        has no statement for, enums it cannot drop). Values it cannot take are an error, before anything is touched.
    """

    name: StoreName = "graph"

    def __init__(
        self,
        uri: str,
        user: str = "",
        password: str = "",
        database: str | None = None,
        *,
        batch_rows: int = ROWS,
        driver: OpenDriver = open_driver,
    ):
        self._endpoint = Endpoint(uri, user, password, database)
        self._batch_rows, self._open_driver = batch_rows, driver
        self.report = LoadReport()

    def __repr__(self) -> str:
        return f"GraphStore({self._endpoint.address!r}, database={self._endpoint.database!r})"

    def describe(self) -> Description:
        """Version, counts, schema, and the size where the server tells it."""
        with self._connected(idle_work()) as (bolt, dialect):
            state = dialect.state(bolt)
            counts = {
                "nodes": bolt.rows(dialect.COUNT_NODES, "count the nodes")[0][0],
                "relationships": bolt.rows(dialect.COUNT_RELATIONSHIPS, "count the relationships")[0][0],
            }
            schema = [str(item) for item in dialect.schema(bolt)]
        return Description(
            store="graph", version=str(dialect), address=self._endpoint.address, counts=counts,
            size_bytes=state.size_bytes, details={"schema": schema, **state.details},
        )  # fmt: skip

    def fingerprint(self, work: Work) -> Fingerprint:
        """Of the live graph, always in full."""
        with self._connected(work) as (bolt, dialect):
            reading = GraphReading(bolt, dialect, dialect.state(bolt))
            reading.run(Discard())
        return reading.digest.fingerprint()

    def export(self, sink: Sink, work: Work) -> None:
        """Write ``memgraph/graph`` and on Memgraph ``memgraph/dump``; see :mod:`archon_dagster.stores.graph.export`."""
        with self._connected(work) as (bolt, dialect):
            export_graph(bolt, dialect, sink, work)

    def verify(self, source: Source, work: Work) -> Iterable[Verdict]:
        """Read every artifact to its end, without a server."""
        return [self._verdict(source, artifact, work) for artifact in source.artifacts("graph")]

    def preflight(self, source: Source, work: Work) -> None:
        """Whether the backup has a graph and the server takes every value in it."""
        artifact = export_of(source)
        with self._connected(work) as (bolt, dialect):
            self._surveyed(source, artifact, work, acceptable(bolt, dialect))

    def restore(self, source: Source, work: Work) -> None:
        """Replace the live graph. The whole artifact is checked before anything is removed."""
        artifact = export_of(source)
        self.report = LoadReport()
        with self._connected(work) as (bolt, dialect):
            found = self._surveyed(source, artifact, work, acceptable(bolt, dialect))
            loader = Loader(bolt, dialect, work, self._batch_rows)
            self.report = loader.report
            with source.open(artifact) as stream:
                loader.run(found, read_records(stream))
            if found.header.dialect != dialect.name:
                accept_what_it_can_hold(found.objects, makeable(dialect, bolt), self.report.warnings, work)
        for warning in self.report.warnings:
            work.warn(f"graph: {warning}")

    def part(self, name: str, new_name: str = "") -> LabelStore:
        """One label of it; see :mod:`~archon_dagster.stores.graph.part`."""
        from archon_dagster.stores.graph.part import LabelStore

        return LabelStore(self, name, new_name)

    @contextmanager
    def _connected(self, work: Work) -> Iterator[tuple[Bolt, Dialect]]:
        with Bolt(self._endpoint, work, self._open_driver) as bolt:
            yield bolt, choose(bolt)

    def _surveyed(self, source: Source, artifact: Artifact, work: Work, check: Check) -> Survey:
        try:
            with source.open(artifact) as stream:
                return survey(stream, artifact, work, check)
        except BadRecord as error:
            raise DamagedBackup(
                f"{artifact.name} of backup {source.backup_id} is damaged: {error}",
                where=source.backup_id,
                todo="restore another backup; nothing was touched",
            ) from error

    def _verdict(self, source: Source, artifact: Artifact, work: Work) -> Verdict:
        if artifact.kind == dump.KIND:
            return dump.verdict(source, artifact, work)
        if artifact.kind != KIND:
            return Verdict(artifact.name, "not verifiable here", f"this program does not read {artifact.kind}")
        try:
            with source.open(artifact) as stream:
                found = survey(stream, artifact, work)
        except (BadRecord, DamagedBackup) as error:
            return Verdict(artifact.name, "damaged", str(error))
        counts = found.digest.counts
        detail = f"every record read: {counts['nodes']:,} nodes, {counts['relationships']:,} relationships"
        return Verdict(artifact.name, "verified", f"{detail}, made by {found.header.server}", counts)


def export_of(source: Source) -> Artifact:
    artifacts: Sequence[Artifact] = source.artifacts("graph")
    for artifact in artifacts:
        if artifact.kind == KIND:
            return artifact
    raise StoreError(
        f"backup {source.backup_id} has no {KIND}",
        where=source.backup_id,
        tried=f"its graph artifacts: {', '.join(a.name for a in artifacts) or 'none'}",
        todo="choose a backup that contains the graph",
    )


def acceptable(bolt: Bolt, dialect: Dialect) -> Check:
    """Refuses what the server would reject or quietly change, before anything is touched."""

    def check(record: Node | Relationship) -> None:
        labels, owner = (record.labels, f"node {record.id}") if isinstance(record, Node) else ([], "")
        dialect.inquire(bolt, record.line)
        reason = dialect.refuses(labels, record.properties, record.line)
        if reason is not None:
            owner = owner or f"relationship {record.type} from {record.start} to {record.end}"  # type: ignore[union-attr]
            raise StoreError(
                f"{dialect} cannot keep {reason} of {owner}",
                where=bolt.endpoint.address,
                tried="nothing: the graph is as it was",
                todo="restore into a server of the kind the backup was made on",
            )

    return check


def idle_work() -> Work:
    """For verbs that come without a run: nothing to cancel, a short deadline, nothing written."""
    return replace(Work(scratch=Path(tempfile.gettempdir()), cancel=threading.Event()), deadline=DESCRIBE_DEADLINE)
