"""A note of the snapshot files we asked a server to make, so that a killed run's leftovers are found again.

The names are the server's, so a leftover cannot be recognised by its name. Each one is written down, durably, before
its download starts, and struck out once the server has deleted it; the next export deletes what is still noted. What
was asked for but never named (the run died before the answer) is not guessed at, because it could be somebody
else's: :attr:`Ledger.unnamed` lists those collections for the report.
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
    asked for, so that the next run can tell which one is ours.
    """

    address: str
    collection: str
    name: str
    before: tuple[str, ...] = ()


class Ledger:
    """The notes, in one small JSON file, or nowhere when there is no path. Safe to use from several threads."""

    def __init__(self, file: Path | None) -> None:
        self._file, self._lock = file, threading.Lock()

    def entries(self, address: str) -> list[Entry]:
        """What is still noted for this server."""
        with self._lock:
            return [entry for entry in self._load() if entry.address == address]

    def unnamed(self, address: str) -> list[str]:
        """Collections of which a snapshot was asked for by a run that never learned its name."""
        return sorted({entry.collection for entry in self.entries(address) if not entry.name})

    def note(self, address: str, collection: str, name: str = "", before: Iterable[str] = ()) -> None:
        """Note a snapshot; once it has a name, this replaces the note made when it was asked for."""
        with self._lock:
            kept = [e for e in self._load() if (e.address, e.collection, e.name) != (address, collection, "")]
            self._save([*kept, Entry(address, collection, name, tuple(sorted(before)))])

    def strike(self, address: str, collection: str, name: str = "") -> None:
        """It is gone from the server."""
        with self._lock:
            gone = (address, collection, name)
            self._save([e for e in self._load() if (e.address, e.collection, e.name) != gone])

    def _load(self) -> list[Entry]:
        if self._file is None or not self._file.exists():
            return []
        try:
            lines: list[dict[str, Any]] = json.loads(self._file.read_text())
            return [
                Entry(str(e["address"]), str(e["collection"]), str(e["name"]), tuple(map(str, e.get("before", ()))))
                for e in lines
            ]
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
