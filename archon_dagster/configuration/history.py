"""The changes that were made, newest first, each with the file before and after it, exactly.

::

    <home>/configuration/history/<id>/record.json   when, what, who, how it ended; no secret in it
                                     before.env     the file that was there, byte for byte
                                     after.env      the file that was put there
    <home>/configuration/known.env                  the file as it was when it was last known

The files hold secrets: directories are for their owner only, and so are files. Only the newest are kept.
"""

from __future__ import annotations

import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from archon_dagster.configuration.diff import Difference
from archon_dagster.errors import ConfigurationError
from archon_dagster.platform import whole_files

KEPT = 30  # changes
Result = Literal["begun", "applied", "returned", "failed", "seen"]
"""``returned``: it failed, and the file before is back; ``failed``: and its services are not well either; ``seen``:
somebody else has changed the file."""

Origin = Literal["dagster", "terminal", "hand"]
_ID = re.compile(r"\d{8}T\d{12}Z-[0-9a-f]{6}")  # to the microsecond: sorted by name, they are in order


class Record(BaseModel):
    """One change.

    :param kind: what was asked for: ``apply``, ``undo`` or ``by hand``.
    :param source: where the new file came from, for people.
    :param changed: what changed, a line each, secrets masked.
    :param services: the services that were replaced.
    :param detail: why it did not succeed.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    id: str
    at: AwareDatetime
    kind: Literal["apply", "undo", "by hand"]
    origin: Origin
    source: str = ""
    changed: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    result: Result = "begun"
    detail: str = ""
    seconds: float = 0.0


class History:
    """The history of one platform, by the control plane's home."""

    def __init__(self, home: Path, kept: int = KEPT):
        self.folder, self._kept = home / "configuration" / "history", kept
        self._known = home / "configuration" / "known.env"

    def begin(
        self, kind: Literal["apply", "undo", "by hand"], origin: Origin, source: str,
        before: bytes | None, after: bytes | None, difference: Difference,
    ) -> Record:  # fmt: skip
        """Save both files, then the record; from now on there is a way back."""
        now = datetime.now(UTC)
        record = Record(
            id=f"{now:%Y%m%dT%H%M%S%fZ}-{secrets.token_hex(3)}",
            at=now,
            kind=kind,
            origin=origin,
            source=source,
            changed=tuple(difference.lines),
        )
        directory = self._private(self.folder / record.id)
        for name, content in (("before.env", before), ("after.env", after)):
            if content is not None:
                whole_files.replace(directory / name, content)
        self._write(record)
        return record

    def end(self, record: Record, result: Result, **more: object) -> Record:
        """Note how a change has ended, and forget the oldest ones."""
        ended = record.model_copy(update={"result": result, **more})
        self._write(ended)
        self._prune()
        return ended

    def all(self) -> list[Record]:
        """Every change that is kept, newest first; one whose record is damaged is left out."""
        return list(self._records())

    def get(self, change: str) -> Record:
        """One change by its id, or a unique beginning of it."""
        found = [one for one in self._records() if change and one.id.startswith(change)]
        if len(found) != 1:
            raise ConfigurationError(
                f"there is no change {change!r}"
                if not found
                else f"{change!r} is the beginning of {len(found)} changes",
                where=str(self.folder),
                todo="list them: archon config history",
            )
        return found[0]

    def before(self, record: Record) -> bytes | None:
        """The file that was there; ``None``: there was none."""
        return self._content(record, "before.env")

    def after(self, record: Record) -> bytes | None:
        return self._content(record, "after.env")

    # the file as it was last known

    def known(self) -> bytes | None:
        """The file as it was when it was last known."""
        return self._known.read_bytes() if self._known.is_file() else None

    def note_known(self, content: bytes | None) -> None:
        """Remember the file as it is now."""
        self._private(self._known.parent)
        if content is None:
            self._known.unlink(missing_ok=True)
        else:
            whole_files.replace(self._known, content)

    def _content(self, record: Record, name: str) -> bytes | None:
        file = self.folder / record.id / name
        return file.read_bytes() if file.is_file() else None

    def _write(self, record: Record) -> None:
        whole_files.replace(self.folder / record.id / "record.json", record.model_dump_json(indent=1).encode())

    def _records(self) -> Iterator[Record]:
        for directory in self._directories():
            with suppress(OSError, ValidationError):
                yield Record.model_validate_json((directory / "record.json").read_bytes())

    def _directories(self) -> list[Path]:
        if not self.folder.is_dir():
            return []
        return sorted((one for one in self.folder.iterdir() if _ID.fullmatch(one.name)), reverse=True)

    def _prune(self) -> None:
        for directory in self._directories()[self._kept :]:
            shutil.rmtree(directory, ignore_errors=True)

    @staticmethod
    def _private(directory: Path) -> Path:
        for one in (directory.parent, directory):
            one.mkdir(mode=0o700, parents=True, exist_ok=True)
            one.chmod(0o700)
        return directory
