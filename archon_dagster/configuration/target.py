"""The platform's own ``.env``; how it is read and replaced, :mod:`archon_dagster.platform.env_file` says."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

from archon_dagster.platform.env_file import read, write
from archon_dagster.platform.settings import Settings

__all__ = ["digest", "env_file", "read", "sweep", "write"]

_LEFT_FOR = 60.0  # seconds after which a half-written temporary file is nobody's any more


def env_file(settings: Settings) -> Path:
    """The file that the platform reads."""
    return settings.project_dir / ".env"


def digest(content: bytes | None) -> str:
    """What identifies a file's content; empty for a file that is not there."""
    return "" if content is None else hashlib.sha256(content).hexdigest()


def sweep(path: Path) -> None:
    """Remove the temporary files of writers that were killed: they may hold secrets."""
    for left in path.parent.glob(f".{path.name}.*"):
        try:
            if time.time() - left.stat().st_mtime > _LEFT_FOR:
                left.unlink()
        except FileNotFoundError:
            continue
