"""A note of the snapshot files we asked a server to make, so that a killed run's leftovers are found again.

The names are the server's, so a leftover cannot be recognised by its name. So a note is written, durably, before a
snapshot is asked for, gets the name once the server has told it, and is struck out once the server has deleted the
file; the next export deletes what is still noted. What was asked for but never named (the run died or was cancelled
before the answer) is the one snapshot that was not there before; where that is not clear it could be somebody else's,
and is named in the report instead.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Entry:
    """One snapshot on one server.

    ``name`` is empty until the server has given one; ``before`` then names the snapshots that were there when it was
    asked for and ``asked`` when that was (seconds of the epoch), so that the next run can tell which one is ours.
    """

    address: str
    collection: str
    name: str
    before: tuple[str, ...] = ()
    asked: float = 0.0


class Ledger:
    """The notes, in one small JSON file, or nowhere when there is no path. Safe to use from several threads."""

    def __init__(self, file: Path | None) -> None:
        self._file, self._lock = file, threading.Lock()

    def entries(self, address: str) -> list[Entry]:
        """What is still noted for this server."""
        with self._lock:
            return [entry for entry in self._load() if entry.address == address]

    def note(
        self, address: str, collection: str, name: str = "", before: Iterable[str] = (), asked: float = 0.0
    ) -> None:
        """Note a snapshot; once it has a name, this replaces the note made when it was asked for.

        :param asked: tells that note from those of other runs for the same collection.
        """
        with self._lock:
            kept = [e for e in self._load() if not name or _key(e) != (address, collection, "", asked)]
            self._save([*kept, Entry(address, collection, name, tuple(sorted(before)), asked)])

    def strike(self, address: str, collection: str, name: str = "", asked: float | None = None) -> None:
        """It is gone from the server, or was never made."""
        with self._lock:
            gone = (address, collection, name)
            self._save([e for e in self._load() if _key(e)[:3] != gone or asked not in (None, e.asked)])

    def _load(self) -> list[Entry]:
        if self._file is None or not self._file.exists():
            return []
        try:
            lines: list[dict[str, Any]] = json.loads(self._file.read_text())
            return [_entry(line) for line in lines]
        except (ValueError, KeyError, TypeError):
            return []  # a convenience: damaged notes must not stop a backup

    def _save(self, entries: list[Entry]) -> None:
        if self._file is None:
            return
        self._file.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._file.with_suffix(".tmp")
        with temporary.open("w") as file:
            json.dump([asdict(entry) for entry in entries], file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._file)


def _key(entry: Entry) -> tuple[str, str, str, float]:
    return entry.address, entry.collection, entry.name, entry.asked


def _entry(line: dict[str, Any]) -> Entry:
    before = tuple(map(str, line.get("before", ())))
    return Entry(
        str(line["address"]), str(line["collection"]), str(line["name"]), before, float(line.get("asked", 0.0))
    )
