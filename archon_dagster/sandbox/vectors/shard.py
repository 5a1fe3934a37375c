"""One shard: the engine, the order of writes, and the state of being dead.

The engine holds Python's interpreter lock in every call, so calls of one shard are serialised at no cost. Writes
have a second, longer lock: a snapshot holds it while it reads the files, and readers go on meanwhile.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import qdrant_edge as engine

from archon_dagster.sandbox.vectors import config as configuration
from archon_dagster.sandbox.vectors import damage
from archon_dagster.sandbox.vectors.body import Json
from archon_dagster.sandbox.vectors.errors import InternalError, ServerError, engine_errors

DIRTY = "Dirty shard - shard is not fully initialized"
EDGE_CONFIG = "edge_config.json"
BYTES_PER_DIMENSION = 4

Answer = TypeVar("Answer")


class Shard:
    """A shard directory and the engine over it; ``problem`` says why there is no engine."""

    def __init__(self, path: Path, config: Json, *, problem: str | None = None):
        self.path = path
        self.problem = problem
        self.write_lock = threading.RLock()
        self.writes = 0
        self.generation = 0
        self.awake = False
        self.optimized_at = -1
        self.since_copy: list[Any] | None = None
        self._engine_lock = threading.RLock()
        self._config = config
        self._engine: engine.EdgeShard | None = None
        if problem is None:
            self.open()

    @property
    def config(self) -> Json:
        return self._config

    def reconfigure(self, config: Json) -> None:
        """Take a new configuration; it counts when the shard is optimized next."""
        self._config = config
        self.awake = True
        self.optimized_at = -1

    def open(self) -> None:
        """Load the files; a shard that cannot be loaded is dead, as in the real server: no error here."""
        with self._engine_lock:
            try:
                self._engine = load(self.path, self._config)
                self.problem = None
            except (damage.DamagedShard, ServerError) as error:
                self._engine = None
                self.problem = f'Failed to load local shard "{self.path}": {error}'

    def close(self) -> None:
        with self.write_lock, self._engine_lock:
            if self._engine is not None:
                self._engine.flush()
                self._engine.close()
            self._engine = None

    def kill(self, problem: str) -> None:
        """Close for good: from now on every call answers with ``problem``."""
        self.close()
        self.problem = problem

    def read(self, call: Callable[[engine.EdgeShard], Answer]) -> Answer:
        """One call of the engine."""
        with self._engine_lock, engine_errors():
            return call(self._alive())

    def write(self, operation: Any) -> None:
        """Apply one operation; it is in the engine's log when this returns."""
        with self.write_lock, self._engine_lock:
            with engine_errors():
                self._alive().update(operation)
            self.writes += 1
            self.awake = True
            if self.since_copy is not None:
                self.since_copy.append(operation)

    def _alive(self) -> engine.EdgeShard:
        if self._engine is None:
            raise InternalError(self.problem or "Shard is not initialized")
        return self._engine

    @contextmanager
    def frozen(self) -> Iterator[Path]:
        """The shard's directory, flushed and unchanging; reads go on."""
        with self.write_lock:
            self.read(lambda shard: shard.flush())
            yield self.path

    def replace(self, swap: Callable[[], None]) -> None:
        """Exchange the files under the shard; nobody reads or writes meanwhile."""
        with self.write_lock, self._engine_lock:
            self.close()
            self.generation += 1
            self.awake = True
            swap()
            self.open()

    def needs_optimizing(self) -> bool:
        """Whether more vectors are unindexed than the configuration allows."""
        threshold = self._config["optimizer_config"]["indexing_threshold"]
        dimensions = [params["size"] for params in configuration.dense(self._config).values()]
        if not threshold or not dimensions or self.problem or self.optimized_at == self.writes:
            return False
        info = self.read(lambda shard: shard.info())
        unindexed = max(0, info.points_count * len(dimensions) - info.indexed_vectors_count)
        kilobytes = unindexed * (sum(dimensions) / len(dimensions)) * BYTES_PER_DIMENSION / 1024
        return bool(kilobytes > threshold)


def create(path: Path, config: Json) -> None:
    """An empty shard on disk."""
    with engine_errors():
        engine.EdgeShard.create(str(path), configuration.for_engine(config)).close()


def load(path: Path, config: Json) -> engine.EdgeShard:
    """The engine over a shard directory that a server would accept.

    :raises DamagedShard: a file is not what it must be.
    :raises ServerError: the engine refuses it.
    """
    if not (path / "segments").is_dir():
        raise damage.DamagedShard(f"no segments in {path}")
    damage.check_files(path)
    (path / EDGE_CONFIG).unlink(missing_ok=True)
    with engine_errors():
        shard = engine.EdgeShard.load(str(path), configuration.for_engine(config))
    try:
        with engine_errors():
            damage.check_payloads(shard)
    except ServerError:
        shard.close()
        raise
    return shard
