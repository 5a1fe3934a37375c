"""Which files belong to the platform's configuration, and what identifies one.

Covered are ``.env*``, ``docker-compose*.y*ml`` and ``compose*.y*ml`` beside each other in the project directory, and
everything below ``config/``. Links are recorded as links and never followed; those that lead out of the project
directory, special files and very large files are not covered and are left alone by a restore.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

from archon_dagster.errors import StoreError
from archon_dagster.repository.manifest import Fingerprint
from archon_dagster.stores.configuration.redaction import Redacted, is_env, redact
from archon_dagster.stores.digest import Multiset

LARGEST = 16 * 1024 * 1024  # bytes
FOLDER = "config"
_PATTERNS = (".env*", "docker-compose*.y*ml", "compose*.y*ml")


@dataclass(frozen=True, slots=True)
class Entry:
    """One covered file or link.

    :param path: relative to the project directory, with forward slashes.
    :param link: where a link leads, as written in it; empty for a file.
    """

    path: str
    mode: int
    link: str = ""


@dataclass(frozen=True, slots=True)
class Scan:
    """:param entries: what is covered, in the order of paths; :param left_out: path and reason for what is not."""

    entries: tuple[Entry, ...]
    left_out: tuple[tuple[str, str], ...]


def scan(project: Path) -> Scan:
    """Look through a project directory; one that does not exist has no files."""
    entries: list[Entry] = []
    left_out: list[tuple[str, str]] = []
    for path in sorted(_candidates(project), key=lambda path: path.relative_to(project).as_posix()):
        entry = _entry(project, path)
        if isinstance(entry, Entry):
            entries.append(entry)
        else:
            left_out.append((path.relative_to(project).as_posix(), entry))
    return Scan(tuple(entries), tuple(left_out))


def is_covered(path: str) -> bool:
    """Whether a path may belong to a configuration backup; anything else in one is refused."""
    pure = PurePosixPath(path)
    if not path or pure.is_absolute() or ".." in pure.parts or "\\" in path or str(pure) != path:
        return False
    in_folder = pure.parts[0] == FOLDER
    return in_folder or (len(pure.parts) == 1 and any(fnmatch(path, pattern) for pattern in _PATTERNS))


def leads_out(path: str, link: str) -> bool:
    """Whether a link leads out of the project directory, going by its text alone."""
    depth = len(PurePosixPath(path).parts) - 1
    if PurePosixPath(link).is_absolute():
        return True
    for part in PurePosixPath(link).parts:
        depth += -1 if part == ".." else 1
        if depth < 0:
            return True
    return False


def mode_of(path: str, mode: int) -> int:
    """The permissions a file is stored and restored with; ``.env`` files are for their owner only."""
    return 0o600 if is_env(path) else stat.S_IMODE(mode) & 0o777


def read(project: Path, entry: Entry) -> bytes:
    """The content of a covered file; raises :class:`StoreError` where it cannot be read."""
    try:
        # a link that took the file's place since the scan is not followed
        descriptor = os.open(project / entry.path, os.O_RDONLY | os.O_NOFOLLOW)
        with os.fdopen(descriptor, "rb") as stream:
            return stream.read(LARGEST + 1)
    except OSError as error:
        raise StoreError(
            f"a configuration file cannot be read: {error.strerror}",
            where=str(project / entry.path),
            todo="make it readable for the user that runs this, or move it out of the project directory",
        ) from error


class Inventory:
    """The fingerprint of a set of files: ``files`` for all of them and ``file <path>`` for each."""

    def __init__(self) -> None:
        self._all, self._each = Multiset(), dict[str, Multiset]()

    def add(self, entry: Entry, redacted: Redacted | None) -> None:
        """Add a file by its redacted content, or a link."""
        what = f"link:{entry.link}" if redacted is None else hashlib.sha256(redacted.content).hexdigest()
        record = "\0".join((entry.path, "" if redacted is None else f"{entry.mode:o}", what)).encode()
        self._all.add(record)
        self._each.setdefault(entry.path, Multiset()).add(record)

    @property
    def count(self) -> int:
        return self._all.count

    @property
    def fingerprint(self) -> Fingerprint:
        each = {f"file {path}": digest.part() for path, digest in sorted(self._each.items())}
        return Fingerprint(parts={"files": self._all.part()} | each)


def contents(project: Path, entries: tuple[Entry, ...]) -> Iterator[tuple[Entry, Redacted | None]]:
    """Every entry with its redacted content; links have none."""
    for entry in entries:
        yield entry, None if entry.link else redact(entry.path, read(project, entry))


def _candidates(project: Path) -> Iterator[Path]:
    for pattern in _PATTERNS:
        yield from project.glob(pattern)
    folder = project / FOLDER
    if folder.is_symlink() or folder.is_file():
        yield folder
        return
    for directory, folders, names in os.walk(folder, onerror=_unreadable):
        here = Path(directory)
        yield from (here / name for name in names)
        yield from (here / name for name in folders if (here / name).is_symlink())


def _unreadable(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise StoreError(
            f"a configuration folder cannot be read: {error.strerror}", where=str(error.filename)
        ) from error


def _entry(project: Path, path: Path) -> Entry | str:
    """A covered file or link, or the reason why it is not covered."""
    relative, status = path.relative_to(project).as_posix(), path.lstat()
    if stat.S_ISLNK(status.st_mode):
        target = str(path.readlink())
        return f"a link out of the project directory, to {target}" if leads_out(relative, target) else Entry(
            relative, 0o777, target)  # fmt: skip
    if not stat.S_ISREG(status.st_mode):
        return "not a regular file"
    if status.st_size > LARGEST:
        return f"larger than {LARGEST // 2**20} MiB"
    return Entry(relative, mode_of(relative, status.st_mode))
