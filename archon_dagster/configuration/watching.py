"""Has somebody changed the file without ``archon config``: by hand, by a restore, by another program."""

from __future__ import annotations

import hashlib
from pathlib import Path

from archon_dagster.configuration.carrying import rest
from archon_dagster.configuration.diff import difference
from archon_dagster.configuration.history import History, Record
from archon_dagster.configuration.journal import JournalFile
from archon_dagster.configuration.target import digest, env_file, read
from archon_dagster.platform.runtime.compose_variables import COUNTS
from archon_dagster.platform.settings import Settings
from archon_dagster.stores.configuration.files import read as read_file
from archon_dagster.stores.configuration.files import scan


def note_by_hand(settings: Settings) -> Record | None:
    """Put a change that somebody else has made into the history; ``None``: there is none.

    The first time, the file is only remembered. While a change is at work, or was killed, nothing is by hand; nor is
    what scaling alone has written.
    """
    history, content = History(settings.home), read(env_file(settings))
    journal = JournalFile(settings.home).read()
    if journal is not None and digest(content) in (journal.before, journal.after):
        return None
    known = history.known()
    if known == content:
        return None
    history.note_known(content)
    if known is None or rest(known) == rest(content):
        return None
    record = history.begin("by hand", "hand", str(env_file(settings)), known, content, difference(known, content))
    return history.end(record, "seen")


def signature(project: Path) -> str:
    """What changes whenever a covered file is written; cheap, and wrong about a file that is written as it was."""
    digest = hashlib.sha256()
    for entry in scan(project).entries:
        status = (project / entry.path).lstat()
        digest.update(f"{entry.path}\0{status.st_mtime_ns}\0{status.st_size}\0{status.st_ino}\n".encode())
    return digest.hexdigest()


def contents(project: Path) -> str:
    """What identifies the content of everything a backup of the configuration covers.

    How often services run is left out: each step of the autoscaler would ask for a backup.
    """
    digest = hashlib.sha256()
    for entry in scan(project).entries:
        content = entry.link.encode() if entry.link else read_file(project, entry)
        if entry.path == ".env":
            content = rest(content, COUNTS)
        digest.update(f"{entry.path}\0{hashlib.sha256(content).hexdigest()}\n".encode())
    return digest.hexdigest()
