"""Where the platform's configuration stands: which file is in place, and whether a change was killed."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path

from archon_dagster.configuration import target
from archon_dagster.configuration.carrying import rest
from archon_dagster.configuration.history import History, Record
from archon_dagster.configuration.journal import Journal, JournalFile
from archon_dagster.platform.settings import Settings


@dataclass(frozen=True, slots=True)
class Standing:
    """:param digest: of the file in place, shortened; empty: there is none.
    :param loose: others than its owner can read it. :param known: it is what was last known.
    :param interrupted: a change that is at work or was killed; :param says: which file is in place then.
    """

    file: Path
    digest: str
    loose: bool
    known: bool
    last: Record | None
    interrupted: Journal | None
    says: str = ""


def standing(settings: Settings) -> Standing:
    """Look; changes nothing."""
    file, history = target.env_file(settings), History(settings.home)
    content, journal = target.read(file), JournalFile(settings.home).read()
    remembered = history.known()
    return Standing(
        file=file,
        digest=target.digest(content)[:12],
        loose=content is not None and bool(stat.S_IMODE(file.stat().st_mode) & 0o077),
        known=remembered is None or rest(remembered) == rest(content),
        last=next(iter(history.all()), None),
        interrupted=journal,
        says=journal.says(content) if journal else "",
    )
