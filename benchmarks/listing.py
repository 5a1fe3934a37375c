"""A repository with a thousand backups: how long an operator waits for the list, for ``latest``, and to know what a
prune would remove."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from archon_dagster.context import OperationContext
from archon_dagster.maintenance.retention import decide, policy_of
from archon_dagster.platform.runtime.elsewhere import ElsewhereRuntime
from archon_dagster.platform.settings import load_settings
from archon_dagster.repository.check_state import FINISHED
from archon_dagster.repository.manifest import Manifest, Window
from archon_dagster.repository.repository import Repository
from archon_dagster.repository.retention import plan
from archon_dagster.repository.verification import DIGESTS, CheckRecord
from benchmarks.measure import timed

_FIRST = datetime(2026, 1, 1, 3, tzinfo=UTC)


def run(folder: Path, backups: int) -> dict[str, Any]:
    """Make the backups, then measure on freshly opened repositories; seconds where nothing else is said."""
    place = str(folder / "repository")
    _make(Repository.open(place, create=True), backups)
    for cached in (folder / "repository" / "cache").glob("*"):
        cached.unlink()
    return {
        "backups": backups,
        "list_without_cache": timed(lambda: Repository.open(place).backups()),
        "list": timed(lambda: Repository.open(place).backups()),
        "latest": timed(lambda: Repository.open(place).resolve("latest")),
        **_pruning(folder, place),
    }


def _make(made: Repository, backups: int) -> None:
    """One an hour, each with eight artifacts and the results of its checks; ten in a row have the same content."""
    sealed: list[Manifest] = []
    with made.lock("benchmark") as lease:
        for number in range(backups):
            now = _FIRST + timedelta(hours=number)
            with made.begin("scheduled", lease=lease, clock=itertools.repeat(now).__next__) as pending:
                for part in range(8):
                    with pending.artifact("vectors", f"part-{part}", "file", media_type="text/plain",
                                          cut="whole") as artifact:  # fmt: skip
                        artifact.write(f"{part} {number // 10}".encode() * 100)
                sealed.append(pending.seal(window=Window(start=now, end=now, consistent=True), versions={}))
    for manifest in sealed:
        for name in (DIGESTS, FINISHED):
            made.record(manifest.id, CheckRecord(name=name, passed=True, time=manifest.created))


def _pruning(folder: Path, place: str) -> dict[str, Any]:
    """The whole plan, as ``archon backups prune`` shows it with the bytes it would free, and the decision alone."""
    settings = load_settings(ARCHON_HOME=folder / "home", ARCHON_RUNTIME="elsewhere", ARCHON_REPOSITORY=place)
    context = OperationContext(settings, ElsewhereRuntime(), {}, Repository.open(place))
    policy, entries = policy_of(settings), context.repository.backups(checks=True)
    fresh = OperationContext(settings, ElsewhereRuntime(), {}, Repository.open(place))
    return {
        "prune_plan": timed(lambda: decide(fresh, policy)),
        "prune_plan,_the_decision_alone": timed(lambda: plan(entries, policy, context.repository.backend.now())),
        "prune_plan,_backups_that_would_go": len(decide(context, policy).plan.going),
    }
