"""Names of files that are being written, which tell whether their writer still lives."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

from archon_dagster.repository.identity import certainly_dead, from_token, this_process

_EXTENSION = ".tmp"
_STALE_AFTER = timedelta(days=1)  # for writers of which nothing is known


def temporary_name() -> str:
    """A new name; it starts with a dot and carries the identity of this process."""
    return f".{uuid.uuid4().hex[:16]}.{this_process().token}{_EXTENSION}"


def is_stale(path: Path, now: datetime) -> bool:
    """Whether a file is the leftover of a writer that is certainly dead, or too old to be anything else."""
    if not (path.name.startswith(".") and path.name.endswith(_EXTENSION)):
        return False
    writer = from_token(path.name.removesuffix(_EXTENSION).rpartition(".")[2])
    if writer is not None and certainly_dead(writer):
        return True
    try:
        return now - datetime.fromtimestamp(path.stat().st_mtime, UTC) > _STALE_AFTER
    except FileNotFoundError:
        return False
