"""One operation in a process of its own: ``python -m benchmarks.ours VERB …``.

Prints JSON: seconds of the operation (without the start of the interpreter), what it tells of itself, such as the bytes
and chunks it added, and the memory it took above the idle process: the most of this process, or of any it started.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from archon_dagster.repository.manifest import Window
from archon_dagster.repository.pending import PendingBackup, utc_now
from archon_dagster.repository.repository import Repository
from archon_dagster.stores.base import Cut, Work
from benchmarks import generator, operations, searchers
from benchmarks.measure import ChildrenPeak, peak_mib

BLOCK = 1 << 20
_CUTS: dict[str, Cut] = {".snapshot": "tar", ".jsonl": "lines", ".dump": "content"}


def ingest(repository: str, folder: str) -> dict[str, Any]:
    """Store every file of a folder as an artifact of one backup, durable when it returns."""
    return stream(repository, folder, "1")


def stream(repository: str, folder: str, times: str) -> dict[str, Any]:
    """As :func:`ingest`, with every file ``times`` times as long; the copies differ in every megabyte.

    The files are read side by side, as a backup captures its stores.
    """
    target = Repository.open(repository, create=True)
    with target.begin("manual") as pending, ThreadPoolExecutor(os.cpu_count()) as threads:
        store = partial(_store, pending, int(times))
        for _ in threads.map(store, sorted(_files(folder), key=lambda path: -path.stat().st_size)):
            pass
        now = utc_now()
        manifest = pending.seal(window=Window(start=now, end=now, consistent=True), versions={})
    return {"added": manifest.bytes_added, "chunks": manifest.chunks_added, "read": manifest.bytes_read}


def _store(pending: PendingBackup, times: int, path: Path) -> None:
    media_type, cut = "application/octet-stream", _CUTS[path.suffix]
    with pending.artifact("vectors", path.name, "file", media_type=media_type, cut=cut) as artifact:
        for copy in range(times):
            with path.open("rb", buffering=0) as file:
                while block := file.read(BLOCK):
                    artifact.write(copy.to_bytes(8) + block[8:] if copy else block)


def verify(repository: str) -> dict[str, Any]:
    """Read every chunk of the newest backup back."""
    opened = Repository.open(repository)
    newest = opened.backups()[0].id
    with tempfile.TemporaryDirectory() as scratch:
        opened.verify(newest, Work(Path(scratch)), record=False).raise_for_damage()
    return {}


def export(repository: str, target: str) -> dict[str, Any]:
    """Write the newest backup as plain files, proven and synced."""
    opened = Repository.open(repository)
    opened.export(opened.resolve(opened.backups()[0].id), Path(target))
    return {}


def read(repository: str) -> dict[str, Any]:
    """Read every artifact of the newest backup to its end, proven, and keep nothing."""
    opened = Repository.open(repository)
    manifest = opened.resolve(opened.backups()[0].id)
    for artifact in manifest.artifacts:
        with opened.source(manifest).open(artifact) as stream:
            while stream.read(BLOCK):
                pass
    return {}


def _files(folder: str) -> list[Path]:
    return sorted(path for path in Path(folder).iterdir() if path.is_file())


VERBS: dict[str, Callable[..., dict[str, Any]]] = {
    "ingest": ingest,
    "stream": stream,
    "verify": verify,
    "export": export,
    "read": read,
    "export-store": operations.export_store,
    "verify-store": operations.verify_store,
    "restore-store": operations.restore_store,
    "generate": generator.generate,
    "search": searchers.search,
}


def main(verb: str, *arguments: str) -> None:
    idle, started = peak_mib(), time.perf_counter()
    with ChildrenPeak() as children:
        found = VERBS[verb](*arguments)
        seconds = time.perf_counter() - started
    memory = max(peak_mib() - idle, children.mib)
    print(json.dumps({"seconds": seconds, "memory_mib": memory, **found}))  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
