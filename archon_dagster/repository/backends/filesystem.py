"""Objects as files under one directory, safe against kill and power loss.

A write goes to a temporary name in the same directory, is synced, and appears by ``rename`` (or ``link``, where it
must not replace anything). The directories themselves are synced by :meth:`FilesystemBackend.barrier`, many at once.
A temporary name carries its writer's identity, so that the leftovers of a killed writer can be told from work in
progress. Compare-and-swap holds an advisory lock (released by the kernel when its holder dies) around compare and
rename. Works on any POSIX filesystem; where hard links are missing the advisory lock takes their place.
"""

from __future__ import annotations

import contextlib
import copy
import errno
import hashlib
import os
import stat
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from archon_dagster.repository.backends.base import (
    Buffer,
    Check,
    ObjectChanged,
    ObjectExists,
    ObjectInfo,
    ObjectNotFound,
    ObjectUnreadable,
    StoredObject,
    both,
    checked_key,
    no_check,
)
from archon_dagster.repository.backends.filesystem_errors import READ, explained
from archon_dagster.repository.backends.guard import guard
from archon_dagster.repository.backends.temporary import is_stale, temporary_name

_SWAPPABLE = 64 << 10  # bytes; objects up to this size can be written conditionally
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}

Step = Callable[[str, Path], None]


def _no_step(_step: str, _path: Path) -> None: ...


class FilesystemBackend:
    """A directory as a :class:`~archon_dagster.repository.backends.base.Backend`.

    :param on_step: called before every system call that changes something, with its name and path: the seam where
        tests kill the process or let the disk be full.
    """

    def __init__(self, root: Path, *, on_step: Step = _no_step, threads: int = 8):
        self.root = root
        self._step = on_step
        self._threads = threads
        self._check: Check = no_check
        self._unsynced: set[Path] = set()
        self._mutex = threading.Lock()

    whole = False

    def heeding(self, check: Check) -> FilesystemBackend:
        """Looks at the check between the calls of the system, which no one can interrupt."""
        heeding = copy.copy(self)
        heeding._check = both(self._check, check)
        return heeding

    def describe(self) -> str:
        return str(self.root)

    # reading

    def get(self, key: str, *, limit: int | None = None) -> StoredObject:
        path = self._path(key)
        with explained(READ, path), self._opened(path, key) as stream:
            status = os.fstat(stream.fileno())
            if limit is not None and status.st_size > limit:
                raise ObjectUnreadable(
                    f"{key} is {status.st_size} bytes, at most {limit} belong there", where=self.describe()
                )
            data = stream.read()
        modified = datetime.fromtimestamp(status.st_mtime, UTC)
        return StoredObject(data, ObjectInfo(key, len(data), modified, _etag(data)))

    def read_start(self, key: str, size: int) -> bytes:
        path = self._path(key)
        with explained(READ, path), self._opened(path, key) as stream:
            return stream.read(size)

    def exists(self, key: str) -> ObjectInfo | None:
        path = self._path(key)
        with explained("look at", path):
            try:
                return _info(key, path.stat())
            except (FileNotFoundError, NotADirectoryError):
                return None

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        folder, _, start = prefix.rpartition("/")
        base = self._path(folder) if folder else self.root
        with explained("list", base):
            yield from self._walk(base, f"{folder}/" if folder else "", start)

    def _walk(self, folder: Path, key: str, start: str) -> Iterator[ObjectInfo]:
        self._check()
        try:
            entries = os.scandir(folder)
        except (FileNotFoundError, NotADirectoryError):
            return
        with entries:
            for entry in entries:
                if entry.name.startswith(".") or not entry.name.startswith(start):
                    continue
                if entry.is_dir():
                    yield from self._walk(Path(entry.path), f"{key}{entry.name}/", "")
                else:
                    with contextlib.suppress(FileNotFoundError):  # deleted while we look
                        yield _info(key + entry.name, entry.stat())

    def now(self) -> datetime:
        """The time a new file gets. Where none can be made nothing can be decided by it either: the host's time."""
        if not os.access(self.root, os.W_OK):
            return datetime.now(UTC)
        self._make_directory(self.root / "locks")
        probe = self.root / "locks" / temporary_name()
        with explained("read the clock of", probe):
            descriptor = os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
            try:
                return datetime.fromtimestamp(os.fstat(descriptor).st_mtime, UTC)
            finally:
                os.close(descriptor)
                probe.unlink(missing_ok=True)

    # writing

    def put(self, key: str, data: Buffer, *, if_absent: bool = False) -> str:
        path = self._path(key)
        with explained("write", path), self._written(path, data) as temporary:
            if if_absent:
                self._create(temporary, path, key)
            else:
                self._step("rename", path)
                temporary.rename(path)
        self._note(path.parent)
        return _etag(data)

    def replace(self, key: str, data: Buffer, *, if_match: str) -> str:
        path = self._path(key)
        with explained("write", path), self._written(path, data) as temporary, self._guard():
            self._require(path, key, if_match)
            self._step("rename", path)
            temporary.rename(path)
        self._note(path.parent)
        return _etag(data)

    def touch(self, key: str, *, if_match: str) -> None:
        path = self._path(key)
        with explained("touch", path), self._guard():
            self._require(path, key, if_match)
            self._step("touch", path)
            os.utime(path)

    def delete(self, key: str) -> None:
        path = self._path(key)
        with explained("delete", path):
            self._step("delete", path)
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                path.unlink()
        self._note(path.parent)

    def barrier(self, keys: Iterable[str] = ()) -> None:
        parents = {key.rpartition("/")[0] for key in keys}
        with self._mutex:
            folders = set(self._unsynced)
            self._unsynced.clear()
        for parent in parents:
            folders |= self._lineage(self.root / parent)
        try:
            with ThreadPoolExecutor(self._threads, thread_name_prefix="fsync") as pool:
                list(pool.map(self._sync_directory, sorted(folders)))
        except BaseException:
            with self._mutex:
                self._unsynced.update(folders)
            raise

    def sweep(self, prefix: str) -> int:
        base = self._path(prefix.strip("/")) if prefix.strip("/") else self.root
        now = self.now()
        swept = 0
        with explained("clean up", base):
            for folder, _, names in os.walk(base):
                self._check()
                for name in names:
                    path = Path(folder, name)
                    if is_stale(path, now):
                        path.unlink(missing_ok=True)
                        swept += 1
        return swept

    # inside

    def _path(self, key: str) -> Path:
        return self.root / checked_key(key)

    def _opened(self, path: Path, key: str) -> BinaryIO:
        self._check()
        try:
            # not blocking, so that a pipe put in an object's place cannot hang us
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise ObjectNotFound(f"there is no {key} in the repository", where=self.describe()) from error
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise ObjectUnreadable(f"{key} is not a file", where=str(path), todo="remove what was put in its place")
        return os.fdopen(descriptor, "rb")

    @contextlib.contextmanager
    def _written(self, path: Path, data: Buffer) -> Iterator[Path]:
        """The data, synced, under a temporary name beside ``path``; gone afterwards unless renamed."""
        self._check()
        temporary = path.parent / temporary_name()
        try:
            self._step("create", path)
            descriptor = self._create_temporary(temporary)
            try:
                self._step("write", path)
                _write_all(descriptor, data)
                self._step("sync", path)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)

    def _create_temporary(self, temporary: Path) -> int:
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
        try:
            return os.open(temporary, flags, 0o600)
        except FileNotFoundError:
            self._make_directory(temporary.parent)
            return os.open(temporary, flags, 0o600)

    def _make_directory(self, folder: Path) -> None:
        """Create a directory below the root, never the root: it may be a disk that is not mounted right now."""
        if folder == self.root or folder.is_dir():
            return
        self._make_directory(folder.parent)
        self._step("mkdir", folder)
        with explained("create", folder), contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        self._note(folder.parent)

    def _create(self, temporary: Path, path: Path, key: str) -> None:
        self._step("link", path)
        try:
            os.link(temporary, path)
        except FileExistsError as error:
            raise ObjectExists(f"{key} exists already", where=self.describe()) from error
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            with self._guard():
                if path.exists():
                    raise ObjectExists(f"{key} exists already", where=self.describe()) from error
                temporary.rename(path)

    def _require(self, path: Path, key: str, etag: str) -> None:
        try:
            current = _etag(path.read_bytes())
        except FileNotFoundError:
            current = "nothing"
        if not etag or current != etag:
            raise ObjectChanged(f"{key} was changed by somebody else", where=self.describe())

    def _guard(self) -> AbstractContextManager[None]:
        """Exclude every other compare-and-swap on this directory, in all processes."""
        self._make_directory(self.root / "locks")
        return guard(self.root / "locks" / ".guard", self._check)

    def _note(self, folder: Path) -> None:
        with self._mutex:
            self._unsynced.add(folder)

    def _lineage(self, folder: Path) -> set[Path]:
        return {folder, *(parent for parent in folder.parents if parent.is_relative_to(self.root))}

    def _sync_directory(self, folder: Path) -> None:
        self._check()
        with explained("sync", folder):
            self._step("sync directory", folder)
            try:
                descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            except FileNotFoundError:
                return  # removed since; there is nothing left in it to lose
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def _write_all(descriptor: int, data: Buffer) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _etag(data: Buffer) -> str:
    """Content digest of what may be swapped; larger objects never are, and hashing them would cost every chunk."""
    return hashlib.sha256(data).hexdigest()[:32] if len(data) <= _SWAPPABLE else ""


def _info(key: str, status: os.stat_result) -> ObjectInfo:
    etag = f"{status.st_ino:x}-{status.st_mtime_ns:x}-{status.st_size:x}"
    return ObjectInfo(key, status.st_size, datetime.fromtimestamp(status.st_mtime, UTC), etag)
