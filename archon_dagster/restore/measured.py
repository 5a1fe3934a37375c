"""How long restores took: recorded beside the backup, and read again to estimate the next one.

A record names its stores, because a restore of the configuration says nothing about one of the vectors, and says
whether every service came up, because waiting in vain for one says nothing about the next restore. It also tells how
fast each store took in its bytes, and how long each of the other steps took, for estimates of what was never restored
before: a part, or a larger backup.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median

from archon_dagster.platform.objectives import restore_objective
from archon_dagster.repository.manifest import Artifact, Fingerprint
from archon_dagster.repository.repository import Repository
from archon_dagster.repository.verification import CheckRecord
from archon_dagster.restore.request import RestoreResult
from archon_dagster.restore.scope import Scope
from archon_dagster.stores.base import StoreName
from archon_dagster.stores.vectors.portable.layout import KIND as BY_POINTS

CHECK = "restore"
_LOOK_BACK = 50  # backups searched for a measured restore
_NOT_READY = "; not every service came up"
_STORES = re.compile(r" s for (?P<stores>[a-z, ]+); objective ")
_SPEED = re.compile(r"(?P<what>[a-z]+(?: by points)?) (?P<bytes>\d+) B in (?P<seconds>[\d.]+) s")
_STEP = re.compile(r"(?P<step>[a-z ]+) (?P<seconds>[\d.]+) s")
_SPEEDS, _AROUND, _INTO = "; moved ", "; around it ", "; into "
START, SAFETY, STOP = "start", "safety backup", "stop the writers"
AROUND = ("verify the backup", "start the stores", "compare versions", STOP, SAFETY, "compare fingerprints", START)
"""The steps of a restore besides those that write into a store, by the names they are told with."""


@dataclass(frozen=True)
class Estimate:
    """How many seconds a restore will take, and how that is known."""

    seconds: float
    how: str


def record(repository: Repository, result: RestoreResult) -> None:
    """Keep a measured duration: the RTO is data."""
    if result.selection is None:
        incident, objective = restore_objective(len(result.stores))
        detail = f"{result.rto:.1f} s for {', '.join(result.stores)}; objective for {incident} {objective.target:.0f} s"
    else:
        detail = f"{result.rto:.1f} s for {result.selection}"
    if speeds := _speeds(result):
        detail += f"{_SPEEDS}{', '.join(speeds)}"
        if around := [f"{name} {result.seconds[name]:.3f} s" for name in AROUND if name in result.seconds]:
            detail += f"{_AROUND}{', '.join(around)}"
    if result.target:
        detail += f"{_INTO}{result.target}"
    if result.unhealthy:
        detail += _NOT_READY
    check = CheckRecord(name=CHECK, passed=True, detail=detail, time=datetime.now(UTC), seconds=result.rto)
    repository.record(result.backup.id, check)


def _speeds(result: RestoreResult) -> list[str]:
    took = {name: result.seconds.get(f"restore {name}", 0.0) for name in result.moved}
    return [
        f"{_kind(name, by_points=result.by_points)} {moved} B in {took[name]:.3f} s"
        for name, moved in result.moved.items()
        if moved and took[name] >= 0.001
    ]


def _kind(name: StoreName, *, by_points: bool) -> str:
    return f"{name} by points" if by_points and name == "vectors" else name


def weight(scope: Scope, name: StoreName, *, by_points: bool) -> int:
    """Bytes of the artifacts that a store, or the part of it, is restored from."""
    return sum(
        artifact.size
        for artifact in scope.manifest.of_store(name)
        if (name != "vectors" or (artifact.kind == BY_POINTS) == by_points) and _concerns(scope, artifact)
    )


def _concerns(scope: Scope, artifact: Artifact) -> bool:
    if scope.part is None:
        return True
    return scope.part.captured(artifact.counts, artifact.fingerprint or Fingerprint(parts={})) is not None


def estimate(
    repository: Repository, scope: Scope, *, by_points: bool, alike: bool = True, omitted: Collection[str] = ()
) -> Estimate | None:
    """From the last restore of the same stores into the same place, else from how fast each store was before.

    :param alike: the backup is one of this platform, and so about as large as the last one.
    :param omitted: steps of :data:`AROUND` that this restore does not take.
    """
    checks = _checks(repository)
    if alike and scope.part is None and not by_points:
        wanted, into = frozenset(scope.names), scope.place.target
        same = [check for check in checks if _stores_of(check) == wanted and _into(check) == into]
        if same and (seconds := max(same, key=lambda check: check.time).seconds) is not None:
            return Estimate(seconds, "as the last restore of the same stores")
    rates = _rates(checks)
    kinds = {name: _kind(name, by_points=by_points) for name in scope.names}
    if any(kind not in rates for kind in kinds.values()):
        return None
    seconds = sum(weight(scope, name, by_points=by_points) / rates[kind] for name, kind in kinds.items())
    at = ", ".join(f"{kind} {rates[kind] / 1e6:.1f} MB/s" for kind in kinds.values())
    around = _around(checks, frozenset(kinds.values()))
    taken = [step for step in AROUND if step not in omitted]
    rest = sum(around.get(step, 0.0) for step in taken)
    known, unknown = _in_a_line(s for s in taken if s in around), _in_a_line(s for s in taken if s not in around)
    how = f"at the rates of earlier restores ({at})"
    how += f", and {rest:.1f} s for what is around it, as long as it took then: {known}" if known else ""
    how += f"; without what was never measured: {unknown}" if unknown else ""
    return Estimate(seconds + rest, how)


def _in_a_line(steps: Iterable[str]) -> str:
    return ", ".join(steps)


def _around(checks: Iterable[CheckRecord], kinds: Collection[str]) -> Mapping[str, float]:
    """Seconds of each step around the stores: the median over the restores that moved any of these kinds."""
    found: dict[str, list[float]] = {}
    for check in checks:
        moved, _, steps = _measurements(check).partition(_AROUND)
        if not any(one["what"] in kinds for one in _SPEED.finditer(moved)):
            continue
        for one in _STEP.finditer(steps):
            if one["step"].strip() != START or not check.detail.endswith(_NOT_READY):
                found.setdefault(one["step"].strip(), []).append(float(one["seconds"]))
    return {step: median(seconds) for step, seconds in found.items()}


def _rates(checks: Iterable[CheckRecord]) -> Mapping[str, float]:
    """Bytes a second by kind of store, the median of what was measured."""
    found: dict[str, list[float]] = {}
    for check in checks:
        for one in _SPEED.finditer(_measurements(check).partition(_AROUND)[0]):
            found.setdefault(one["what"], []).append(int(one["bytes"]) / float(one["seconds"]))
    return {kind: median(rates) for kind, rates in found.items()}


def _measurements(check: CheckRecord) -> str:
    """What a record says of bytes and seconds; empty where it says nothing."""
    return check.detail.partition(_SPEEDS)[2].partition(_INTO)[0].removesuffix(_NOT_READY)


def _checks(repository: Repository) -> list[CheckRecord]:
    entries = repository.backups()[:_LOOK_BACK]
    return [check for entry in entries for check in repository.checks(entry.id) if check.name == CHECK]


def _into(check: CheckRecord) -> str:
    return check.detail.removesuffix(_NOT_READY).partition(_INTO)[2]


def _stores_of(check: CheckRecord) -> frozenset[str]:
    """Which stores were restored and running again after the measured time."""
    named = None if check.detail.endswith(_NOT_READY) else _STORES.search(check.detail)
    return frozenset(named["stores"].split(", ")) if named else frozenset()
