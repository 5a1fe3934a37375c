"""The repository of a platform, made on first use and never a second time.

Where a named repository was once and is no more, its disk is not mounted, its bucket has been emptied, or the setting
leads elsewhere. A new one beside it would take every backup from then on without a word. So the home remembers the
repository it has worked with (``repository.json``).
"""

from __future__ import annotations

from pydantic import BaseModel, TypeAdapter

from archon_dagster.errors import RepositoryMissing
from archon_dagster.platform import whole_files
from archon_dagster.platform.settings import Settings
from archon_dagster.repository.backends.base import Check, no_check
from archon_dagster.repository.repository import Repository

NOTE = "repository.json"


class Known(BaseModel):
    """The repository that was there last: its address and the id in its ``config.json``."""

    address: str
    id: str


_KIND = TypeAdapter(Known)


def open_repository(settings: Settings, *, create: bool, check: Check = no_check) -> Repository:
    """Open the repository in the settings.

    :param create: make it where there is none and never was one; and remember it.
    :param check: see :class:`Repository`.
    :raises RepositoryMissing: there is none; the message says whether there was.
    """
    if settings.repository_setting is None:  # in the home itself: gone with what would remember it
        return Repository.open(settings.repository, create=create, check=check)
    note = settings.home / NOTE
    known = whole_files.read(note, _KIND)
    if known is None or known.address != settings.repository:
        known = None
    try:
        repository = Repository.open(settings.repository, create=create and known is None, check=check)
    except RepositoryMissing as error:
        if known is None:
            raise
        raise RepositoryMissing(
            "the backup repository is gone; no other was made in its place",
            where=error.where,
            tried=f"it was there before, with the id {known.id} (noted in {note})",
            todo="mount its disk, or correct ARCHON_REPOSITORY; to begin a new one there, remove that note first",
        ) from error
    found = Known(address=settings.repository, id=repository.config.id)
    if create and found != known:
        whole_files.write(note, _KIND, found)
    return repository
