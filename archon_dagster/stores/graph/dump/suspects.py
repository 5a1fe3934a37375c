"""Whole numbers that probably were doubles: a dump prints ``1.0`` as ``1``, and nothing in it tells which was which.

Where other nodes of the same labels have a fraction in the same property, the whole numbers most likely were doubles
as well. They are loaded as what the dump says, integers, and named.
"""

from __future__ import annotations

from collections import Counter

from archon_dagster.stores.graph.values import Json

MOST = 10_000  # properties watched; a graph with more has its names from data, not from a model

Owner = tuple[str, str]
"""Labels or type, and the property's name."""


class Numbers:
    """Counts whole numbers and doubles, by labels or type and property."""

    def __init__(self) -> None:
        self._whole: Counter[Owner] = Counter()
        self._fractions: Counter[Owner] = Counter()
        self.whole = 0

    def add(self, owner: str, properties: dict[str, Json]) -> None:
        for name, value in properties.items():
            if type(value) is not dict:
                continue
            if "int" in value:
                self.whole += 1
                self._count(self._whole, (owner, name))
            elif "float" in value:
                self._count(self._fractions, (owner, name))

    def _count(self, counter: Counter[Owner], key: Owner) -> None:
        if key in counter or len(counter) < MOST:
            counter[key] += 1

    def suspects(self) -> list[str]:
        """The properties with both, most suspicious numbers first, readable."""
        both = [(self._whole[key], key) for key in self._whole.keys() & self._fractions.keys()]
        return [
            f"{owner}.{name}: {count} whole numbers beside {self._fractions[owner, name]} with a fraction"
            for count, (owner, name) in sorted(both, reverse=True)
        ]
