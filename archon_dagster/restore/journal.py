"""What a restore is doing, on disk, so that one that was killed is noticed and can be finished or undone.

One small JSON file in the control plane's home, written atomically at every step and removed at a clean end.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from archon_dagster.errors import ConfigurationError
from archon_dagster.platform.settings import Settings
from archon_dagster.restore.request import command


@dataclass(frozen=True)
class Journal:
    """The state of a restore that has begun to change things.

    :param backup: the backup being restored.
    :param safety: the safety backup taken before, if any; restoring it undoes the restore.
    :param step: the step that was running.
    :param only: the stores that were asked for; empty: all of the backup.
    :param touched: stores whose live data may already be those of the backup, or neither.
    :param stopped: services the restore stopped and has to start again.
    :param options: more words of its command: where it went, and what part of a store it concerned.
    :param by: home of the control plane that restored into this platform, where that is another one.
    """

    backup: str
    step: str
    started: str
    only: tuple[str, ...] = ()
    stopped: tuple[str, ...] = ()
    safety: str | None = None
    touched: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    by: str = ""

    @property
    def advice(self) -> str:
        """The commands that finish or undo what was interrupted."""
        here = f"ARCHON_HOME={shlex.quote(self.by)} " if self.by else ""
        finish = f"{here}{command(self.backup, self.only, self.options)}"
        if self.safety is None:
            return f"finish it: {finish}"
        return f"finish it: {finish}; or go back: {here}{command(self.safety, options=self.options)}"


class JournalFile:
    """The journal on disk; ``None`` when no restore is in progress or was interrupted."""

    def __init__(self, settings: Settings):
        self.path: Path = settings.home / "restore.json"

    def begin(
        self, backup: str, step: str, only: tuple[str, ...] = (), options: tuple[str, ...] = (), by: str = ""
    ) -> Journal:
        """Start a journal; see :class:`Journal`.

        What an interrupted restore left is carried over until a restore has mended it: what it had stopped, what it
        had touched, and above all its safety backup, the only one that holds what was there before all of this.

        :raises ConfigurationError: the interrupted one concerned another part of a store, or came from elsewhere: its
            safety backup would be no way back from this one.
        """
        before, now = self.read(), datetime.now(UTC).isoformat(timespec="seconds")
        journal = Journal(backup, step, now, only, options=options, by=by)
        if before is None:
            return self._write(journal)
        if (before.options, before.by) != (options, by):
            raise ConfigurationError(
                f"the restore of {before.backup} was interrupted at '{before.step}' and comes first",
                where=str(self.path),
                todo=f"{before.advice}; where neither can be done any more, remove that file",
            )
        return self._write(replace(journal, stopped=before.stopped, safety=before.safety, touched=before.touched))

    def put_back(self, before: Journal | None) -> None:
        """This restore has changed nothing in the end: an interrupted one before it is still interrupted."""
        if before is None:
            self.end()
        else:
            self._write(before)

    def settle(self, journal: Journal, mended: Iterable[str]) -> None:
        """A restore has succeeded for the stores ``mended``; what an earlier one left in others is still noted."""
        rest = tuple(name for name in journal.touched if name not in set(mended))
        if rest:
            self._write(replace(journal, touched=rest, stopped=(), step=f"restore {rest[0]}"))
        else:
            self.end()

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
        data |= {name: tuple(data.get(name, ())) for name in ("stopped", "touched", "only", "options")}
        return Journal(**data)

    def _write(self, journal: Journal) -> Journal:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_suffix(".new")
        try:
            with temporary.open("w") as file:
                json.dump(asdict(journal), file)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self.path)
        except OSError:
            temporary.unlink(missing_ok=True)  # of a full disk
            raise
        return journal
