"""What a restore is doing, on disk, so that one that was killed is noticed and can be finished or undone.

One small JSON file in the control plane's home, written atomically at every step and removed at a clean end. A restore
that has succeeded leaves another one, ``restored.json``: what was counted before it says nothing any more.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from archon_dagster.errors import ConfigurationError
from archon_dagster.platform import whole_files
from archon_dagster.platform.settings import Settings
from archon_dagster.restore.request import command

_NAME, _SUCCESS = "restore.json", "restored.json"


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
    def what(self) -> str:
        """Which restore, and how far it came."""
        where = f" into {self.options[self.options.index('--target') + 1]}" if "--target" in self.options else ""
        return f"restore of {self.backup}{where} at '{self.step}'"

    @property
    def advice(self) -> str:
        """The commands that finish or undo what was interrupted."""
        here = _home_of(self.by)
        finish = f"{here}{command(self.backup, self.only, self.options)}"
        if self.safety is None:
            return f"finish it: {finish}"
        return f"finish it: {finish}; or go back: {here}{command(self.safety, options=self.options)}"


class Restored(BaseModel):
    """The last restore into this platform that succeeded.

    :param stores: what it has put back. :param by: home of the control plane it was done from, if not this one.
    :param undo: the command that goes back to what was there before; empty where there is none.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    backup: str
    at: AwareDatetime
    stores: tuple[str, ...] = ()
    by: str = ""
    undo: str = ""


class JournalFile:
    """The journal on disk; ``None`` when no restore is in progress or was interrupted."""

    def __init__(self, settings: Settings):
        self.path: Path = settings.home / _NAME

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
        mended = tuple(mended)
        self._note_success(journal, mended)
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
        return _read(self.path)

    def last(self) -> Restored | None:
        """The last restore that has succeeded here, as far as that is known."""
        try:
            return Restored.model_validate_json(self.path.with_name(_SUCCESS).read_bytes())
        except (OSError, ValidationError):
            return None

    def _note_success(self, journal: Journal, stores: tuple[str, ...]) -> None:
        undo = f"{_home_of(journal.by)}{command(journal.safety, options=journal.options)}" if journal.safety else ""
        done = Restored(backup=journal.backup, at=datetime.now(UTC), stores=stores, by=journal.by, undo=undo)
        with suppress(OSError):  # of a full disk: the restore has succeeded all the same
            whole_files.replace(self.path.with_name(_SUCCESS), done.model_dump_json(indent=1).encode())

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


def interrupted_elsewhere(home: Path) -> list[Journal]:
    """Restores that were begun from this home, into servers that have none, and have not come to an end."""
    found = (_read(path) for path in sorted(home.glob(f"targets/*/{_NAME}")))
    return [journal for journal in found if journal is not None]


def _read(path: Path) -> Journal | None:
    try:
        data = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return None
    data |= {name: tuple(data.get(name, ())) for name in ("stopped", "touched", "only", "options")}
    return Journal(**data)


def _home_of(by: str) -> str:
    """What a command has to begin with so that it works on another home."""
    return f"ARCHON_HOME={shlex.quote(by)} " if by else ""
