"""One collection on disk, laid out as the real server does.

```
<collection>/config.json  version.info  shard_key_mapping.json  payload_index.json
<collection>/shard_0.initializing     there while a shard is replaced: what is left of it after a failure is *dirty*
<collection>/0/segments  wal  shard_config.json  replica_state.json
```
"""

import json
import threading
from pathlib import Path
from typing import Any

from archon_dagster.sandbox.vectors import config as configuration
from archon_dagster.sandbox.vectors import files, indexes
from archon_dagster.sandbox.vectors import shard as shards
from archon_dagster.sandbox.vectors.body import Json
from archon_dagster.sandbox.vectors.errors import CannotStart, InternalError, ServerError, engine_errors
from archon_dagster.sandbox.vectors.updates import Operation

SHARD = "0"
INITIALIZING = "shard_0.initializing"
CRATE_VERSION = "0.4.2"
"""Of the server's collection library, not of the server: what 1.18.3 writes into ``version.info``."""
PREVIOUS = "0.previous"


class Collection:
    """A collection of one shard: its configuration, payload indexes and data."""

    def __init__(self, path: Path, peer: int, *, recovery_message: str | None = None):
        self.path = path
        self.name = path.name
        self.peer = peer
        self.snapshot_lock = threading.Lock()
        self.snapshots_created = 0
        self.config: Json = _read_or_panic(path / "config.json")
        self.schema: Json = _read_or_panic(path / "payload_index.json")["schema"]
        self._finish_interrupted_swap()
        problem = recovery_message or (shards.DIRTY if self.is_dirty else None)
        self.shard = shards.Shard(path / SHARD, self.config, problem=problem)
        self.operation_id = self.last_operation()

    def _finish_interrupted_swap(self) -> None:
        """An optimized shard was being moved into place when the process died."""
        previous, current = self.path / PREVIOUS, self.path / SHARD
        if previous.exists() and not current.exists():
            previous.rename(current)

    @property
    def is_dirty(self) -> bool:
        return (self.path / INITIALIZING).exists()

    def last_operation(self) -> int:
        """The newest operation that the segments hold."""
        if self.shard.problem:
            return 0
        manifest = self.shard.read(lambda shard: shard.snapshot_manifest())
        return max((entry["segment_version"] or 0 for entry in manifest.values()), default=0)

    def write(self, operation: Operation, *, wait: bool) -> Json:
        """Apply a write. It is always durable when this returns; ``wait=False`` only hides what went wrong."""
        with self.shard.write_lock:
            self.operation_id += 1
            try:
                self.shard.write(operation)
            except ServerError as error:
                if wait or isinstance(error, InternalError):
                    raise
            return {"operation_id": self.operation_id, "status": "completed" if wait else "acknowledged"}

    def create_index(self, field: str, given: Any, raw_length: int, *, wait: bool) -> Json:
        operation = Operation.create_field_index(field, indexes.parse(given, raw_length))
        return self._change_index(operation, {**self.schema, field: given}, wait=wait)

    def delete_index(self, field: str, *, wait: bool) -> Json:
        remaining = {name: given for name, given in self.schema.items() if name != field}
        return self._change_index(Operation.delete_field_index(field), remaining, wait=wait)

    def _change_index(self, operation: Operation, schema: Json, *, wait: bool) -> Json:
        with self.shard.write_lock:
            self.operation_id += 1  # the real server logs two operations for an index
            answer = self.write(operation, wait=wait)
            self.set_schema(schema)
            return answer

    def set_schema(self, schema: Json) -> None:
        files.write_json(self.path / "payload_index.json", {"schema": schema})
        self.schema = schema

    def patch(self, body: Json, raw_length: int) -> None:
        changed = configuration.patched(self.config, body, raw_length)
        with engine_errors():
            configuration.for_engine(changed)  # the engine must be able to load the collection with it
        files.write_json(self.path / "config.json", changed)
        self.config = changed
        self.shard.reconfigure(changed)

    def info(self) -> Json:
        """``GET /collections/{name}``; a dead collection raises what it is dead of."""
        found = self.shard.read(lambda shard: shard.info())
        return {
            "status": self._status(),
            "optimizer_status": "ok",
            "indexed_vectors_count": found.indexed_vectors_count,
            "points_count": found.points_count,
            "segments_count": found.segments_count,
            "config": {key: value for key, value in self.config.items() if key != "uuid"},
            "payload_schema": indexes.shown(self.schema, found.payload_schema),
            "update_queue": {"length": 0},
        }

    def _status(self) -> str:
        if not self.shard.needs_optimizing():
            return "green"
        return "yellow" if self.shard.awake else "grey"


def _read_or_panic(path: Path) -> Json:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise CannotStart(f"Can't read collection config due to {error} at {path}") from error
    if not isinstance(content, dict):
        raise CannotStart(f"Can't read collection config due to an unexpected content at {path}")
    return content


def write_empty(path: Path, config: Json, peer: int) -> None:
    """A new, empty collection below ``path``, which its caller moves into place as a whole."""
    path.mkdir(parents=True)
    shards.create(path / SHARD, config)
    files.write_json(path / SHARD / "replica_state.json", replica_state(peer))
    files.write_json(path / SHARD / "shard_config.json", {"type": "ReplicaSet"})
    write_metadata(path, config, {})


def write_metadata(path: Path, config: Json, schema: Json) -> None:
    files.write_bytes(path / "version.info", CRATE_VERSION.encode())
    files.write_json(path / "shard_key_mapping.json", [])
    files.write_json(path / "payload_index.json", {"schema": schema})
    files.write_json(path / "config.json", config)


def replica_state(peer: int) -> Json:
    return {"is_local": True, "this_peer_id": peer, "peers": {str(peer): "Active"}}
