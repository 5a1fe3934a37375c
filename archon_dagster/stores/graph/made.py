"""The nodes that a restore has created, and how they are taken out again: these, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field

from archon_dagster.stores.base import Work
from archon_dagster.stores.graph.connection import Bolt
from archon_dagster.stores.graph.dialect import quoted
from archon_dagster.stores.graph.idtable import IdTable
from archon_dagster.stores.graph.meter import Meter

BATCH = 1000  # nodes a statement is about
DELETE = 5_000  # relationships deleted in one transaction


@dataclass
class Made:
    """The nodes a restore has created.

    :param ids: by their id in the backup, the one that the server gave them, packed.
    :param unsure: there may be more, whose ids were never heard.
    """

    ids: IdTable = field(default_factory=lambda: IdTable(8))
    unsure: bool = False


def number(packed: bytes) -> int:
    """A server's id out of :class:`Made`."""
    return int.from_bytes(packed, "little", signed=True)


def delete_made(bolt: Bolt, label: str, made: Made, work: Work) -> None:
    """Delete the nodes that were made, as far as they still have the label: a server may give an id away again.

    Relationships first, so that a node with a million of them does not need one huge transaction.
    """
    ours = f"WHERE id(n) = r.id AND n:{quoted(label)}"
    edges = f"UNWIND $rows AS r MATCH (n)-[e]->() {ours} WITH e LIMIT {DELETE} DELETE e RETURN count(*)"
    nodes = f"UNWIND $rows AS r MATCH (n) {ours} DETACH DELETE n RETURN count(*)"
    meter = Meter(work, "remove what was added", len(made.ids), "nodes removed")
    bolt.done = meter
    for batch in made.ids.values(BATCH):
        rows = [{"id": number(packed)} for packed in batch]
        while bolt.rows(edges, "remove the relationships that were added", rows=rows)[0][0]:
            pass
        bolt.rows(nodes, "remove the nodes that were added", rows=rows)
        meter.add(len(rows))
