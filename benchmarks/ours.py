"""One operation of the repository in a process of its own: ``python -m benchmarks.ours VERB REPOSITORY …``.

Prints JSON: seconds of the operation (without the start of the interpreter, which is printed beside it), the bytes
and chunks it added, and the memory it took above the idle process.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from archon_dagster.repository.manifest import Window
from archon_dagster.repository.pending import utc_now
from archon_dagster.repository.repository import Repository
from archon_dagster.stores.base import Cut, Work
from benchmarks.measure import peak_mib

BLOCK = 1 << 20
_CUTS: dict[str, Cut] = {".snapshot": "tar", ".jsonl": "lines", ".dump": "content"}


def ingest(repository: str, folder: str) -> dict[str, Any]:
    """Store every file of a folder as an artifact of one backup, durable when it returns."""
    target = Repository.open(repository, create=True)
    with target.begin("manual") as pending:
        for path in _files(folder):
            with (
                path.open("rb", buffering=0) as file,
                pending.artifact("vectors", path.name, "file", media_type="application/octet-stream",
                                 cut=_CUTS[path.suffix]) as artifact,
            ):  # fmt: skip
                while block := file.read(BLOCK):
                    artifact.write(block)
        now = utc_now()
        manifest = pending.seal(window=Window(start=now, end=now, consistent=True), versions={})
    return {"added": manifest.bytes_added, "chunks": manifest.chunks_added, "read": manifest.bytes_read}


def stream(repository: str, folder: str, times: str) -> dict[str, Any]:
    """As :func:`ingest`, with every file ``times`` times as long; the copies differ in every megabyte."""
    target = Repository.open(repository, create=True)
    with target.begin("manual") as pending:
        for path in _files(folder):
            with pending.artifact("vectors", path.name, "file", media_type="application/octet-stream",
                                  cut=_CUTS[path.suffix]) as artifact:  # fmt: skip
                for copy in range(int(times)):
                    with path.open("rb", buffering=0) as file:
                        while block := file.read(BLOCK):
                            artifact.write(copy.to_bytes(8) + block[8:] if copy else block)
    shutil.rmtree(repository)
    return {}


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


def _files(folder: str) -> list[Path]:
    return sorted(path for path in Path(folder).iterdir() if path.is_file())


VERBS: dict[str, Callable[..., dict[str, Any]]] = {
    "ingest": ingest,
    "stream": stream,
    "verify": verify,
    "export": export,
}


def main(verb: str, *places: str) -> None:
    idle, started = peak_mib(), time.perf_counter()
    found = VERBS[verb](*places)
    seconds = time.perf_counter() - started
    print(json.dumps({"seconds": seconds, "memory_mib": peak_mib() - idle, **found}))  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
