"""The generated graph, record by record: node ``i`` and the relationships that come with it.

Relationships lead to earlier nodes that are near, or to one of the first ones (the topics, which end up with very many
of them), so that a graph can be written in order with little remembered, and taken up where a run was killed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from archon_dagster.sandbox.seed.scale.graph_oddities import Oddity
from archon_dagster.sandbox.seed.scale.mixing import SENTENCES, instant, mixed, turn

KEY = "seed_number"  # the property that tells which generated node it is
TOPICS = 16
WINDOW = 500  # nodes back that a relationship may lead
BARE = ((), ("Bare",))
"""Labels of the nodes without any property, in turn; each hangs on the node before it, or nothing would find it."""

ODD_TYPE = "LEADS `TO` – größer"
_LABELS = ("Entity",) * 12 + ("File",) * 4 + ("Page",) * 3 + ("Directory",)


@dataclass(frozen=True, slots=True)
class Node:
    """A node that has properties, its number among them."""

    number: int
    labels: tuple[str, ...]
    properties: dict[str, Any]
    oddity: Oddity | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """A relationship between two numbered nodes."""

    kind: str
    start: int
    end: int
    properties: dict[str, Any]


def is_bare(number: int) -> bool:
    return number % 100 == 97


def bare_labels(number: int) -> tuple[str, ...]:
    return BARE[number // 100 % 2]


def node(number: int, oddities: tuple[Oddity, ...], *, plain: bool = False) -> Node:
    """A numbered node. :param plain: without what would be peculiar about it."""
    place = turn(number, len(oddities), first=TOPICS)
    odd = None if place is None or plain else oddities[place]
    labels, properties = _ordinary(number)
    if odd is None:
        return Node(number, labels, properties)
    return Node(number, labels if odd.labels is None else odd.labels, properties | odd.properties, odd)


def labels_of(number: int) -> tuple[str, ...]:
    """The ordinary labels of a node."""
    if is_bare(number):
        return bare_labels(number)
    return ("Topic",) if number < TOPICS else (_LABELS[mixed(number, 31) % len(_LABELS)],)


def _ordinary(number: int) -> tuple[tuple[str, ...], dict[str, Any]]:
    bits = mixed(number, 32)
    properties = {
        KEY: number, "entity_id": f"entity_{bits:016x}", "name": SENTENCES[bits & 255],
        "confidence_score": (bits >> 8 & 7) / 4, "line_number": bits >> 16 & 4095, "indexed": bits >> 30 & 1 == 1,
        "indexed_at": instant(number).isoformat(), "source_path": f"src/{bits >> 32 & 63}/{bits >> 40 & 1023}.py",
        "concepts": SENTENCES[bits >> 50 & 255].split()[: 1 + (bits >> 60 & 3)],
    }  # fmt: skip
    return labels_of(number), properties


def links(number: int) -> Iterator[Link]:
    """The relationships of a numbered node to itself and to earlier ones."""
    bits = mixed(number, 33)
    if number % 97 == 5:
        yield Link("RELATES", number, number, {"relationship_type": "CALLS", "confidence_score": 1.0})
    if number == 0:
        return
    yield Link("CONTAINS", _earlier(number, bits, 50), number, {})
    about = bits >> 16 & 15
    if number % 2:
        score = {"confidence_score": about / 4, "relationship_type": "ABOUT"}
        yield Link("RELATES", number, about % min(number, TOPICS), score)
    else:
        yield Link("CALLS", number, _earlier(number, bits >> 20, WINDOW), {"line_number": about})
    if number % 89 == 3:  # twins, and a third of the same type that differs
        target = _earlier(number, bits >> 30, WINDOW)
        yield from (Link("IMPORTS", number, target, {"order": order}) for order in (1, 1, 2))
    if number % 101 == 9:
        odd = {"with `tick`": "'\"\\\n", "score": 1.0, "größe": [1.0, 2.5]}
        yield Link(ODD_TYPE, number, _earlier(number, bits >> 40, WINDOW), odd)


def hook(number: int) -> int:
    """The node a bare one hangs on."""
    return number - 1


def _earlier(number: int, bits: int, span: int) -> int:
    found = number - 1 - (bits & 0xFFFF) % min(span, number)
    return found - 1 if is_bare(found) else found
