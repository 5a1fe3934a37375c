"""A platform's ``.env``: read, and replaced in one step; at any moment there is one whole file.

A crash leaves the old file or the new one. It is for its owner only, as secrets are in it, and its owner stays who it
was. A link is refused: what replaces it would be another file than the one that everybody else reads.
"""

from __future__ import annotations

import stat
from pathlib import Path

from archon_dagster.errors import ConfigurationError
from archon_dagster.platform import whole_files


def read(path: Path) -> bytes | None:
    """The bytes; ``None`` where there is no file. Raises :class:`ConfigurationError` for what is no plain file."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(status.st_mode):
        raise ConfigurationError(
            "the platform's configuration is a link or no file, and is not replaced; nothing was touched",
            where=str(path),
            todo="put the file itself there",
        )
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"the platform's configuration cannot be read: {error.strerror}; nothing was touched", where=str(path)
        ) from error


def write(path: Path, content: bytes | None) -> None:
    """Make the file be exactly this, or not be there; raises where it is not so afterwards."""
    owner = path.stat() if path.exists() else None
    try:
        if content is None:
            path.unlink(missing_ok=True)
        else:
            whole_files.replace(path, content, owner=(owner.st_uid, owner.st_gid) if owner else None)
        whole_files.sync_directory(path.parent)
    except OSError as error:
        raise ConfigurationError(
            f"the platform's configuration cannot be written: {error.strerror}; the file is as it was", where=str(path)
        ) from error
    if read(path) != content:
        raise ConfigurationError(
            "somebody else writes the platform's configuration at this moment",
            where=str(path),
            todo="let only one of you change it",
        )
