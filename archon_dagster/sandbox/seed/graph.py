"""Write the sample graph over Bolt: batches of ``UNWIND``, one statement per label and relationship type.

The statements are those that both Memgraph and the sandbox's server take.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from archon_dagster.errors import StoreError
from archon_dagster.platform.settings import Settings
from archon_dagster.sandbox.seed.graph_rows import Link, Row

if TYPE_CHECKING:
    from neo4j import Session

_BATCH = 2000
_INDEXES = (
    *(("Entity", name) for name in ("entity_id", "entity_type", "source_path", "name", "confidence_score")),
    *((label, "entity_id") for label in ("File", "Directory", "PROJECT", "Page")),
)


def write_graph(
    settings: Settings, project: str, nodes: dict[str, list[Row]], links: Iterable[Link], tell: Callable[[int], None]
) -> tuple[int, int]:
    """Replace the project's part of the graph; returns the numbers of nodes and relationships written.

    :param tell: called with the number of objects written so far.
    """
    from neo4j import GraphDatabase
    from neo4j.exceptions import DriverError, Neo4jError

    auth = (settings.memgraph_user, settings.memgraph_password.get_secret_value())
    try:
        with (
            GraphDatabase.driver(settings.memgraph_uri, auth=auth, connection_timeout=10.0) as driver,
            driver.session(database=settings.memgraph_database) as session,
        ):
            _create_indexes(session)
            _forget(session, project, nodes)
            written = _write_nodes(session, nodes, tell)
            return written, _write_links(session, links, lambda done: tell(written + done))
    except (DriverError, Neo4jError) as error:
        raise StoreError(f"the sample graph was not written: {error}", where=settings.memgraph_uri) from error


def _create_indexes(session: Session) -> None:
    """Label-property indexes in whichever of the two syntaxes the server takes."""
    from neo4j.exceptions import Neo4jError

    for label, name in _INDEXES:
        try:
            _run(session, f"CREATE INDEX ON :{label}({name})")
        except Neo4jError:  # not Memgraph
            _run(session, f"CREATE INDEX IF NOT EXISTS FOR (n:{label}) ON (n.{name})")


def _forget(session: Session, project: str, labels: Iterable[str]) -> None:
    for label in labels:
        _run(session, f"MATCH (n:{label}) WHERE n.project_name = $project DETACH DELETE n", project=project)


def _write_nodes(session: Session, nodes: dict[str, list[Row]], tell: Callable[[int], None]) -> int:
    written = 0
    for label, rows in nodes.items():
        for batch in _batches(rows):
            _run(session, f"UNWIND $rows AS row CREATE (n:{label}) SET n = row", rows=batch)
            written += len(batch)
            tell(written)
    return written


def _write_links(session: Session, links: Iterable[Link], tell: Callable[[int], None]) -> int:
    grouped: dict[tuple[str, str, str], list[Row]] = defaultdict(list)
    for link in links:
        row = {"a": link.source[1], "b": link.target[1], "p": link.properties}
        grouped[link.kind, link.source[0], link.target[0]].append(row)
    written = 0
    for (kind, source, target), rows in grouped.items():
        statement = (
            f"UNWIND $rows AS row MATCH (a:{source}) WHERE a.entity_id = row.a "
            f"MATCH (b:{target}) WHERE b.entity_id = row.b CREATE (a)-[r:{kind}]->(b) SET r = row.p"
        )
        for batch in _batches(rows):
            _run(session, statement, rows=batch)
            written += len(batch)
            tell(written)
    return written


def _batches(rows: list[Row]) -> Iterator[list[Row]]:
    remaining = iter(rows)
    while batch := list(islice(remaining, _BATCH)):
        yield batch


def _run(session: Session, statement: str, **parameters: Any) -> None:
    """One statement in its own transaction: index statements want that, and the others lose nothing by it."""
    # labels and types in statements come from this package, never from outside
    session.run(statement, **parameters).consume()
