"""``/metrics`` and ``/telemetry``: the names a monitor looks for, with what this process knows."""

import resource
import sys
import threading
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from archon_dagster.sandbox.vectors import config as configuration
from archon_dagster.sandbox.vectors.body import Json
from archon_dagster.sandbox.vectors.collection import Collection
from archon_dagster.sandbox.vectors.errors import ServerError
from archon_dagster.sandbox.vectors.registry import Registry

Sample = tuple[str, float]
KIBIBYTE = 1024


def points_count(collection: Collection) -> int:
    """0 for a dead collection, as the real server counts it."""
    try:
        return int(collection.shard.read(lambda shard: shard.info()).points_count)
    except ServerError:
        return 0


def rendered(registry: Registry, version: str, optimizing: str | None) -> str:
    """The exposition text."""
    lines: list[str] = []
    for name, kind, text, samples in _families(registry, version, optimizing):
        lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
        lines += [
            f"{name}{labels} {value:g}" if value < 1e6 else f"{name}{labels} {int(value)}" for labels, value in samples
        ]
    return "\n".join(lines) + "\n"


def _families(registry: Registry, version: str, optimizing: str | None) -> Iterable[tuple[str, str, str, list[Sample]]]:
    collections = registry.all()
    points = {one.name: points_count(one) for one in collections}
    dead = sum(one.shard.problem is not None for one in collections)

    def each(value: Any) -> list[Sample]:
        return [(f'{{id="{one.name}"}}', value(one)) for one in collections]

    def vectors() -> list[Sample]:
        return [
            (f'{{collection="{one.name}",vector="{name}"}}', points[one.name])
            for one in collections
            for name in (*configuration.dense(one.config), *configuration.sparse(one.config))
        ]

    yield "app_info", "gauge", "information about qdrant server", [(f'{{name="qdrant",version="{version}"}}', 1)]
    yield "app_status_recovery_mode", "gauge", "features enabled in qdrant server", [("", 0)]
    yield "collections_total", "gauge", "number of collections", [("", len(collections))]
    total = "total number of vectors in all collections"
    yield "collections_vector_total", "gauge", total, [("", sum(value for _, value in vectors()))]
    if collections:
        yield "collection_vectors", "gauge", "amount of vectors grouped by vector name", vectors()
        running = "number of currently running optimization tasks per collection"
        yield "collection_running_optimizations", "gauge", running, each(lambda one: one.name == optimizing)
        approximate = "approximate amount of points per collection"
        yield "collection_points", "gauge", approximate, each(lambda one: points[one.name])
    replicas = 1 if collections else 0
    yield "collection_active_replicas_min", "gauge", "minimum number of active replicas", [("", replicas)]
    yield "collection_active_replicas_max", "gauge", "maximum number of active replicas", [("", replicas)]
    yield "collection_dead_replicas", "gauge", "total amount of shard replicas in non-active state", [("", 0 * dead)]
    if collections:
        creating = "amount of snapshot creations that are currently running"
        yield "snapshot_creation_running", "gauge", creating, each(lambda one: one.snapshot_lock.locked())
        yield "snapshot_recovery_running", "gauge", "amount of snapshot recovery operations", each(lambda one: 0)
        created = "total amount of snapshots created"
        yield "snapshot_created_total", "counter", created, each(lambda one: one.snapshots_created)
    yield "cluster_enabled", "gauge", "is cluster support enabled", [("", 0)]
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else KIBIBYTE)
    yield "memory_resident_bytes", "gauge", "Maximum number of bytes in physically resident pages", [("", resident)]
    yield "process_threads", "gauge", "count of active threads", [("", threading.active_count())]


def telemetry(registry: Registry, version: str, started: datetime) -> Json:
    """The outline only: version, start time, number of collections."""
    return {
        "id": str(uuid.UUID(int=registry.peer)),
        "app": {"name": "qdrant", "version": version, "startup": started.astimezone(UTC).isoformat()},
        "collections": {"number_of_collections": len(registry.names())},
        "cluster": {"enabled": False, "resharding_enabled": True},
        "requests": {"rest": {"responses": {}}, "grpc": {"responses": {}}},
    }
