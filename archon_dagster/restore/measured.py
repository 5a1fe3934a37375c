"""How long restores took: recorded beside the backup, and read again to estimate the next one.

A record names its stores, because a restore of the configuration says nothing about one of the vectors, and says
whether every service came up, because waiting in vain for one says nothing about the next restore.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime

from archon_dagster.platform.objectives import restore_objective
from archon_dagster.repository.repository import Repository
from archon_dagster.repository.verification import CheckRecord
from archon_dagster.restore.request import RestoreResult
from archon_dagster.stores.base import StoreName

CHECK = "restore"
_LOOK_BACK = 50  # backups searched for a measured restore
_NOT_READY = "; not every service came up"
_STORES = re.compile(r" s for (?P<stores>[a-z, ]+); objective ")


def record(repository: Repository, result: RestoreResult) -> None:
    """Keep a measured duration: the RTO is data."""
    incident, objective = restore_objective(len(result.stores))
    detail = f"{result.rto:.1f} s for {', '.join(result.stores)}; objective for {incident} {objective.target:.0f} s"
    if result.unhealthy:
        detail += _NOT_READY
    check = CheckRecord(name=CHECK, passed=True, detail=detail, time=datetime.now(UTC), seconds=result.rto)
    repository.record(result.backup.id, check)


def last(repository: Repository, stores: Iterable[StoreName]) -> float | None:
    """Seconds the newest restore (to healthy) of exactly these stores took, whichever backup it restored."""
    wanted = frozenset(stores)
    found = [
        check
        for entry in repository.backups()[:_LOOK_BACK]
        for check in repository.checks(entry.id)
        if check.name == CHECK and _stores_of(check) == wanted
    ]
    return max(found, key=lambda check: check.time).seconds if found else None


def _stores_of(check: CheckRecord) -> frozenset[str]:
    """Which stores were restored and running again after the measured time."""
    named = None if check.detail.endswith(_NOT_READY) else _STORES.search(check.detail)
    return frozenset(named["stores"].split(", ")) if named else frozenset()
