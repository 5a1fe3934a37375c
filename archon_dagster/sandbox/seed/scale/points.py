"""Points as JSON, ready to be sent: the platform's payloads, and the peculiar ones at a small, known rate."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Set
from typing import Any

from archon_dagster.sandbox.seed.scale import odd_json
from archon_dagster.sandbox.seed.scale.collections import MAIN, NAMED
from archon_dagster.sandbox.seed.scale.mixing import SENTENCES, instant, mixed, point_id, prose, turn, uuid_of
from archon_dagster.sandbox.seed.scale.vector_text import BLOCK, block

ODDITIES = odd_json.VALUES
_LANGUAGES = ("python", "rust", "typescript", "sql", "Größe")
_KINDS = ("function", "class", "module", "document", "конфигурация")
_SALTS = {MAIN: 1, NAMED: 2}
_FEW = 7  # sparse entries of a point at most, and rows of a multivector


def points(collection: str, dimension: int, numbers: range, without: Set[str]) -> Iterator[bytes]:
    """The points with these numbers, each one JSON object.

    :param without: peculiarities the server has refused; such points get an ordinary payload.
    """
    vector = _VECTORS.get(collection, _plain)
    salt = _SALTS.get(collection, 0)
    made, rows = -1, list[bytes]()
    for number in numbers:
        if number // BLOCK != made:
            made = number // BLOCK
            rows = block(salt, made, dimension)
        yield b'{"id":%s,"vector":%s,"payload":%s}' % (
            json.dumps(point_id(number)).encode(),
            vector(number, rows[number % BLOCK]),
            payload(collection, number, without),
        )


def oddity(number: int) -> str | None:
    """The name of what is peculiar about a point of the main collection."""
    place = turn(number, len(ODDITIES))
    return None if place is None else ODDITIES[place][0]


def payload(collection: str, number: int, without: Set[str]) -> bytes:
    """A payload as JSON; one in a hundred points has none."""
    if number % 100 == 53:
        return b"null"
    if collection != MAIN:
        return json.dumps({"number": number, "title": SENTENCES[number & 255], "score": number % 4 / 4}).encode()
    found = _document(number)
    place = turn(number, len(ODDITIES))
    if place is not None and ODDITIES[place][0] not in without:
        found["odd"] = ODDITIES[place][1]
    return json.dumps(found, ensure_ascii=False).encode()


def _document(number: int) -> dict[str, Any]:
    bits = mixed(number, 21)
    return {
        "number": number, "entity_id": f"entity_{bits:016x}", "entity_type": _KINDS[bits % 5],
        "title": SENTENCES[bits >> 8 & 255], "content": prose(number), "project_name": f"project-{bits % 23:02}",
        "url": f"archon://projects/{bits % 23}/documents/{number}", "language": _LANGUAGES[bits >> 16 & 3],
        "chunk_number": bits >> 20 & 31, "quality_score": (bits >> 25 & 7) / 4, "verified": bits >> 30 & 3 == 0,
        "created_at": instant(number).isoformat(), "session": uuid_of(bits % 1009, 22),
        "place": {"lon": (bits >> 32) % 3600 / 10 - 180, "lat": (bits >> 44) % 1700 / 10 - 85},
        "concepts": SENTENCES[bits >> 52 & 255].split()[: bits >> 60 & 7],
    }  # fmt: skip


def _plain(_: int, row: bytes) -> bytes:
    return b"[" + row + b"]"


def _several(number: int, row: bytes) -> bytes:
    """Named vectors; every fifth point lacks some of them, and a few have none at all."""
    cells, bits = row.split(b","), mixed(number, 23)
    named = {
        b"text": b"[" + b",".join(cells[:32]) + b"]",
        b"code": b"[" + b",".join(cells[32:48]) + b"]",
        b"bytes": json.dumps(list(bits.to_bytes(8, "little"))).encode(),
        b"size": b"[" + b",".join(cells[48:52]) + b"]",
        b"words": _words(number),
    }
    if number % 5 == 3:
        kept = bits >> 8 & 31
        named = {name: text for place, (name, text) in enumerate(named.items()) if kept >> place & 1}
    return b"{" + b",".join(b'"%s":%s' % item for item in named.items()) + b"}"


def _tokens(number: int, row: bytes) -> bytes:
    cells = row.split(b",")
    rows = (b"[" + b",".join(cells[16 * place : 16 * place + 16]) + b"]" for place in range(1 + number % _FEW))
    return b'{"tokens":[%s]}' % b",".join(rows)


def _words(number: int) -> bytes:
    """A sparse vector; the smallest and the largest possible index are among them, and some are empty."""
    chosen = {mixed(number * _FEW + place, 24) % 2**32 for place in range(number % (_FEW + 1))}
    chosen |= {0, 2**32 - 1} if number % 100 == 11 else set()
    ordered = sorted(chosen)
    return json.dumps({"indices": ordered, "values": [1 + index % 8 / 8 for index in ordered]}).encode()


def _sparse(number: int, _: bytes) -> bytes:
    return b'{"words":%s}' % _words(number)


_VECTORS: dict[str, Callable[[int, bytes], bytes]] = {
    NAMED: _several,
    "scale_multivector": _tokens,
    "scale_sparse": _sparse,
}
LENGTHS = {NAMED: 52, "scale_multivector": 16 * _FEW, "scale_sparse": 4, "scale_quantized": 32, "scale Größe 名前": 4}
"""Numbers a point's vectors take from its row."""
