"""Look into every collection of a Qdrant server: info, exact count, and a search whose answer is known.

A real server says ready, green and the right count with garbage in a collection's vector file; every search then finds
nothing. So a few stored points are taken, and each must find itself by its own vector. Which points: the first one, and
others at random places, so that over time every segment is asked.

A server that is busy is no server that hangs: one that has said that it is ready may take its time with the rest, and
what is not answered in time is not known.
"""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import httpx

from archon_dagster.platform.probes.answer import FAILURES, Answer, Unwell, in_words
from archon_dagster.platform.probes.asking import answer_of
from archon_dagster.platform.probes.known_answer import Vectors, finds_itself, queryable
from archon_dagster.platform.probes.qdrant import (
    Refused,
    connect,
    names,
    path,
    require_ready,
    require_usable,
    result,
)
from archon_dagster.platform.services import Service
from archon_dagster.platform.settings import Settings

Condition = Literal["good", "dead", "garbage", "red", "unknown", "gone"]

SAMPLED = 3  # points of a collection asked in one examination
_AT_ONCE = 4  # collections


@dataclass(frozen=True, slots=True)
class CollectionReport:
    """What one collection is like.

    :param condition: ``dead``: the server says that it cannot read it; ``garbage``: stored points do not find
        themselves; ``red``: the server says that an operation on it has failed; ``unknown``: there was no answer that
        says anything (no time left, the server died meanwhile); ``gone``: deleted since it was listed.
    :param points: exact count, where it could be had.
    :param sizes: length of each dense vector by its name (``""`` for the unnamed one).
    """

    name: str
    condition: Condition
    detail: str = ""
    points: int | None = None
    sizes: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Examination:
    """The server's own answer, and a report on every collection it lists."""

    answer: Answer
    collections: tuple[CollectionReport, ...] = ()


def examine(service: Service, settings: Settings, limit: float, chance: random.Random) -> Examination:
    """Examine a server within about ``limit`` seconds; what does not fit is reported as unknown.

    :param chance: which points are asked, and in which order the collections.
    """
    until = time.monotonic() + limit
    reports: list[CollectionReport] = []
    with connect(service, settings) as client:
        there: list[str] = []

        def listed() -> str:
            require_ready(client)
            there.extend(_listed(client, until))
            return f"ready, {len(there)} collections"

        answer = answer_of(listed, service.probe.timeout)
        if answer.ok and there:
            modern = _has_query(client, until)
            order = chance.sample(there, len(there))
            seeds = [random.Random(chance.getrandbits(64)) for _ in order]
            with ThreadPoolExecutor(max_workers=min(_AT_ONCE, len(order))) as pool:
                work = [
                    pool.submit(examine_collection, client, name, modern, seed, until)
                    for name, seed in zip(order, seeds, strict=True)
                ]
                reports = [one.result() for one in work]
    return Examination(answer, tuple(sorted(reports, key=lambda report: report.name)))


def _listed(client: httpx.Client, until: float) -> list[str]:
    """The collections; a server that has just answered, and now takes too long, works in part."""
    try:
        return names(client, until)
    except (TimeoutError, httpx.TimeoutException) as error:
        raise Unwell(
            "it is ready, and did not list its collections in the time of this round", degraded=True
        ) from error


def _has_query(client: httpx.Client, until: float) -> bool:
    """Whether the server knows ``/points/query`` (1.10); trying it on an old one breaks the connection."""
    try:
        left = max(0.01, until - time.monotonic())
        major, minor = str(client.get("/", timeout=left).json()["version"]).split(".")[:2]
        return (int(major), int(minor)) >= (1, 10)
    except (*FAILURES, KeyError, TypeError):
        return True


def examine_collection(
    client: httpx.Client, name: str, modern: bool, chance: random.Random, until: float
) -> CollectionReport:
    """Examine one collection until ``until`` (of the monotonic clock)."""
    points: int | None = None
    sizes: dict[str, int] = {}
    try:
        info = result(client, "GET", path(name), until=until)
        vectors = Vectors.of(info)
        sizes = dict(vectors.sizes)
        counting = result(client, "POST", path(name, "points", "count"), {"exact": True}, until=until)
        points = int(counting["count"])
        condition, detail = _known_answer(_asker(client, name, until), vectors, points, modern, chance, until)
        if condition == "good":
            require_usable(name, info)
    except Refused as refused:
        return CollectionReport(name, _REFUSALS.get(refused.status, "unknown"), str(refused), points, sizes)
    except Unwell as red:
        return CollectionReport(name, "red", str(red), points, sizes)
    except (*FAILURES, KeyError, TypeError) as error:
        late = isinstance(error, (TimeoutError, httpx.TimeoutException))
        said = "no answer in the time of this round" if late else in_words(error, 0.0)
        return CollectionReport(name, "unknown", said, points, sizes)
    return CollectionReport(name, condition, detail, points, sizes)


_REFUSALS: dict[int, Condition] = {500: "dead", 404: "gone"}
"""What an HTTP error says of a collection; overload, a wrong key and whatever else there is say nothing of it."""


def _asker(client: httpx.Client, name: str, until: float) -> Callable[[str, Any], Any]:
    return lambda verb, body: result(client, "POST", path(name, "points", *filter(None, [verb])), body, until=until)


def _known_answer(
    ask: Callable[[str, Any], Any], vectors: Vectors, points: int, modern: bool, chance: random.Random, until: float
) -> tuple[Condition, str]:
    """Ask for a few stored points by their own vectors."""
    if time.monotonic() >= until:
        return "unknown", "not examined in the time of this round"
    if not points:
        return "good", "empty"
    if not vectors:
        return "good", "no vector that a search can be asked with"
    asked, bare = 0, set()
    for place in range(SAMPLED):
        if time.monotonic() >= until:
            break
        point = _some_point(ask, None if place == 0 else chance)
        query = queryable(point, vectors) if point else None
        if point is None:
            continue
        if query is None:
            bare.add(str(point["id"]))
            continue
        if not finds_itself(ask, point["id"], query, modern=modern):
            if _changed_since(ask, point):
                continue
            return "garbage", f"point {point['id']} does not find itself by its own vector, {points:,} points counted"
        asked += 1
    if vectors.unnamed and bare and (len(bare) > 1 or not asked):  # every point has this vector, and it is not zero
        named = ", ".join(sorted(bare))
        return "garbage", f"the vectors of points {named} are zeros, or no numbers, {points:,} points counted"
    if not asked:
        return "good", f"{points:,} points, the sampled ones have no vector to ask with"
    return "good", f"{points:,} points, {asked} found themselves"


def _some_point(ask: Callable[[str, Any], Any], chance: random.Random | None) -> dict[str, Any] | None:
    """The first point, or the first after a random id; ids are 64-bit numbers, then UUIDs."""
    body: dict[str, Any] = {"limit": 1, "with_payload": False, "with_vector": True}
    if chance is not None:
        number = chance.getrandbits(64)
        body["offset"] = number if chance.random() < 0.5 else str(uuid.UUID(int=chance.getrandbits(128), version=4))
    found = ask("scroll", body)["points"]
    return dict(found[0]) if found else None


def _changed_since(ask: Callable[[str, Any], Any], point: dict[str, Any]) -> bool:
    """Whether somebody deleted or rewrote the point between the two questions."""
    now = ask("", {"ids": [point["id"]], "with_payload": False, "with_vector": True})
    return not now or now[0].get("vector") != point.get("vector")
