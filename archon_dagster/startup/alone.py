"""Start alone: while a backup captures or a restore writes, nobody starts a service.

The platform's lock is in the backup repository. A start takes it as a backup does, with one difference: a repository
that cannot be reached must not keep the platform down. Then nobody else can take or renew the lock either, so whoever
held it stops by itself within its lease, and the start goes on without and says so.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from archon_dagster.errors import ConfigurationError, RepositoryBusy, RepositoryError
from archon_dagster.platform.settings import Settings
from archon_dagster.repository.repository import Repository
from archon_dagster.startup.aside import Aside

REPOSITORY_LIMIT = 15.0  # seconds to find out whether the repository answers


@dataclass(frozen=True)
class Alone:
    """The repository with the lock held; ``None`` with the reason where there is none, empty where that is normal."""

    repository: Repository | None
    trouble: str = ""


@contextmanager
def alone(settings: Settings, purpose: str, check: Callable[[], None]) -> Iterator[Alone]:
    """Hold the platform's lock, if there is a repository to hold it in.

    :raises RepositoryBusy: somebody works on the platform; the message names who and what.
    """
    found = open_repository(settings, check)
    if found.repository is None:
        yield found
        return
    lock = found.repository.lock(purpose, check=check)
    try:
        lock.__enter__()
    except RepositoryBusy:
        raise
    except RepositoryError as error:
        yield Alone(None, _in_words(error))
        return
    try:
        yield found
    except BaseException:
        lock.__exit__(*sys.exc_info())  # it gives the lock back within a second where the start was cancelled
        raise
    with suppress(RepositoryError):  # the platform is up; a lock that cannot be given back runs out by itself
        lock.__exit__(None, None, None)


def open_repository(settings: Settings, check: Callable[[], None]) -> Alone:
    """The repository of the settings, if it answers in time; none is made here."""
    if settings.repository_setting is None and not Path(settings.repository).exists():
        return Alone(None)  # the default one, which the first backup makes
    opening = Aside(lambda: Repository.open(settings.repository, check=check), "open the repository")
    try:
        return Alone(opening.result(check, REPOSITORY_LIMIT))
    except (RepositoryError, ConfigurationError, TimeoutError) as error:
        return Alone(None, _in_words(error))


def _in_words(error: Exception) -> str:
    return f"{str(error).splitlines()[0]}: started without the platform's lock, and without knowing the last backup"
