"""The graph's fingerprint: what is in it, whatever order and ids it comes in.

A node's record is its sorted labels and canonical properties. A relationship's record is its type, its canonical
properties and the digests of its two nodes: ids change with every restore, content does not. (Two nodes with equal
content are equal here; which of them a relationship hangs on cannot be told from outside either, except by ids.)
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from archon_dagster.repository.manifest import Fingerprint
from archon_dagster.stores.digest import Multiset
from archon_dagster.stores.graph.idtable import IdTable
from archon_dagster.stores.graph.schema import SchemaObject

DIGEST = 16  # bytes kept of a node's digest
Relationship = tuple[str, int, int, str]
"""Type, start id, end id, canonical properties."""

_dumps = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode


def canonical(value: Any) -> str:
    """The one text a JSON value has here: keys sorted, no blanks."""
    return _dumps(value)


class GraphDigest:
    """Takes the schema, then every node, then every relationship; :meth:`fingerprint` is the result."""

    def __init__(self) -> None:
        self.nodes: Counter[str] = Counter()
        self.relationships: Counter[str] = Counter()
        self._ends = IdTable(DIGEST)
        self._parts: dict[str, Multiset] = {"schema": Multiset()}
        self._frozen = False

    def schema(self, objects: Iterable[SchemaObject]) -> None:
        for item in objects:
            if (identity := item.identity) is not None:
                self._parts["schema"].add(canonical(identity).encode())

    def node(self, node: int, labels: Sequence[str], properties: str) -> None:
        """Add a node; ``properties`` are its canonical encoded properties."""
        ordered = sorted(labels)
        record = f"{canonical(ordered)}{properties}".encode()
        self._ends.add(node, hashlib.sha256(record).digest()[:DIGEST])
        name = ":".join(ordered)
        self.nodes[name] += 1
        self._part(f"nodes/{name}").add(record)

    def relate(self, batch: Sequence[Relationship]) -> list[int]:
        """Add relationships, many at a time; returns the positions of those with an end nobody knows.

        :raises DuplicateId: when the first batch comes and a node had been added twice.
        """
        self.freeze()
        starts = self._ends.find([item[1] for item in batch])
        ends = self._ends.find([item[2] for item in batch])
        dangling = []
        for position, ((kind, _, _, properties), start, end) in enumerate(zip(batch, starts, ends, strict=True)):
            if start is None or end is None:
                dangling.append(position)
                continue
            self.relationships[kind] += 1
            self._part(f"relationships/{kind}").add(f"{canonical(kind)}{properties}".encode() + start + end)
        return dangling

    def freeze(self) -> None:
        """No more nodes come; raises :class:`~archon_dagster.stores.graph.idtable.DuplicateId`."""
        if not self._frozen:
            self._ends.freeze()
            self._frozen = True

    @property
    def counts(self) -> dict[str, int]:
        return {"nodes": self.nodes.total(), "relationships": self.relationships.total()}

    def fingerprint(self) -> Fingerprint:
        return Fingerprint(parts={name: part.part() for name, part in sorted(self._parts.items())})

    def _part(self, name: str) -> Multiset:
        if (part := self._parts.get(name)) is None:
            part = self._parts[name] = Multiset()
        return part
