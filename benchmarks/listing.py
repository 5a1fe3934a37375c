"""A repository with a thousand backups: how long an operator waits for the list and for ``latest``."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from archon_dagster.repository.manifest import Window
from archon_dagster.repository.repository import Repository
from benchmarks.platform import timed

_FIRST = datetime(2026, 1, 1, 3, tzinfo=UTC)


def run(folder: Path, backups: int) -> dict[str, Any]:
    """Make the backups, then measure on freshly opened repositories."""
    made = Repository.open(str(folder), create=True)
    with made.lock("benchmark") as lease:
        for number in range(backups):
            now = _FIRST + timedelta(hours=number)
            with made.begin("scheduled", lease=lease, clock=itertools.repeat(now).__next__) as pending:
                for part in range(8):
                    with pending.artifact("vectors", f"part-{part}", "file", media_type="text/plain",
                                          cut="whole") as artifact:  # fmt: skip
                        artifact.write(f"{part} {number // 10}".encode() * 100)
                pending.seal(window=Window(start=now, end=now, consistent=True), versions={})
    for cached in (folder / "cache").glob("*"):
        cached.unlink()
    return {
        "backups": backups,
        "list_without_cache": timed(lambda: Repository.open(str(folder)).backups()),
        "list": timed(lambda: Repository.open(str(folder)).backups()),
        "latest": timed(lambda: Repository.open(str(folder)).resolve("latest")),
    }
