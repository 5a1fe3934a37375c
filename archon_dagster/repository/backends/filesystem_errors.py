"""What the operating system's refusals mean to an operator."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

from archon_dagster.errors import RepositoryError
from archon_dagster.repository.backends.base import ObjectUnreadable

READ = "read"

# what befalls one file while the disk answers
_OF_ONE_FILE = {errno.EIO, errno.EACCES, errno.EISDIR, errno.ELOOP, errno.EBADMSG}

_MEANINGS = {
    errno.ENOSPC: ("no space is left", "free space or give the repository a larger disk; no backup was harmed"),
    errno.EDQUOT: ("the disk quota is used up", "raise the quota or free space; no backup was harmed"),
    errno.EACCES: ("permission was denied", "let this user read and write the repository's directory"),
    errno.EPERM: ("the operation is not permitted", "let this user own the repository's directory"),
    errno.EROFS: ("the filesystem is read-only", "see in the kernel's log why, and remount it writable"),
    errno.EIO: ("the disk reported an error", "check the disk now; copy the repository elsewhere before anything else"),
    errno.ENOENT: ("the directory has disappeared", "is the disk still mounted? mount it and try again"),
    errno.ENOTDIR: ("a file stands where a directory belongs", "move the file away"),
    errno.EMFILE: ("this process has too many open files", "raise the limit (`ulimit -n`)"),
    errno.ESTALE: ("the network filesystem lost the file", "check the file server and mount it again"),
    errno.ENAMETOOLONG: ("the name is too long", "put the repository into a directory with a shorter path"),
}


@contextlib.contextmanager
def explained(action: str, path: Path) -> Iterator[None]:
    """Turn an ``OSError`` into a :class:`RepositoryError` that says what, where and what to do."""
    try:
        yield
    except OSError as error:
        meaning, todo = _MEANINGS.get(error.errno or 0, (error.strerror or str(error), "see the system's message"))
        kind = ObjectUnreadable if action == READ and error.errno in _OF_ONE_FILE else RepositoryError
        raise kind(f"could not {action} the repository: {meaning}", where=str(path), todo=todo) from error
