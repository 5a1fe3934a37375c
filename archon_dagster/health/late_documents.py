"""Documents that come late: search was asked to index one, nobody waited any longer, and it did so all the same.

A test sweeps when it ends, and what is indexed after that would stay until the next test, for ever where none is made.
So a test leaves a note before it asks, and takes it back only once it was answered and has swept. While there is a note
the monitor's rounds sweep again, each time after as long again as it is since the test, for a day: what came L seconds
late is gone after as long again. A test that was killed, or could not delete, leaves its note too.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from archon_dagster.platform import whole_files

LONGEST = 86_400.0  # seconds; a request that hung for longer went with its service
SHORTEST = 1.0  # seconds between two sweeps


@dataclass(frozen=True, slots=True)
class Note:
    """Something may still come. Times are seconds since the epoch.

    :param since: when the test began; :param swept: the last sweep since then.
    """

    since: float
    swept: float


_FILE: TypeAdapter[Note] = TypeAdapter(Note)


def expect(home: Path, now: float) -> None:
    """Note that a document may come; only who holds the lock of the tests writes here."""
    whole_files.write(_path(home), _FILE, Note(now, now))


def settle(home: Path) -> None:
    """Nothing can come any more."""
    _path(home).unlink(missing_ok=True)


def is_due(home: Path, now: float) -> bool:
    """Whether it is time to sweep again."""
    note = whole_files.read(_path(home), _FILE)
    if note is None:
        return False
    return not 0 <= now - note.swept < max(SHORTEST, note.swept - note.since)


def swept(home: Path, now: float) -> None:
    """It was swept; the next time is twice as far away, and after a day there is none."""
    note = whole_files.read(_path(home), _FILE)
    if note is None or now - note.since > LONGEST:
        settle(home)
    else:
        whole_files.write(_path(home), _FILE, Note(min(note.since, now), now))


def _path(home: Path) -> Path:
    return home / "health" / "late-documents.json"
