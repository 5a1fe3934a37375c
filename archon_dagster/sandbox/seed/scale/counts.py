"""How many nodes of each set of labels and relationships of each type a scale has, without making them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container

from archon_dagster.sandbox.seed.scale.graph_oddities import oddities
from archon_dagster.sandbox.seed.scale.graph_records import ODD_TYPE, TOPICS, is_bare, labels_of
from archon_dagster.sandbox.seed.scale.mixing import turn


def graph_counts(scale: int, refused: Container[str]) -> tuple[dict[str, int], dict[str, int]]:
    """Both, largest first; what the server has refused has been written in the ordinary way."""
    odd = oddities()
    labels = [None if item.name in refused else item.labels for item in odd]
    nodes: Counter[str] = Counter({_shown(("ArchonSeed",)): 1})
    for number in range(scale):
        place = turn(number, len(odd), first=TOPICS)
        own = labels[place] if place is not None else None
        nodes[_shown(labels_of(number) if own is None else own)] += 1
    return dict(nodes.most_common()), dict(_relationships(scale).most_common())


def _shown(labels: tuple[str, ...]) -> str:
    return ":".join(labels) if labels else "(no label)"


def _relationships(scale: int) -> Counter[str]:
    """Follows :func:`~archon_dagster.sandbox.seed.scale.graph_records.links`."""
    found: Counter[str] = Counter()
    for number in range(scale):
        if is_bare(number):
            found["HAS"] += 1
            continue
        found["RELATES"] += number % 97 == 5
        if number == 0:
            continue
        found["CONTAINS"] += 1
        found["RELATES" if number % 2 else "CALLS"] += 1
        found["IMPORTS"] += 3 * (number % 89 == 3)
        found[ODD_TYPE] += number % 101 == 9
    return +found
