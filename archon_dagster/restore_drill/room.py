"""Whether there is space for a second copy of the data: a drill must not fill the disk that the platform lives on."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from archon_dagster.backup.summary import size_text
from archon_dagster.errors import ConfigurationError
from archon_dagster.repository.manifest import Manifest
from archon_dagster.stores.base import StoreName

TIMES = 3  # of what is restored: a snapshot needs that while it loads
FLOOR = 512 * 2**20  # bytes that empty servers take, and that must stay free


def need(manifest: Manifest, names: Sequence[StoreName]) -> int:
    """Bytes a drill may take."""
    return TIMES * sum(artifact.size for name in names for artifact in manifest.of_store(name)) + FLOOR


def is_room(disk: Path, needed: int) -> bool:
    return shutil.disk_usage(disk).free >= needed


def require_room(disk: Path, needed: int) -> None:
    """:class:`ConfigurationError` where the disk has not so much left."""
    if not is_room(disk, needed):
        raise ConfigurationError(
            f"there is no room for a drill: it may take {size_text(needed)}, and {size_text(_free(disk))} are free; "
            "nothing was begun",
            where=str(disk),
            todo="free space there, or drill fewer stores: --only relational",
        )


def _free(disk: Path) -> int:
    return shutil.disk_usage(disk).free
