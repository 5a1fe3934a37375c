"""Findings for tests, in a few words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

from archon_dagster.platform.services import CATALOGUE
from archon_dagster.recovery.findings import Finding, Findings, Proof
from archon_dagster.recovery.policy import Policy
from archon_dagster.stores.base import StoreName

START = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
EVERYBODY = frozenset(service.name for service in CATALOGUE)
OWN = tuple(service.name for service in CATALOGUE if not service.external)
BACKUPS: dict[StoreName, str] = {
    "vectors": "20261124T020000Z-0001", "graph": "20261124T020000Z-0001", "relational": "20261124T020000Z-0001",
}  # fmt: skip
RESTORING = Policy(level="restore", files=frozenset({"qdrant", "memgraph"}), runtime="processes")
CAUTIOUS = Policy(level="restart", files=frozenset({"qdrant", "memgraph"}), runtime="processes")


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def picture(
    unwell: Iterable[str] = (),
    *,
    now: float = 0.0,
    causes: Mapping[str, tuple[str, ...]] | None = None,
    proofs: Iterable[Proof] = (),
    unsure: Mapping[str, str] | None = None,
    stopped: Iterable[str] = (),
    flapping: Iterable[str] = (),
    uncounted: Mapping[str, str] | None = None,
    counted: float | None = None,
    at_work: str = "",
    interrupted: str = "",
    backups: Mapping[StoreName, str] = BACKUPS,
) -> Findings:
    why = causes or {}
    return Findings(
        at=at(now),
        unwell={
            name: Finding(name, f"{name}: no answer", at(now - 3), at(now), why.get(name, ())) for name in unwell
        },
        watched=EVERYBODY,
        proofs=tuple(proofs),
        unsure=unsure or {},
        stopped=frozenset(stopped),
        flapping=frozenset(flapping),
        uncounted=uncounted or {},
        counted=None if counted is None else at(counted),
        at_work=at_work,
        interrupted=interrupted,
        backups=backups,
    )  # fmt: skip


EMPTY_GRAPH = Proof("graph", "came_up_empty", "0 records, 1,200 in the backup")
GARBAGE = Proof("vectors", "garbage", "collection archon_vectors: a point does not find itself", ("archon_vectors",))
UNREADABLE = Proof("vectors", "unreadable", "collection archon_vectors: a segment is damaged", ("archon_vectors",))
CANNOT_LOAD = Proof("vectors", "cannot_load", "Can't read collection config", ("quality_vectors",))
COLLAPSED = Proof("relational", "collapsed", "3 records, 900 in the backup")
