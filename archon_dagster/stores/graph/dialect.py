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

    def node_batch(self, labels: Sequence[str]) -> str:
        """Creates nodes of one label set from ``$rows`` of ``{k, p}``; answers ``k`` and the new id."""
        pattern = "".join(f":{quoted(label)}" for label in labels)
        return f"UNWIND $rows AS r CREATE (n{pattern}) SET n = r.p RETURN r.k, id(n)"

    def relationship_batch(self, kind: str) -> str:
        """Creates relationships of one type from ``$rows`` of ``{a, b, p}``; answers how many."""
        return (
            "UNWIND $rows AS r MATCH (a) WHERE id(a) = r.a MATCH (b) WHERE id(b) = r.b "
            f"CREATE (a)-[e:{quoted(kind)}]->(b) SET e = r.p RETURN count(e)"
        )

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

    def tidy(self, bolt: Bolt) -> None:
        """Called now and then while many objects are deleted."""


def quoted(name: str) -> str:
    """A label, type, property or index name for a statement: any name at all, in backticks."""
    return "`" + name.replace("`", "``") + "`"


def choose(bolt: Bolt) -> Dialect:
    """Ask the server who it is, and teach the connection that server's ways."""
    from archon_dagster.stores.graph.memgraph import Memgraph, memgraph_version
    from archon_dagster.stores.graph.neo4jlike import ArcadeDB, Neo4jLike, arcadedb_version

    dialect: Dialect
    if (version := memgraph_version(bolt)) is not None:
        dialect = Memgraph(version)
    else:
        agent = bolt.agent()
        arcade = arcadedb_version(agent)
        dialect = ArcadeDB(arcade) if arcade is not None else Neo4jLike(agent.removeprefix("Neo4j/"))
    bolt.conflicts, bolt.unlimited = dialect.conflicts, dialect.unlimited
    return dialect
