"""What of a maintenance run is done, in one small file: a killed run's successor goes on after the finished steps."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, TypeAdapter

from archon_dagster.maintenance.step import Result
from archon_dagster.platform.whole_files import read, write

OLDEST = 86_400.0  # seconds; a run begun earlier is not gone on with: its backup no longer says what is there


class Journal(BaseModel):
    """One run. Times are seconds since the epoch.

    :param window: id of the maintenance window that it declared. :param ended: it came to its end, well or not.
    """

    model_config = ConfigDict(frozen=True)

    begun: float
    steps: tuple[str, ...]
    results: dict[str, Result] = {}
    window: str = ""
    ended: float | None = None

    def with_result(self, result: Result) -> Journal:
        """The same, one step further."""
        return self.model_copy(update={"results": {**self.results, result.step: result}})


_FILE: TypeAdapter[Journal] = TypeAdapter(Journal)


def path(home: Path) -> Path:
    """Where the journal is."""
    return home / "maintenance" / "journal.json"


def load(home: Path) -> Journal | None:
    """The journal of the last run; ``None`` where there was none."""
    return read(path(home), _FILE)


def save(home: Path, journal: Journal) -> None:
    """Replace the journal in one step, to the disk."""
    write(path(home), _FILE, journal)


def to_go_on_with(home: Path, steps: tuple[str, ...], now: float) -> Journal | None:
    """The run that was killed, if it asked for the same steps and is not too old."""
    last = load(home)
    if last is None or last.ended is not None or last.steps != steps or not 0 <= now - last.begun < OLDEST:
        return None
    return last
