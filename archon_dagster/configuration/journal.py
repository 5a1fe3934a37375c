"""What a change of the configuration is doing, on disk, so that one that was killed is noticed.

One small file, written before anything is touched and at every step, removed at a clean end. Whoever finds it looks at
the file itself: it is the old one or the new one, as a whole.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, TypeAdapter

from archon_dagster.configuration.target import digest
from archon_dagster.platform import whole_files


class Journal(BaseModel):
    """A change that has begun.

    :param record: its id in the history, which has both files. :param source: the new file, for people.
    :param before, after: digests of both files; empty: no file.
    :param services: services whose environment may be that of either.
    :param well: services that were well before it.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    record: str
    source: str
    step: str
    before: str
    after: str
    services: tuple[str, ...] = ()
    well: tuple[str, ...] = ()

    def says(self, content: bytes | None) -> str:
        """Which file is in place."""
        now = digest(content)
        if now == self.after and now != self.before:
            return "the new file is in place, as a whole"
        if now == self.before:
            return "the old file is in place, as a whole"
        return "neither the old nor the new file is in place: somebody has changed it since"

    @property
    def what(self) -> str:
        """Which change, and how far it came."""
        return f"a change of the configuration{f' to {self.source}' if self.source else ''} at '{self.step}'"

    @property
    def advice(self) -> str:
        """The commands that finish or undo it."""
        back = "go back to the file before: archon config undo --confirm APPLY"
        return f"finish it: archon config apply {self.source} --confirm APPLY; or {back}" if self.source else back


_KIND: TypeAdapter[Journal] = TypeAdapter(Journal)


class JournalFile:
    """The journal of one platform, by the control plane's home."""

    def __init__(self, home: Path):
        self.path = home / "configuration" / "journal.json"

    def read(self) -> Journal | None:
        """The change in progress, or the one that was killed."""
        return whole_files.read(self.path, _KIND)

    def write(self, journal: Journal) -> Journal:
        whole_files.write(self.path, _KIND, journal)
        return journal

    def end(self) -> None:
        self.path.unlink(missing_ok=True)
