"""How old the newest good backup of each store is, how old it may be, and how the newest one came out.

Age and limit are those of the control plane's own alerts, from the same functions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import get_args

from prometheus_client import Metric

from archon_dagster.alerts.recovery_points import limits, newest_backups
from archon_dagster.metrics.gauge import gauge
from archon_dagster.platform.settings import Settings
from archon_dagster.repository.catalogue import Entry, State
from archon_dagster.repository.check_state import State as Checks
from archon_dagster.repository.repository import Repository
from archon_dagster.restore_drill import record

ENTRY_STATES: tuple[str, ...] = get_args(State)
CHECK_STATES: tuple[str, ...] = get_args(Checks)
ASIDE = ("safety", "imported")
"""Kinds that say nothing about how backups are taken."""


def backups(settings: Settings, now: float) -> Iterator[Metric]:
    """Of the repository's catalogue; raises :class:`RepositoryError` where it does not answer."""
    yield gauge(
        "archon_backup_newest_good_timestamp_seconds",
        "The instant that the newest good backup of a store is of; missing where there is none.",
        {(store,): one[1].timestamp() for store, one in newest_backups(settings).items() if one},
        ("store",),
    )
    repository = _repository(settings)
    entries = repository.backups(checks=True) if repository else ()
    states = Counter[str](entry.state for entry in entries)
    yield gauge(
        "archon_backups",
        "Backups in the repository by state; damaged, missing: its manifest is.",
        {(state,): states[state] for state in ENTRY_STATES},
        ("state",),
    )
    yield from _newest(entries)
    yield from _drill(record.last(repository) if repository else None)


def objectives(schedules_on: frozenset[str]) -> Iterator[Metric]:
    """How old a backup may be, as long as these schedules are on."""
    yield gauge(
        "archon_backup_age_limit_seconds",
        "How old the newest good backup of a store may be: its RPO where a schedule can meet it, else a day.",
        {(store,): limit for store, limit in limits(schedules_on).items()},
        ("store",),
    )


def _repository(settings: Settings) -> Repository | None:
    if settings.repository_setting is None and not Path(settings.repository).exists():
        return None  # the default one, which the first backup makes
    return Repository.open(settings.repository)


def _newest(entries: Sequence[Entry]) -> Iterator[Metric]:
    """The newest complete backup that was taken of the platform as it should be."""
    taken = (
        (entry.summary, entry.checks)
        for entry in entries
        if entry.summary is not None and entry.checks is not None and entry.summary.kind not in ASIDE
    )
    summary, checks = next(taken, (None, None))
    if summary is None or checks is None:
        return
    yield gauge(
        "archon_backup_newest_checks",
        "1 for what the checks of the newest backup have come to.",
        {(state,): checks.state == state for state in CHECK_STATES},
        ("result",),
    )
    numbers = {
        "timestamp_seconds": ("When the newest backup was taken.", summary.created.timestamp()),
        "duration_seconds": ("How long the newest backup took.", summary.duration),
        "read_bytes": ("What the newest backup read.", summary.bytes_read),
        "added_bytes": ("What the newest backup added to the repository.", summary.bytes_added),
    }
    for name, (text, value) in numbers.items():
        yield gauge(f"archon_backup_newest_{name}", text, value)


def _drill(last: record.LastDrill | None) -> Iterator[Metric]:
    """The newest restore drill: a backup that was never restored is a hope."""
    text = "When a backup was restored into servers of its own last, and compared; 0: never."
    yield gauge("archon_restore_drill_timestamp_seconds", text, last.check.time.timestamp() if last else 0.0)
    if last is None:
        return
    yield gauge("archon_restore_drill_passed", "1 if that gave what the backup promises.", last.check.passed)
    if last.check.seconds is not None:
        yield gauge("archon_restore_drill_duration_seconds", "How long that took.", last.check.seconds)
