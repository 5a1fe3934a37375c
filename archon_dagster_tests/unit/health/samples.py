"""Samples for the tests, in a word each."""

from __future__ import annotations

from archon_dagster.health.samples import Facet, Sample

GOOD = (Facet("reachable", True), Facet("ready", True, "healthy"), Facet("fast", True))
SLOW = (*GOOD[:2], Facet("fast", False, "slow", minor=True, problem="slow"))
DEAD = (Facet("reachable", False, "refused", problem="unreachable"), Facet("ready", None), Facet("fast", None))
NOTHING = (Facet("ready", None, "held still"),)

KINDS = {"good": GOOD, "slow": SLOW, "dead": DEAD, "nothing": NOTHING}


def sample(kind: str, at: float = 0.0, service: str = "qdrant", maintenance: str = "") -> Sample:
    return Sample(service, at, KINDS[kind], 0.01 if kind in ("good", "slow") else None, maintenance)
