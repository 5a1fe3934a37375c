"""What the control plane knows about its alerts, in one small file of the home: ``alerts.json``.

Sensors, runs and the command line all change it, so each change reads, decides and writes under a lock of its own. The
file is replaced as a whole; no address of a channel is in it, only names.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from filelock import FileLock, Timeout
from pydantic import TypeAdapter, ValidationError

from archon_dagster.alerts.book import Entry
from archon_dagster.alerts.outbox import Delivery, Undelivered
from archon_dagster.errors import ArchonError
from archon_dagster.platform import whole_files

T = TypeVar("T")

LOCK_LIMIT = 15.0  # seconds; the lock is held for milliseconds


@dataclass(frozen=True, slots=True)
class Beat:
    """The heartbeat: the last attempt, the last one that was answered, and why the last one was not, or not made."""

    tried: datetime
    answered: datetime | None = None
    error: str = ""
    held: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """Everything in the file.

    :param damaged: a file that cannot be understood, and what was told by then with it; empty where there is none.
    """

    book: dict[str, Entry] = field(default_factory=dict)
    outbox: tuple[Delivery, ...] = ()
    undelivered: tuple[Undelivered, ...] = ()
    beat: Beat | None = None
    damaged: str = ""


_FORMAT = TypeAdapter(Record)


class RecordFile:
    """The record on disk."""

    def __init__(self, home: Path):
        self.path = home / "alerts.json"
        self._lock = home / ".alerts.lock"

    def read(self) -> Record:
        """The record as it is; an empty one before anything was told, or where the file cannot be understood."""
        try:
            return _FORMAT.validate_json(self.path.read_bytes())
        except FileNotFoundError:
            return Record()
        except ValidationError:
            return Record(damaged=str(self.path))

    def change(self, change: Callable[[Record], tuple[Record, T]]) -> T:
        """Replace the record by what ``change`` makes of it; returns what else it says.

        Raises :class:`ArchonError` when the lock is not to be had or the file cannot be written.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(self._lock, timeout=LOCK_LIMIT):
                before = self._read_or_set_aside()
                after, said = change(before)
                if after != before:
                    self._write(after)
                return said
        except Timeout as error:
            raise ArchonError(
                "the record of alerts is locked",
                where=str(self._lock),
                tried=f"waiting {LOCK_LIMIT:g} s",
                todo="find the process that holds it: it hangs",
            ) from error
        except OSError as error:
            raise ArchonError(
                f"the record of alerts cannot be written: {error.strerror}",
                where=str(self.path),
                todo="make room, or correct the rights; until then nobody is told anything",
            ) from error

    def _read_or_set_aside(self) -> Record:
        """A file that cannot be understood must not stop alerts; it is kept, and the next record says so."""
        try:
            return _FORMAT.validate_json(self.path.read_bytes())
        except FileNotFoundError:
            return Record()
        except ValidationError:
            aside = self.path.with_name(f"alerts.damaged-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json")
            self.path.replace(aside)
            self._write(Record(damaged=str(aside)))
            return Record(damaged=str(aside))

    def _write(self, record: Record) -> None:
        whole_files.replace(self.path, _FORMAT.dump_json(record))
