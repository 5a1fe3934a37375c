"""Build indexes in the background, in a process of its own.

The engine holds Python's interpreter lock while it builds an index, for half a minute at 20,000 vectors: inside the
server even ``/healthz`` would stop answering. So a copy of the shard is optimized by a child process while the live
one goes on; the writes that came meanwhile are applied to the copy, which then takes the live one's place.
"""

import logging
import shutil
import subprocess
import sys
import threading
from pathlib import Path

from archon_dagster.sandbox.vectors import files, tarball
from archon_dagster.sandbox.vectors import shard as shards
from archon_dagster.sandbox.vectors.collection import PREVIOUS, SHARD, Collection
from archon_dagster.sandbox.vectors.errors import ServerError, engine_errors
from archon_dagster.sandbox.vectors.registry import Registry
from archon_dagster.sandbox.vectors.updates import Operation

log = logging.getLogger(__name__)
INTERVAL = 0.25
FLUSH_EVERY = 5.0
CHILD = "archon_dagster.sandbox.vectors.optimize_shard"


class Optimizer:
    """One thread that looks after all collections: flushes what was written, indexes what has grown."""

    def __init__(self, registry: Registry):
        self._registry = registry
        self._stop = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None
        self._seen: dict[Collection, int] = {}
        self._flushed: dict[Collection, int] = {}
        self.running: str | None = None
        self._thread = threading.Thread(target=self._run, name="optimizer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End a running build; the live shard is not touched by it."""
        self._stop.set()
        child = self._child
        if child is not None:
            child.kill()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        rounds = 0
        while not self._stop.wait(INTERVAL):
            rounds += 1
            for collection in self._registry.all():
                try:
                    self._look_after(collection, flush=rounds % round(FLUSH_EVERY / INTERVAL) == 0)
                except (ServerError, OSError, subprocess.SubprocessError) as error:
                    log.error("optimizing %s failed: %s", collection.name, error)
                    collection.shard.optimized_at = collection.shard.writes
                if self._stop.is_set():
                    return

    def _look_after(self, collection: Collection, *, flush: bool) -> None:
        shard = collection.shard
        if shard.problem:
            return
        if flush and self._flushed.get(collection, 0) != shard.writes:
            self._flushed[collection] = shard.writes
            shard.read(lambda engine: engine.flush())
        quiet = self._seen.get(collection) == shard.writes
        self._seen[collection] = shard.writes
        if quiet and shard.awake and shard.needs_optimizing():
            self.running = collection.name
            try:
                self._optimize(collection)
            finally:
                self.running = None

    def _optimize(self, collection: Collection) -> None:
        shard = collection.shard
        copy = self._registry.temporary / f"optimize-{collection.name}"
        shutil.rmtree(copy, ignore_errors=True)
        with shard.frozen() as live:
            generation = shard.generation
            _copy_sparse(live, copy)
            files.write_json(copy.with_suffix(".json"), collection.config)
            shard.since_copy = []
        try:
            if self._build(copy):
                self._take_over(collection, copy, generation)
        finally:
            shard.since_copy = None
            shutil.rmtree(copy, ignore_errors=True)

    def _build(self, copy: Path) -> bool:
        command = [sys.executable, "-m", CHILD, str(copy), str(copy.with_suffix(".json"))]
        with subprocess.Popen(command, stdin=subprocess.DEVNULL) as child:
            self._child = child
            code = child.wait()
            self._child = None
        if code and not self._stop.is_set():
            log.error("the index of %s could not be built: exit code %s", copy.name, code)
        return code == 0

    def _take_over(self, collection: Collection, copy: Path, generation: int) -> None:
        shard = collection.shard
        with shard.write_lock:
            if shard.generation != generation or shard.problem:
                return  # a restore came first
            _apply(copy, collection, shard.since_copy or [])
            previous = collection.path / PREVIOUS

            def swap() -> None:
                (collection.path / SHARD).rename(previous)
                copy.rename(collection.path / SHARD)

            shard.replace(swap)
            if not shard.since_copy:  # otherwise what came meanwhile may be worth another round
                shard.optimized_at = shard.writes
            shutil.rmtree(previous, ignore_errors=True)


def _apply(copy: Path, collection: Collection, operations: list[Operation]) -> None:
    """Bring the copy up to date with the writes that the live shard took meanwhile."""
    engine = shards.load(copy, collection.config)
    try:
        with engine_errors():
            for operation in operations:
                engine.update(operation)
            engine.flush()
    finally:
        engine.close()


def _copy_sparse(source: Path, target: Path) -> None:
    """Copy a shard without its holes: two preallocated files of 32 MiB for every vector would be a lot of zeros."""
    for path in sorted(source.rglob("*")):
        copied = target / path.relative_to(source)
        if path.is_dir():
            copied.mkdir(parents=True, exist_ok=True)
        else:
            copied.parent.mkdir(parents=True, exist_ok=True)
            tarball.copy_sparse(path, copied)
