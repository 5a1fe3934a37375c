"""What a restore is doing, on disk, so that one that was killed is noticed and can be finished or undone.

One small JSON file in the control plane's home, written atomically at every step and removed at a clean end.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from archon_dagster.platform.settings import Settings


@dataclass(frozen=True)
class Journal:
    """The state of a restore that has begun to change things.

    :param backup: the backup being restored.
    :param safety: the safety backup taken before, if any; restoring it undoes the restore.
    :param step: the step that was running.
    :param touched: stores whose live data may already be those of the backup, or neither.
    :param stopped: services the restore stopped and has to start again.
    """

    backup: str
    step: str
    started: str
    stopped: tuple[str, ...] = ()
    safety: str | None = None
    touched: tuple[str, ...] = ()

    @property
    def advice(self) -> str:
        """The commands that finish or undo what was interrupted."""
        finish = f"archon restore {self.backup} --confirm RESTORE"
        if self.safety is None:
            return f"finish it: {finish}"
        return f"finish it: {finish}; or go back: archon restore {self.safety} --confirm RESTORE"


class JournalFile:
    """The journal on disk; ``None`` when no restore is in progress or was interrupted."""

    def __init__(self, settings: Settings):
        self.path: Path = settings.home / "restore.json"

    def begin(self, backup: str, step: str) -> Journal:
        """Start a journal. What an interrupted restore had stopped is carried over, so that it is started again."""
        before = self.read()
        stopped = before.stopped if before else ()
        return self._write(Journal(backup, step, datetime.now(UTC).isoformat(timespec="seconds"), stopped))

    def update(self, journal: Journal, **changes: object) -> Journal:
        """Record a change; returns the new state."""
        return self._write(replace(journal, **changes))  # type: ignore[arg-type]

    def end(self) -> None:
        """The restore came to a clean end, restored or rolled back."""
        self.path.unlink(missing_ok=True)

    def read(self) -> Journal | None:
        """The journal of a restore in progress, or of one that was killed."""
        try:
            data = json.loads(self.path.read_text())
        except (FileNotFoundError, ValueError):
            return None
        data["stopped"], data["touched"] = tuple(data["stopped"]), tuple(data["touched"])
        return Journal(**data)

    def _write(self, journal: Journal) -> Journal:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_suffix(".new")
        with temporary.open("w") as file:
            json.dump(asdict(journal), file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.path)
        return journal
