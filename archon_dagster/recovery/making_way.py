"""Which work makes way for a recovery: backups, whoever takes them. A backup of a broken platform is worth nothing.

Cancelling one is safe: nothing of it is visible before it is sealed, and the writers go on. A weekly maintenance whose
backup is cancelled has changed nothing yet; a security update that is backing up has replaced nothing yet. Everything
else is waited for: a restore, and whatever changes the platform.
"""

from __future__ import annotations

from collections.abc import Iterable

from archon_dagster.health.windows import AdHoc
from archon_dagster.maintenance.updates import PURPOSE as UPDATES

MAY_BACK_UP = ("backup", "weekly_maintenance", "security_updates")
"""The jobs that take a backup, as all of their work or as its first step."""


def makes_way(job: str, work: str, windows: Iterable[AdHoc]) -> bool:
    """Whether a run of this job, which is at work, is backing up just now.

    :param work: what the holder of the platform lock does. :param windows: the maintenance windows that are open: a
        security update opens its own once it has backed up.
    """
    if job == "backup":
        return True
    if job == "security_updates":
        return work == UPDATES and all(window.why != UPDATES for window in windows)
    return job in MAY_BACK_UP and work.endswith(" backup")
