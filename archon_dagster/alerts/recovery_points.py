"""Recovery points: is the newest good backup of every store as young as it has to be?

The objectives are the runbook's (:mod:`archon_dagster.platform.objectives`). Each function makes the alert of one thing
that is wrong; its incident is the *subject* of which the book makes an id.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path

from archon_dagster.alerts.alert import Alert
from archon_dagster.alerts.failures import parts_of
from archon_dagster.alerts.rendering import elapsed
from archon_dagster.errors import BackupNotFound
from archon_dagster.platform.objectives import HOUR, RPO
from archon_dagster.platform.settings import Settings
from archon_dagster.repository.repository import Repository
from archon_dagster.stores.base import STORES, StoreName

AGE, REPOSITORY = "rpo", "repository"
"""The sources of the alerts below."""

Newest = Mapping[StoreName, tuple[str, datetime] | None]
"""The newest good backup of each store: its id and the instant it is of; ``None`` where there is none."""

DAILY_LIMIT = 26 * HOUR
"""How old a store's newest backup may be while only the daily backup is on: a day, and time to take it."""

FASTER_SCHEDULE: Mapping[str, str] = {
    "vectors": "hourly_backup",
    "graph": "hourly_backup",
    "relational": "quarter_hourly_backup",
}
"""The schedule of each store without which its recovery point objective cannot be met."""


def newest_backups(settings: Settings) -> Newest:
    """Ask the repository; raises :class:`RepositoryError` when it does not answer."""
    if settings.repository_setting is None and not Path(settings.repository).exists():
        return dict.fromkeys(STORES)  # the default one, which the first backup makes
    repository = Repository.open(settings.repository)
    return {store: _newest(repository, store) for store in STORES}


def _newest(repository: Repository, store: StoreName) -> tuple[str, datetime] | None:
    try:
        manifest = repository.resolve("latest", stores=(store,))
    except BackupNotFound:
        return None
    return manifest.id, manifest.window.start


def limits(schedules_on: Iterable[str]) -> dict[str, float]:
    """How old the newest backup of each store may be, in seconds: its objective where a schedule is on that can meet
    it, else a day. An objective that nothing can meet would be an alert that never ends."""
    on = frozenset(schedules_on)
    return {
        store: objective.maximum if FASTER_SCHEDULE.get(store) in on else max(objective.maximum, DAILY_LIMIT)
        for store, objective in RPO.items()
    }


def breaches(
    newest: Newest,
    allowed: Mapping[str, float],
    now: datetime,
    watching_since: datetime,
) -> tuple[Alert, ...]:
    """An alert for each store whose newest good backup (its id and instant) is older than allowed.

    A store that was never backed up is given as long as one whose backup was taken when the watching began.
    """
    found = []
    for store, backup in newest.items():
        taken = backup[1] if backup else watching_since
        if (now - taken).total_seconds() > allowed[store]:
            found.append(_breached(store, backup, allowed[store], now, taken))
    return tuple(found)


def _breached(store: str, backup: tuple[str, datetime] | None, allowed: float, now: datetime, taken: datetime) -> Alert:
    age = elapsed((now - taken).total_seconds())
    have = (
        f"the newest good backup of {store} is {backup[0]}, {age} old"
        if backup
        else f"there is no good backup of {store}"
    )
    objective = RPO[store].maximum
    allows = (
        f"{elapsed(allowed)} are allowed (RPO)"
        if allowed <= objective
        else f"{elapsed(allowed)} by the schedule; the objective (RPO) is {elapsed(objective)}"
    )
    return Alert(
        incident=f"{AGE}/{store}",
        severity="critical",
        title=f"no backup of {store} within {elapsed(allowed)}",
        what=f"{have}; {allows}: what has changed since would be lost",
        since=taken + timedelta(seconds=allowed),
        todo=(
            f"take one now: archon backup --only {store}",
            "see why none was taken: archon status, archon backups, and the schedules in the UI under Automation",
        ),
    )


def repository_unreadable(error: str, now: datetime) -> Alert:
    """The alert about a repository that cannot be asked which backups there are."""
    what, tried, todo = parts_of(error)
    return Alert(
        incident=f"{REPOSITORY}/read",
        severity="critical",
        title="the backup repository cannot be read",
        what=f"{what}; while it lasts no backup can be taken or restored",
        since=now,
        tried=(tried,) if tried else (),
        todo=(todo or "archon backups",),
    )
