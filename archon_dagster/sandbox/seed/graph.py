"""Write the sample graph over Bolt: batches of ``UNWIND``, one statement per label and relationship type.

The statements are those that both Memgraph and the sandbox's server take.
"""

from __future__ import annotations

import hashlib
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, LiteralString

from archon_dagster.errors import StoreError
from archon_dagster.platform.settings import Settings
from archon_dagster.sandbox.seed.graph_rows import Link, Row

if TYPE_CHECKING:
    from neo4j import Session

_BATCH = 2000
_BUSY = "Try stopping other"  # Memgraph: "Cannot get unique access to the storage. Try stopping other queries …"
_PATIENCE, _PAUSE = 30.0, 0.2  # seconds
_INDEXES = (
    *(("Entity", name) for name in ("entity_id", "entity_type", "source_path", "name", "confidence_score")),
    *((label, "entity_id") for label in ("File", "Directory", "PROJECT", "Page")),
)

_MARK = "MATCH (p:PROJECT) WHERE p.project_name = $project SET p.content_digest = $mark"
_MARKED = "MATCH (p:PROJECT) WHERE p.project_name = $project RETURN p.content_digest AS mark"
_COUNTS: tuple[LiteralString, LiteralString] = (
    "MATCH (n) WHERE n.project_name = $project RETURN count(n) AS count",
    "MATCH (n)-[r]->() WHERE n.project_name = $project RETURN count(r) AS count",
)


def write_graph(
    settings: Settings, project: str, nodes: dict[str, list[Row]], links: Sequence[Link], tell: Callable[[int], None]
) -> tuple[int, int]:
    """Make the project's part of the graph be this; returns its numbers of nodes and relationships.

    What is there already is left alone: deleting is so slow on the sandbox's server that seeding again would take
    minutes.

    :param tell: called with the number of objects written so far.
    """
    from neo4j import GraphDatabase, NotificationMinimumSeverity
    from neo4j.exceptions import DriverError, Neo4jError

    wanted = (sum(map(len, nodes.values())), len(links))
    login = (settings.memgraph_user, settings.memgraph_password.get_secret_value())
    try:
        with (
            GraphDatabase.driver(
                settings.memgraph_uri,
                auth=login if any(login) else None,
                connection_timeout=10.0,
                notifications_min_severity=NotificationMinimumSeverity.OFF,
            ) as driver,
            driver.session(database=settings.memgraph_database) as session,
        ):
            mark = _digest(nodes, links)
            if _present(session, project) != (mark, *wanted):
                _create_indexes(session)
                _forget(session, project, nodes)
                _write_nodes(session, nodes, tell)
                _write_links(session, links, lambda done: tell(wanted[0] + done))
                _run(session, _MARK, project=project, mark=mark)  # last: it says that all of it is there
    except (DriverError, Neo4jError) as error:
        raise StoreError(f"the sample graph was not written: {error}", where=settings.memgraph_uri) from error
    return wanted


def _digest(nodes: dict[str, list[Row]], links: Iterable[Link]) -> str:
    """A digest of everything that is to be written; rows and links always come in the same order."""
    digest = hashlib.sha256(repr(nodes).encode())
    for link in links:
        digest.update(repr(link).encode())
    return digest.hexdigest()


def _present(session: Session, project: str) -> tuple[str, int, int] | None:
    """The mark of a complete earlier seeding and what is there of it now; ``None`` where there was none."""
    mark = session.run(_MARKED, project=project).single()
    if mark is None or mark["mark"] is None:
        return None
    counts = [session.run(query, project=project).single(strict=True)["count"] for query in _COUNTS]
    return str(mark["mark"]), *counts


def _create_indexes(session: Session) -> None:
    """Label-property indexes in whichever of the two syntaxes the server takes."""
    from neo4j.exceptions import Neo4jError

    for label, name in _INDEXES:
        try:
            _index(session, f"CREATE INDEX ON :{label}({name})")
        except Neo4jError as error:
            if _BUSY in str(error.message):
                raise
            _run(session, f"CREATE INDEX IF NOT EXISTS FOR (n:{label}) ON (n.{name})")  # not Memgraph


def _index(session: Session, statement: str) -> None:
    """On Memgraph, whoever has a transaction open makes index statements fail after a second: try again."""
    from neo4j.exceptions import Neo4jError

    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            return _run(session, statement)
        except Neo4jError as error:
            if _BUSY not in str(error.message) or time.monotonic() > deadline:
                raise
        time.sleep(_PAUSE)


def _forget(session: Session, project: str, labels: Iterable[str]) -> None:
    for label in labels:
        _run(session, f"MATCH (n:{label}) WHERE n.project_name = $project DETACH DELETE n", project=project)


def _write_nodes(session: Session, nodes: dict[str, list[Row]], tell: Callable[[int], None]) -> int:
    written = 0
    for label, rows in nodes.items():
        for batch in _batches(rows):
            _run(session, f"UNWIND $rows AS row CREATE (:{label} {_literal(rows[0])})", rows=batch)
            written += len(batch)
            tell(written)
    return written


def _write_links(session: Session, links: Iterable[Link], tell: Callable[[int], None]) -> int:
    grouped: dict[tuple[str, str, str], list[Row]] = defaultdict(list)
    for link in links:
        row = {"source": link.source[1], "target": link.target[1], **link.properties}
        grouped[link.kind, link.source[0], link.target[0]].append(row)
    written = 0
    for (kind, source, target), rows in grouped.items():
        statement = (
            f"UNWIND $rows AS row MATCH (a:{source} {{entity_id: row.source}}) "
            f"MATCH (b:{target} {{entity_id: row.target}}) "
            f"CREATE (a)-[:{kind} {_literal(rows[0], without=('source', 'target'))}]->(b)"
        )
        for batch in _batches(rows):
            _run(session, statement, rows=batch)
            written += len(batch)
            tell(written)
    return written


def _literal(row: Row, without: tuple[str, ...] = ()) -> str:
    """The properties of a row as a map in the statement: several times faster than ``SET n = row`` on this server."""
    return "{" + ", ".join(f"`{name}`: row.`{name}`" for name in row if name not in without) + "}"


def _batches(rows: list[Row]) -> Iterator[list[Row]]:
    remaining = iter(rows)
    while batch := list(islice(remaining, _BATCH)):
        yield batch


def _run(session: Session, statement: str, **parameters: Any) -> None:
    """One statement in its own transaction: index statements want that, and the others lose nothing by it."""
    # labels and types in statements come from this package, never from outside
    session.run(statement, **parameters).consume()
