"""Response times and verdicts of every service, bounded by count and by age, in one SQLite file in the home.

WAL mode, one short transaction for each round: a killed process loses at most its last round. A damaged file is set
aside and begun anew, which the log says: history is nice to have, and must never keep the monitor from its work.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from archon_dagster.health.samples import Sample

T = TypeVar("T")

log = logging.getLogger(__name__)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS samples (
  service TEXT NOT NULL, at REAL NOT NULL, seconds REAL, verdict TEXT NOT NULL, detail TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS samples_by_service ON samples (service, at);
"""
_WAIT = 2.0  # seconds for another process's transaction
_LONGEST = 300  # characters of a detail
_TRIM_EVERY = 50  # rows beyond the bound before it is enforced


@dataclass(frozen=True, slots=True)
class Point:
    """One sample as kept; ``seconds`` is ``None`` where there was no answer."""

    at: float
    seconds: float | None
    verdict: str
    detail: str


@dataclass(frozen=True, slots=True)
class Summary:
    """A service over a while. ``p50`` and ``p95`` in seconds, ``None`` where nothing was answered."""

    samples: int
    unhealthy: int
    p50: float | None
    p95: float | None


class History:
    """The samples of one home.

    :param keep: samples of each service. :param days: and no older than that.
    """

    def __init__(self, home: Path, keep: int = 20_160, days: float = 7.0):
        self.path = home / "health" / "history.db"
        self._keep, self._seconds = keep, days * 86_400.0

    def add(self, samples: Iterable[Sample], now: float) -> None:
        """Keep these samples, and forget what is beyond the bounds."""
        rows = [(s.service, s.at, s.seconds, s.verdict, s.text[:_LONGEST]) for s in samples]

        def write(connection: sqlite3.Connection) -> None:
            with connection:
                connection.executemany("INSERT INTO samples VALUES (?, ?, ?, ?, ?)", rows)
                connection.execute("DELETE FROM samples WHERE at < ?", (now - self._seconds,))
                for service in {row[0] for row in rows}:
                    self._trim(connection, service)

        self._do(write, None)

    def _trim(self, connection: sqlite3.Connection, service: str) -> None:
        (count,) = connection.execute("SELECT count(*) FROM samples WHERE service = ?", (service,)).fetchone()
        if count > self._keep + min(_TRIM_EVERY, self._keep):
            connection.execute(
                "DELETE FROM samples WHERE rowid IN (SELECT rowid FROM samples WHERE service = ? ORDER BY at LIMIT ?)",
                (service, count - self._keep),
            )

    def of(self, service: str, since: float = 0.0, limit: int = 10_000) -> list[Point]:
        """The newest samples of a service, oldest first."""

        def ask(connection: sqlite3.Connection) -> list[Point]:
            rows = connection.execute(
                "SELECT at, seconds, verdict, detail FROM samples WHERE service = ? AND at >= ? "
                "ORDER BY at DESC LIMIT ?",
                (service, since, limit),
            )
            return [Point(*row) for row in rows][::-1]

        return self._do(ask, [])

    def summary(self, service: str, since: float = 0.0) -> Summary:
        """How fast a service was, and how often it was not well."""
        points = self.of(service, since)
        times = sorted(point.seconds for point in points if point.seconds is not None)
        unhealthy = sum(point.verdict == "unhealthy" for point in points)
        return Summary(len(points), unhealthy, _quantile(times, 0.5), _quantile(times, 0.95))

    def _do(self, work: Callable[[sqlite3.Connection], T], otherwise: T) -> T:
        for _ in range(2):
            try:
                with self._open() as connection:
                    return work(connection)
            except sqlite3.OperationalError as error:  # locked, or the disk is full: the file is not to blame
                log.warning("the history of health samples could not be used, this round is not in it: %s", error)
                return otherwise
            except sqlite3.DatabaseError as error:
                self._set_aside(error)
        return otherwise

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self.path, timeout=_WAIT)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.executescript(_SCHEMA)
            yield connection

    def _set_aside(self, error: sqlite3.DatabaseError) -> None:
        aside = self.path.with_name(f"{self.path.name}.damaged")
        log.warning("%s was damaged and is begun anew, what was there is in %s: %s", self.path, aside, error)
        for suffix in ("-wal", "-shm"):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
        self.path.replace(aside)


def _quantile(times: list[float], share: float) -> float | None:
    return times[min(len(times) - 1, int(len(times) * share))] if times else None
