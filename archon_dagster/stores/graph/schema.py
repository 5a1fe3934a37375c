"""What a graph has besides nodes and relationships, in terms that do not belong to one server.

Names of index and constraint types are Memgraph's (``label+property``, ``edge-type``, ``exists``, ``unique``, …); a
dialect translates what it knows and names what it does not.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

SchemaKind = Literal["enum", "index", "constraint", "trigger"]
NOT_COMPARED = {"capacity", "name", "create"}  # rounded up, made up, and worded anew by each version


@dataclass(frozen=True)
class SchemaObject:
    """One enum, index, constraint or trigger.

    :param type: e.g. ``label+property`` of an index, ``unique`` of a constraint; empty for enums and triggers.
    :param name: where the server gives names that mean something (enums, triggers, text and vector indexes).
    :param on: the label or relationship type; ``None`` for enums, triggers and global indexes.
    :param properties: in order.
    :param options: whatever else it takes to make it again.
    """

    kind: SchemaKind
    type: str = ""
    name: str | None = None
    on: str | None = None
    properties: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The record written to the artifact, without empty fields."""
        full: dict[str, Any] = {"s": self.kind, "type": self.type, "name": self.name, "on": self.on}
        full |= {"properties": list(self.properties), "options": self.options}
        return {key: value for key, value in full.items() if value not in (None, "", [], {}) or key == "on"}

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> SchemaObject:
        return cls(
            kind=record["s"],
            type=record.get("type", ""),
            name=record.get("name"),
            on=record.get("on"),
            properties=tuple(record.get("properties", ())),
            options=dict(record.get("options", {})),
        )

    def unsupported(self) -> SchemaObject:
        """The same, marked as something that can be recorded but not made again (and so is not compared either)."""
        return replace(self, options={**self.options, "unsupported": True})

    @property
    def is_unsupported(self) -> bool:
        return bool(self.options.get("unsupported"))

    @property
    def identity(self) -> dict[str, Any] | None:
        """What two servers must agree on; ``None`` for enums and for what cannot be made again.

        Memgraph cannot drop an enum: one that was made after the backup stays for ever, and must not make every
        later comparison fail. A restore checks by itself that the backup's enums are there.
        """
        if self.kind == "enum" or self.is_unsupported:
            return None
        record = self.as_json()
        if self.type == "unique":  # Memgraph keeps a set, and shows it in whatever order it learned the names
            record["properties"] = sorted(self.properties)
        options = {key: value for key, value in self.options.items() if key not in NOT_COMPARED}
        return {**record, "options": options} if options else {k: v for k, v in record.items() if k != "options"}

    def __str__(self) -> str:
        where = "" if self.on is None else f" on :{self.on}"
        what = f"({', '.join(self.properties)})" if self.properties else ""
        return " ".join(part for part in (self.type, self.kind, self.name or "") if part) + where + what
