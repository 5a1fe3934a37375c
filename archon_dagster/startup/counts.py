"""Notice data loss when a platform starts: a store may come up, be well, and be empty.

A server that cannot read its files may begin with new ones and say that it is healthy. So the records of every store
are compared with the last known ones, whichever is newer: those of its last good backup, or those in
``<home>/last_counts.json``, which a good start, a stop, a backup or a round of health checks may note. The servers stay
up: what is lost has to be looked at, and put back on purpose.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from archon_dagster.asking import ask_all
from archon_dagster.errors import BackupNotFound, StoreError
from archon_dagster.health.consistency import DATABASE_GONE
from archon_dagster.repository.repository import Repository
from archon_dagster.restore.request import command
from archon_dagster.stores.base import Description, Store, StoreName

COUNTED: tuple[StoreName, ...] = ("vectors", "graph", "relational")
FILE_NAME = "last_counts.json"
FEW = 10  # records; a part that had fewer may come and go
LIMIT = 60.0  # seconds for all stores together; a graph is counted by reading it once

Counts = Mapping[str, int]
"""Records by part: collection, nodes and relationships, table."""


@dataclass(frozen=True, slots=True)
class Known:
    """What a store held when that was last known.

    :param source: where that is known from, readable; :param backup: the id of its last good backup, if there is one.
    """

    counts: Counts
    at: datetime
    source: str
    backup: str = ""


@dataclass(frozen=True, slots=True)
class Loss:
    """A store that came up without what it held."""

    store: str
    records: int
    known: int
    source: str
    gone: tuple[str, ...] = ()
    backup: str = ""

    @property
    def line(self) -> str:
        """The whole as one line."""
        named = f"; empty or gone: {', '.join(self.gone)}" if self.gone else ""
        return f"{self.store} came up with {self.records:,} records, {self.source} knows of {self.known:,}{named}"


@dataclass(frozen=True)
class Comparison:
    """Every store that could be counted, beside what was known of it.

    :param uncounted: reasons, by store. :param unknown: stores of which nothing was known before.
    """

    counts: Mapping[str, Counts] = field(default_factory=dict)
    losses: tuple[Loss, ...] = ()
    uncounted: Mapping[str, str] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()


def raise_for_loss(losses: tuple[Loss, ...]) -> None:
    """:class:`StoreError` that names every loss, and what puts it back."""
    if not losses:
        return
    commands = [command(loss.backup, (loss.store,)) for loss in losses if loss.backup]
    graph = any(loss.store == "graph" for loss in losses)
    before = "copy Memgraph's data directory aside before anything stops it: when it stops it writes an empty snapshot"
    steps = [
        *([before] if graph else []),
        *(commands or ["there is no good backup of it: look at the server's log and its data directory"]),
        "if the owner emptied it on purpose: archon start --accept-counts",
    ]
    raise StoreError(
        f"data are missing: {'; '.join(loss.line for loss in losses)}; the servers were left running",
        todo="\n  ".join(steps),
    )


def compare(now: Mapping[str, Counts], known: Mapping[str, Known], collapsed: float) -> tuple[Loss, ...]:
    """The stores that have lost what they held: less than the share ``collapsed`` of it, or a whole collection.

    A single table or label may well be emptied by its owner; a collection of vectors is the work of weeks. A database
    that is gone, or has no table left, is a loss however little it held.
    """
    losses: list[Loss] = []
    for store, before in known.items():
        if store not in now:
            continue
        have = {part: now[store].get(part, 0) for part in before.counts}
        gone = tuple(part for part, count in before.counts.items() if count >= FEW and not have[part])
        records, had = sum(have.values()), sum(before.counts.values())
        emptied = store == "relational" and had > 0 and not now[store]
        if emptied or (had >= FEW and records < had * collapsed) or (gone and store == "vectors"):
            losses.append(Loss(store, records, had, before.source, gone, before.backup))
    return tuple(losses)


def count(stores: Mapping[StoreName, Store], limit: float = LIMIT) -> tuple[dict[str, Counts], dict[str, str]]:
    """The records of these stores now, and the reasons where one cannot be counted.

    A database that does not exist is both: its server is well, and it holds nothing.
    """
    questions: dict[str, Callable[[], Description]] = {
        name: store.describe for name, store in stores.items() if name in COUNTED
    }
    answers = ask_all(questions, limit)
    counted = {name: one.counts for name, one in answers.items() if isinstance(one, Description)}
    failed = {name: str(one).splitlines()[0] for name, one in answers.items() if isinstance(one, Exception)}
    gone = {name: dict[str, int]() for name, one in answers.items() if DATABASE_GONE.search(str(one))}
    return {**counted, **gone}, failed


def last_known(home: Path, repository: Repository | None) -> dict[str, Known]:
    """What was last known of each store; a repository that does not answer is none."""
    noted = read_counts(home)
    found: dict[str, Known] = {}
    for store in COUNTED:
        backed_up = _of_backup(repository, store) if repository else None
        note = noted.get(store)
        if note is not None and (backed_up is None or note.at > backed_up.at):
            found[store] = Known(note.counts, note.at, note.source, backed_up.backup if backed_up else "")
        elif backed_up is not None:
            found[store] = backed_up
    return found


def _of_backup(repository: Repository, store: StoreName) -> Known | None:
    """Records as captured; what is beside the content (roles) has no fingerprint, and no live count."""
    try:
        manifest = repository.resolve("latest", stores=(store,))
    except BackupNotFound:
        return None
    counts: dict[str, int] = {}
    for artifact in manifest.of_store(store):
        counts |= artifact.counts if artifact.fingerprint else {}
    return Known(counts, manifest.window.start, f"backup {manifest.id}", manifest.id)


# the note


def note_counts(home: Path, counts: Mapping[str, Counts], now: datetime | None = None) -> None:
    """Remember these counts as the last known ones; stores that are not named keep theirs.

    For whoever has just seen the stores *well*: counts noted after a loss would hide it.
    """
    at = (now or datetime.now(UTC)).isoformat(timespec="seconds")
    noted = _read(home) | {store: {"at": at, "counts": dict(parts)} for store, parts in counts.items()}
    file = home / FILE_NAME
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_name(f".{FILE_NAME}.{os.getpid()}")
    try:
        with fresh.open("w") as stream:
            json.dump(noted, stream, indent=1)
            stream.flush()
            os.fsync(stream.fileno())
        fresh.replace(file)
    finally:
        fresh.unlink(missing_ok=True)


def read_counts(home: Path) -> dict[str, Known]:
    """What was noted; a note that cannot be read is none."""
    found: dict[str, Known] = {}
    for store, note in _read(home).items():
        try:
            at = datetime.fromisoformat(note["at"])
            counts = {str(part): int(number) for part, number in note["counts"].items()}
            found[store] = Known(counts, at if at.tzinfo else at.replace(tzinfo=UTC), f"the count of {note['at']}")
        except (KeyError, TypeError, ValueError, AttributeError):
            continue
    return found


def _read(home: Path) -> dict[str, Any]:
    try:
        noted = json.loads((home / FILE_NAME).read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return noted if isinstance(noted, dict) else {}
