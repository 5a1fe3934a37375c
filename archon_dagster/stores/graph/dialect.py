"""What differs between graph servers, in one class per family, chosen by asking the server who it is.

Everything else in this package is the same for all of them: reading is plain openCypher, loading is ``UNWIND`` with
labels and types written into the statement (which every version of every server takes), and the ends of a
relationship are found by the internal id that ``CREATE … RETURN id(n)`` answered, so that no temporary label, property
or index ever gets into the graph and a killed restore leaves nothing behind but an incomplete graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from archon_dagster.stores.graph.connection import Bolt
from archon_dagster.stores.graph.schema import SchemaObject
from archon_dagster.stores.graph.values import Json


@dataclass(frozen=True)
class State:
    """What the server says about itself beside its graph.

    :param repeatable: a read transaction sees one state from beginning to end.
    :param details: worth keeping with a backup, JSON-compatible.
    :param not_covered: what a backup over Bolt leaves out, readable.
    """

    repeatable: bool = False
    size_bytes: int | None = None
    details: dict[str, Any] = field(default_factory=dict)
    not_covered: tuple[str, ...] = ()


class Dialect:
    """An openCypher server nothing special is known about."""

    name = "opencypher"
    conflicts: tuple[str, ...] = ("Neo.TransientError", "DeadlockDetected", "ConcurrentModification")
    unlimited = False
    schema_first = False
    dump: str | None = None
    """The statement whose rows make the graph again in the server's own shell, where there is one."""

    NODES = "MATCH (n) RETURN id(n), labels(n), properties(n)"
    RELATIONSHIPS = "MATCH (a)-[r]->(b) RETURN type(r), id(a), id(b), properties(r)"
    COUNT_NODES = "MATCH (n) RETURN count(n)"
    COUNT_RELATIONSHIPS = "MATCH ()-[r]->() RETURN count(r)"
    DELETE_RELATIONSHIPS = "MATCH ()-[r]->() WITH r LIMIT {limit} DELETE r RETURN count(*)"
    DELETE_NODES = "MATCH (n) WITH n LIMIT {limit} DETACH DELETE n RETURN count(*)"
    EXISTING = "UNWIND $rows AS r MATCH (n) WHERE id(n) = r.id RETURN r.id"

    def __init__(self, version: str):
        self.version = version

    def __str__(self) -> str:
        return f"{self.name} {self.version}"

    # reading

    def state(self, bolt: Bolt) -> State:
        """Asked before a transaction is opened: some servers answer such questions only outside of one."""
        return State()

    def schema(self, bolt: Bolt) -> list[SchemaObject]:
        """Everything besides nodes and relationships that :meth:`create` can make again, and what it cannot."""
        return []

    # writing

    def node_batch(self, labels: Sequence[str], texts: Sequence[str] = ()) -> str:
        """Creates nodes of one label set from ``$rows`` of ``{k, p}``; answers ``k`` and the new id.

        :param texts: properties in ``p`` that are text and must become what :attr:`READ` makes of it; see
            :meth:`as_text`.
        """
        pattern = "".join(f":{quoted(label)}" for label in labels)
        return f"UNWIND $rows AS r CREATE (n{pattern}) SET n = r.p {self._read('n', texts)}RETURN r.k, id(n)"

    ENDS = "MATCH (a) WHERE id(a) = r.a MATCH (b) WHERE id(b) = r.b"

    def relationship_batch(self, kind: str, texts: Sequence[str] = (), *, bare: bool = False) -> str:
        """Creates relationships of one type from ``$rows`` of ``{a, b, p}``; answers how many.

        :param bare: none of them has properties. A Memgraph started without properties on relationships refuses even
            an empty ``SET``.
        """
        properties = "" if bare else f"SET e = r.p {self._read('e', texts)}"
        return f"UNWIND $rows AS r {self.ENDS} CREATE (a)-[e:{quoted(kind)}]->(b) {properties}RETURN count(e)"

    READ = "localDateTime"  # what reads a value that this server takes as text only

    def _read(self, variable: str, texts: Sequence[str]) -> str:
        names = [quoted(name) for name in texts]
        return "".join(f"SET {variable}.{name} = {self.READ}(r.p.{name}) " for name in names)

    def create(self, item: SchemaObject) -> list[str]:
        """The statements that make a schema object; none where this server has nothing like it."""
        return []

    def drop(self, item: SchemaObject) -> list[str]:
        """The statements that remove a schema object; none where it goes by itself or cannot be removed."""
        return []

    def deletions(self) -> tuple[tuple[str, str], ...]:
        """The statements that empty the graph when each is repeated until it deletes nothing, and what they delete.

        Relationships first, so that a node with a million of them does not need one huge transaction.
        """
        return ((self.DELETE_RELATIONSHIPS, "relationships"), (self.DELETE_NODES, "nodes"))

    def extend_enum(self, wanted: SchemaObject, existing: SchemaObject) -> list[str]:
        """The statements that give an existing enum the values it lacks."""
        return []

    def refuses(self, labels: Sequence[str], properties: dict[str, Json], line: bytes) -> str | None:
        """Why this server would not take such a node or relationship, or would quietly change it.

        :param line: the record as it stands in the artifact, to rule most records out without looking closer.
        """
        return None

    def inquire(self, bolt: Bolt, line: bytes) -> None:
        """Called with every record before anything is touched: the time to ask what only this record makes matter."""

    def as_text(self, properties: dict[str, Json], line: bytes) -> tuple[str, ...]:
        """The properties that :meth:`outgoing` makes text of because the server does not take them otherwise."""
        return ()

    def outgoing(self, properties: dict[str, Any], line: bytes) -> dict[str, Any]:
        """Decoded properties as this server must be sent them to hand them out again as they were.

        :param line: the record as it stands in the artifact.
        """
        return properties

    def tidy(self, bolt: Bolt) -> None:
        """Called now and then while many objects are deleted."""


def quoted(name: str) -> str:
    """A label, type, property or index name for a statement: any name at all, in backticks."""
    return "`" + name.replace("`", "``") + "`"


def choose(bolt: Bolt) -> Dialect:
    """Ask the server who it is, and teach the connection that server's ways."""
    from archon_dagster.stores.graph.memgraph import Memgraph, memgraph_version
    from archon_dagster.stores.graph.neo4jlike import ArcadeDB, Neo4j, arcadedb_version

    dialect: Dialect
    if (version := memgraph_version(bolt)) is not None:
        dialect = Memgraph(version)
    else:
        agent = bolt.agent()
        arcade = arcadedb_version(agent)
        dialect = ArcadeDB(arcade) if arcade is not None else Neo4j(agent.removeprefix("Neo4j/"))
    bolt.conflicts, bolt.unlimited = dialect.conflicts, dialect.unlimited
    return dialect
