"""The platform's own ``.env``: read, and replaced in one step; at any moment there is one whole file.

A crash leaves the old file or the new one. It is for its owner only, as secrets are in it.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from pathlib import Path

from archon_dagster.errors import ConfigurationError
from archon_dagster.platform import whole_files
from archon_dagster.platform.settings import Settings

MODE = 0o600
_LEFT_FOR = 60.0  # seconds after which a half-written temporary file is nobody's any more


def env_file(settings: Settings) -> Path:
    """The file that the platform reads."""
    return settings.project_dir / ".env"


def digest(content: bytes | None) -> str:
    """What identifies a file's content; empty for a file that is not there."""
    return "" if content is None else hashlib.sha256(content).hexdigest()


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
            whole_files.replace(path, content)
            if owner is not None and (owner.st_uid, owner.st_gid) != (os.getuid(), os.getgid()):
                os.chown(path, owner.st_uid, owner.st_gid)
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


def sweep(path: Path) -> None:
    """Remove the temporary files of writers that were killed: they may hold secrets."""
    for left in path.parent.glob(f".{path.name}.*"):
        try:
            if time.time() - left.stat().st_mtime > _LEFT_FOR:
                left.unlink()
        except FileNotFoundError:
            continue
