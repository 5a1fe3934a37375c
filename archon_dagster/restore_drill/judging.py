"""Whether what went wrong in a drill speaks against the backup, or only against the drill.

A difference, or a byte that is not as it was written, is the backup's. That an image is missing, a disk is full, a
server died or does not answer, or versions do not go together, says nothing about the backup: such an error ends the
drill, is told like any other, and no check is recorded. In between is a server that refuses what it is given: it counts
against the backup only if the server still runs, the same process as before, and there is still room.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from archon_dagster.errors import (
    ArchonError,
    DamagedBackup,
    RestoreFailed,
    StoreError,
    StoreUnavailable,
    VersionMismatch,
)
from archon_dagster.platform.runtime.protocol import Runtime
from archon_dagster.restore_drill.room import FLOOR, is_room


def running(runtime: Runtime) -> dict[str, str]:
    """The instance of every service that runs."""
    return {status.service: status.instance for status in runtime.status() if status.state == "running"}


def speaks_against_the_backup(
    error: ArchonError, runtime: Runtime, before: Mapping[str, str], disks: tuple[Path, ...]
) -> bool:
    """See the module.

    :param before: what ran when the servers were ready. :param disks: where the data and the scratch files go.
    """
    if isinstance(error, DamagedBackup | RestoreFailed):
        return True
    if not isinstance(error, StoreError) or isinstance(error, StoreUnavailable | VersionMismatch):
        return False
    return running(runtime) == dict(before) and all(is_room(disk, FLOOR) for disk in disks)
