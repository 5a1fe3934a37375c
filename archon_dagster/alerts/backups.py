"""Good backups, for those who ask: which ones a run has taken, whatever its job is called.

The job ``backup`` takes them, and so do the weekly maintenance, the security updates and a restore (of what it is about
to replace). Each notes on its run which backup it was about; whether the run has *taken* it, its manifest says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from archon_dagster.alerts.alert import Alert
from archon_dagster.errors import RepositoryError
from archon_dagster.platform.settings import Settings
from archon_dagster.repository.check_state import state_of
from archon_dagster.repository.manifest import Manifest
from archon_dagster.repository.repository import Repository

SOURCE = "backup"
TAGS = ("archon/backup", "archon/safety")
"""Where a run notes a backup: the one it was about, and the one a restore took of what was there."""


def taken(settings: Settings, tags: Mapping[str, str], since: datetime) -> Iterator[Manifest]:
    """The backups of these tags that were captured after an instant, and whose every check has passed.

    :param since: when the run began: a restore names a backup that is older.
    """
    named = [tags[tag] for tag in TAGS if tags.get(tag)]
    if not named:
        return
    repository = Repository.open(settings.repository)
    for backup in named:
        try:
            manifest = repository.manifest(backup)
        except RepositoryError:  # removed or damaged since: then there is no good news of it
            continue
        if manifest.window.end >= since and state_of(repository.checks(backup)).state == "passed":
            yield manifest


def note(manifest: Manifest, at: datetime, link: str | None) -> Alert:
    """The note that a backup was taken and is good."""
    return Alert(
        incident=f"{SOURCE}/{manifest.id}",
        severity="info",
        title=f"{manifest.kind} backup {manifest.id} was taken",
        what=f"in it: {', '.join(manifest.stores)}; every check of it has passed",
        since=at,
        link=link,
    )
