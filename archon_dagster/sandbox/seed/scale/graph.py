"""Write the generated graph over Bolt, in order, and remember in the graph itself how far it has come.

One node, the mark, says how many nodes are there and for how many of them the relationships are; it is changed in the
transaction that writes them. So a run that was killed goes on where it was, the same scale again writes nothing, and a
larger one writes the rest. Only the ids of the topics and of the last few hundred nodes are kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from archon_dagster.errors import ConfigurationError, StoreError
from archon_dagster.platform.settings import Settings
from archon_dagster.sandbox.seed.scale.graph_oddities import oddities
from archon_dagster.sandbox.seed.scale.graph_records import (
    BARE,
    KEY,
    TOPICS,
    WINDOW,
    Link,
    Node,
    bare_labels,
    hook,
    is_bare,
    links,
    node,
)
from archon_dagster.sandbox.seed.scale.refusals import Refusals
from archon_dagster.stores.base import Progress, Work
from archon_dagster.stores.graph.connection import Bolt, QueryRefused
from archon_dagster.stores.graph.dialect import Dialect, quoted
from archon_dagster.stores.graph.driver import Endpoint
from archon_dagster.stores.graph.schema import SchemaObject
from archon_dagster.stores.graph.values import encode_properties

_BLOCK = 2000  # nodes of one transaction
_MARK = "ArchonSeed"
_SET = "SET m.keyed = r.keyed, m.linked = r.linked, m.refused = r.refused"
_CREATE_MARK = f"UNWIND $rows AS r CREATE (m:{_MARK}) {_SET}"
_CHANGE_MARK = f"UNWIND $rows AS r MATCH (m:{_MARK}) {_SET}"
_READ_MARK = f"MATCH (m:{_MARK}) RETURN m.keyed, m.linked, m.refused"
_COUNT = f"MATCH (n) WHERE n.{KEY} IS NOT NULL RETURN count(n)"
_NEAR = f"UNWIND $rows AS r MATCH (n) WHERE n.{KEY} >= r.lowest OR n.{KEY} < {TOPICS} RETURN n.{KEY}, id(n)"
_SCHEMA = (
    SchemaObject("index", "label+property", on="Entity", properties=("entity_id",)),
    SchemaObject("index", "label+property", on="File", properties=("source_path",)),
    SchemaObject("constraint", "unique", on="Topic", properties=(KEY,)),
)

Statement = tuple[str, list[dict[str, Any]]]


@dataclass
class Mark:
    """How far the graph has come: nodes, nodes whose relationships are there too, what the server has refused."""

    keyed: int = 0
    linked: int = 0
    there: bool = False


class GraphSeed:
    """The generated graph of one server.

    :ivar refusals: what the server would not take.
    """

    def __init__(self, bolt: Bolt, dialect: Dialect, scale: int, work: Work):
        self._bolt, self._dialect, self._scale, self._work = bolt, dialect, scale, work
        self._mark, self._ids = Mark(), dict[int, int]()
        self._oddities = oddities()
        self.refusals = Refusals()

    def check(self) -> None:
        """Raise where a larger scale is there already, or where somebody has changed what was written."""
        rows = self._bolt.rows(_READ_MARK, "read how far an earlier seed has come")
        if not rows:
            return
        keyed, linked, refused = rows[0]
        self._mark, self.refusals.reasons = Mark(keyed, linked, there=True), json.loads(refused)
        found, wanted = self._bolt.rows(_COUNT, "count the generated nodes")[0][0], keyed - bare_below(keyed)
        if keyed > self._scale or found != wanted:
            larger = f"the graph already holds {keyed:,} generated nodes, those of a larger scale"
            changed = f"{found:,} of {wanted:,} generated nodes are in the graph: it has been changed since"
            raise ConfigurationError(
                f"{larger if found == wanted else changed}; nothing was written",
                where=self._bolt.endpoint.address,
                todo="seed the same scale or a larger one, or empty the graph first: archon sandbox wipe graph",
            )

    def write(self) -> tuple[int, int]:
        """Make the graph be there; returns the nodes and the relationships that were written."""
        if not self._mark.there:
            self._create_schema()
            self._bolt.write("begin the graph", [(_CREATE_MARK, [self._marked()])])
            self._mark.there = True
        elif self._mark.linked < self._scale:
            near = {"lowest": self._mark.linked - WINDOW}
            self._ids = dict(self._bolt.rows(_NEAR, "find the nodes to go on from", rows=[near]))
        nodes = relationships = 0
        for block in self._blocks():
            nodes += self._write_nodes(range(max(block.start, self._mark.keyed), block.stop))
            relationships += self._write_links(block)
            self._forget(block.stop)
            self._work.report(Progress("graph", "nodes and relationships", block.stop, self._scale, "nodes"))
        return nodes, relationships

    def _blocks(self) -> Iterator[range]:
        """Ranges of nodes; what is peculiar for the first time gets one of its own."""
        start, alone = self._mark.linked, TOPICS + len(self._oddities)
        while start < self._scale:
            self._work.check()
            stop = TOPICS if start < TOPICS else start + 1 if start < alone else start + _BLOCK
            yield range(start, min(stop, self._scale))
            start = stop

    def _create_schema(self) -> None:
        there = [item.identity for item in self._dialect.schema(self._bolt)]
        for item in _SCHEMA:
            known = {key: value for key, value in (item.identity or {}).items() if key != "options"}
            if known in there:
                continue
            statements = self._dialect.create(item)
            if not statements:
                self.refusals.add(str(item), f"{self._dialect} has nothing like it")
            for text in statements:
                self.refusals.attempt(str(item), partial(self._bolt.rows, text, f"create {item}"), QueryRefused)

    # nodes ---------------------------------------------------------------------------------------------------------

    def _write_nodes(self, numbers: range) -> int:
        if not numbers:
            return 0
        first = TOPICS <= numbers.start < TOPICS + len(self._oddities)
        if first and (odd := node(numbers.start, self._oddities).oddity) is not None and self._takes(odd.name, numbers):
            return 1
        self._create_nodes(numbers)
        return len(numbers)

    def _takes(self, name: str, numbers: range) -> bool:
        """Whether the server has taken the first node of a kind; if not, that is remembered."""
        if name in self.refusals.reasons:
            return False
        reason = self._unkept(node(numbers.start, self._oddities))
        if reason is not None:
            self.refusals.add(name, f"{self._dialect} cannot keep {reason}")
            return False
        return self.refusals.attempt(name, partial(self._create_nodes, numbers), QueryRefused)

    def _create_nodes(self, numbers: range) -> None:
        groups: dict[tuple[tuple[str, ...], tuple[str, ...]], list[dict[str, Any]]] = {}
        for number in numbers:
            if not is_bare(number):
                made = self._node(number)
                properties, texts = self._outgoing(made)
                groups.setdefault((made.labels, texts), []).append({"k": number, "p": properties})
        statements = [(self._dialect.node_batch(*group), rows) for group, rows in groups.items()]
        keyed, self._mark.keyed = self._mark.keyed, numbers.stop
        try:
            answers = self._bolt.write("create nodes", [*statements, (_CHANGE_MARK, [self._marked()])])
        except BaseException:
            self._mark.keyed = keyed
            raise
        for answer in answers[:-1]:
            self._ids.update(answer)

    def _node(self, number: int) -> Node:
        made = node(number, self._oddities)
        if made.oddity is not None and made.oddity.name in self.refusals.reasons:
            return node(number, self._oddities, plain=True)
        return made

    def _outgoing(self, made: Node) -> tuple[dict[str, Any], tuple[str, ...]]:
        """The properties as the server must be sent them, and which of them it must read from text."""
        if made.oddity is None:
            return made.properties, ()
        encoded, line = _encoded(made)
        return self._dialect.outgoing(made.properties, line), self._dialect.as_text(encoded, line)

    def _unkept(self, made: Node) -> str | None:
        encoded, line = _encoded(made)
        self._dialect.inquire(self._bolt, line)
        return self._dialect.refuses(made.labels, encoded, line)

    # relationships -------------------------------------------------------------------------------------------------

    def _write_links(self, numbers: range) -> int:
        groups: dict[tuple[str, bool], list[dict[str, Any]]] = {}
        bare: dict[tuple[str, ...], list[dict[str, Any]]] = {}
        for number in numbers:
            if is_bare(number):
                bare.setdefault(bare_labels(number), []).append({"a": self._ids[hook(number)]})
                continue
            for link in links(number):
                groups.setdefault((link.kind, not link.properties), []).append(self._row(link))
        statements = [(self._dialect.relationship_batch(kind, bare=empty), r) for (kind, empty), r in groups.items()]
        statements += [(_hang(labels), bare[labels]) for labels in BARE if labels in bare]
        self._mark.linked = numbers.stop
        answers = self._bolt.write("create relationships", [*statements, (_CHANGE_MARK, [self._marked()])])
        created: int = sum(rows[0][0] for rows in answers[:-1])
        wanted = sum(len(rows) for _, rows in statements)
        if created != wanted:
            raise StoreError(
                f"{wanted:,} relationships were sent, {created:,} were created",
                where=self._bolt.endpoint.address,
                todo="something else changes the graph; stop that, wipe the graph and seed again",
            )
        return created

    def _row(self, link: Link) -> dict[str, Any]:
        return {"a": self._ids[link.start], "b": self._ids[link.end], "p": link.properties}

    def _forget(self, done: int) -> None:
        oldest = done - WINDOW - 2
        self._ids = {number: found for number, found in self._ids.items() if number < TOPICS or number >= oldest}

    def _marked(self) -> dict[str, Any]:
        mark = self._mark
        return {"keyed": mark.keyed, "linked": mark.linked, "refused": json.dumps(self.refusals.reasons)}


def endpoint(settings: Settings) -> Endpoint:
    return Endpoint(
        settings.memgraph_uri,
        settings.memgraph_user,
        settings.memgraph_password.get_secret_value(),
        settings.memgraph_database,
    )


def bare_below(number: int) -> int:
    """How many nodes before this one have no properties."""
    return (number + 2) // 100


def _hang(labels: tuple[str, ...]) -> str:
    pattern = "".join(f":{quoted(label)}" for label in labels)
    return f"UNWIND $rows AS r MATCH (a) WHERE id(a) = r.a CREATE (a)-[e:HAS]->(b{pattern}) RETURN count(e)"


def _encoded(made: Node) -> tuple[dict[str, Any], bytes]:
    """The properties as an artifact holds them, and such an artifact's line: what a dialect judges by."""
    encoded = encode_properties(made.properties)
    return encoded, json.dumps(encoded, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()
