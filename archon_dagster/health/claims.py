"""Does what a service says fit what its store holds? Asked by reading alone: nothing is written for it.

A service that has lost its store goes on saying that it is healthy, and answers with status 200 and nothing. Search is
asked for the text of a point that is stored: it must find something. The bridge is asked how much the graph holds: it
must know of most of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from archon_dagster.asking import ask_all
from archon_dagster.health.knowledge import Knowledge, Tested
from archon_dagster.health.samples import Sample
from archon_dagster.platform.probes.answer import Unwell, in_words
from archon_dagster.platform.probes.qdrant import connect, path, result
from archon_dagster.platform.probes.web import client, success
from archon_dagster.platform.services import ARCHON_COLLECTIONS, BY_NAME
from archon_dagster.platform.settings import Settings

LIMIT = 5.0  # seconds for both of them, side by side
FEW = 10  # records; with fewer, nothing can be told
_SHARE = 0.5  # of what the store holds, below which a service knows of another store, or of none


def ask(samples: Mapping[str, Sample], known: Knowledge, settings: Settings, now: float) -> dict[str, Tested]:
    """The outcome for each service of which it can be told."""
    questions: dict[str, Callable[[], str]] = {}
    points = {name: samples["qdrant"].counts.get(name, 0) for name in ARCHON_COLLECTIONS} if "qdrant" in samples else {}
    fullest = max(points, key=lambda name: points[name], default="")
    if "archon-search" in samples and fullest and points[fullest] >= FEW:
        questions["archon-search"] = lambda: _search_finds(settings, fullest, points[fullest])
    nodes = _nodes(known)
    if "archon-bridge" in samples and nodes >= FEW:
        questions["archon-bridge"] = lambda: _bridge_knows(settings, nodes)
    begin = time.monotonic()
    answers = ask_all(questions, LIMIT) if questions else {}
    return {name: _tested(answer, now, time.monotonic() - begin) for name, answer in answers.items()}


def _nodes(known: Knowledge) -> int:
    counted = known.live.get("graph")
    return (counted.counts or {}).get("nodes", 0) if counted else 0


def _tested(answer: str | Exception, now: float, seconds: float) -> Tested:
    """An answer that is against the service fails; one that did not come says nothing that is not known already."""
    if isinstance(answer, str):
        return Tested(True, answer, now, seconds)
    if isinstance(answer, Unwell):
        return Tested(False, str(answer), now, seconds)
    return Tested(None, in_words(answer, LIMIT), now)


def _search_finds(settings: Settings, collection: str, points: int) -> str:
    with connect(BY_NAME["qdrant"], settings) as qdrant:
        stored = result(qdrant, "POST", path(collection, "points", "scroll"), {"limit": 1, "with_payload": True})
    payload: dict[str, Any] = (stored["points"][0].get("payload") or {}) if stored["points"] else {}
    text = str(payload.get("content") or payload.get("title") or payload.get("entity_id") or collection)[:500]
    with client(BY_NAME["archon-search"], settings) as search:
        answer = success(search.post("/search", json={"query": text, "mode": "semantic", "limit": 1}))
    if not answer.json()["results"]:
        raise Unwell(f"it says that it is healthy and finds nothing, where {collection} holds {points:,} points")
    return f"it finds what {collection} holds"


def _bridge_knows(settings: Settings, nodes: int) -> str:
    with client(BY_NAME["archon-bridge"], settings) as bridge:
        answer = bridge.get("/mapping/stats")
    if answer.status_code == httpx.codes.NOT_FOUND:
        raise ValueError("this build of the bridge does not say how much it knows of")
    said = success(answer).json()
    knows = int(said.get("entities") or 0)
    if knows < nodes * _SHARE:
        why = f" ({said['error']})" if said.get("error") else ""
        raise Unwell(f"it says that it is healthy and knows of {knows:,} nodes, where the graph holds {nodes:,}{why}")
    return f"it knows of {knows:,} nodes"
