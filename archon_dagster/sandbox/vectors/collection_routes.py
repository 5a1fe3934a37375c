"""Handlers for collections, aliases and payload indexes."""

from typing import Any

from archon_dagster.sandbox.vectors import config as configuration
from archon_dagster.sandbox.vectors import metrics
from archon_dagster.sandbox.vectors.body import Json, required
from archon_dagster.sandbox.vectors.http import Call, Handler
from archon_dagster.sandbox.vectors.registry import disk_usage

Answer = Any
NO_COMPONENT: Json = {"disk_bytes": 0, "ram_bytes": 0, "cached_bytes": 0, "expected_cache_bytes": 0}


def list_collections(call: Call) -> Answer:
    return {"collections": [{"name": name} for name in call.registry.names()]}


def create(call: Call) -> Answer:
    call.registry.create_from_request(call.path["name"], call.body, len(call.raw))
    return True


def info(call: Call) -> Answer:
    return call.registry.get(call.path["name"]).info()


def patch(call: Call) -> Answer:
    changes = call.body
    call.registry.get(call.path["name"]).patch(changes, len(call.raw))
    return True


def delete(call: Call) -> Answer:
    return call.registry.delete(call.path["name"])


def exists(call: Call) -> Answer:
    return {"exists": call.registry.find(call.path["name"]) is not None}


def cluster(call: Call) -> Answer:
    """What the node holds; a dead shard is listed as any other, without points."""
    found = call.registry.get(call.path["name"])
    local = {"shard_id": 0, "points_count": metrics.points_count(found), "state": "Active"}
    return {
        "peer_id": found.peer,
        "shard_count": 1,
        "local_shards": [local],
        "remote_shards": [],
        "shard_transfers": [],
    }


def optimizations(call: Call) -> Answer:
    found = call.registry.get(call.path["name"])
    manifest = found.shard.read(lambda shard: shard.snapshot_manifest())
    queued = int(found.shard.needs_optimizing())
    answer: Json = {
        "summary": {
            "queued_optimizations": queued,
            "queued_segments": queued,
            "queued_points": 0,
            "idle_segments": len(manifest) - queued,
        },
        "running": [],
    }
    wanted = call.query.get("with", "").split(",")
    if "queued" in wanted:
        answer["queued"] = []
    if "completed" in wanted:
        answer["completed"] = []
    if "idle_segments" in wanted:
        answer["idle_segments"] = [{"uuid": name, "points_count": 0} for name in sorted(manifest)]
    return answer


def memory(call: Call) -> Answer:
    """Disk bytes of the components; what is in memory cannot be asked of the engine and is 0."""
    found = call.registry.get(call.path["name"])
    found.shard.read(lambda shard: shard.info())
    segments = list((found.path / "0" / "segments").iterdir())

    def component(pattern: str) -> Json:
        size = sum(disk_usage(path) for segment in segments for path in segment.glob(pattern))
        return {**NO_COMPONENT, "disk_bytes": size}

    vectors = [
        {
            "name": name,
            "storage": component(f"vector_storage-{name}" if name else "vector_storage"),
            "index": component(f"vector_index-{name}" if name else "vector_index"),
        }
        for name in _dense_names(found.config)
    ]
    return {
        "total": component("*"),
        "vectors": vectors,
        "sparse_vectors": [],
        "payload": component("payload_storage"),
        "payload_index": [{"name": field, "usage": dict(NO_COMPONENT)} for field in sorted(found.schema)],
        "other": {"id_tracker": dict(NO_COMPONENT)},
    }


def _dense_names(config: Json) -> list[str]:
    return sorted(configuration.dense(config))


def aliases(call: Call) -> Answer:
    return {"aliases": call.registry.aliases()}


def collection_aliases(call: Call) -> Answer:
    return {"aliases": call.registry.aliases(call.registry.resolved(call.path["name"]))}


def change_aliases(call: Call) -> Answer:
    call.registry.change_aliases(call.body)
    return True


def create_index(call: Call) -> Answer:
    body, found = call.body, call.registry.get(call.path["name"])
    field, schema = str(required(body, "field_name")), body.get("field_schema", body.get("field_type"))
    return found.create_index(field, schema, len(call.raw), wait=call.flag("wait", default=False))


def delete_index(call: Call) -> Answer:
    found = call.registry.get(call.path["name"])
    return found.delete_index(call.path["field"], wait=call.flag("wait", default=False))


ROUTES: list[tuple[str, str, Handler]] = [
    ("GET", "/collections", list_collections),
    ("POST", "/collections/aliases", change_aliases),
    ("GET", "/aliases", aliases),
    ("PUT", "/collections/{name}", create),
    ("GET", "/collections/{name}", info),
    ("PATCH", "/collections/{name}", patch),
    ("DELETE", "/collections/{name}", delete),
    ("GET", "/collections/{name}/exists", exists),
    ("GET", "/collections/{name}/cluster", cluster),
    ("GET", "/collections/{name}/aliases", collection_aliases),
    ("GET", "/collections/{name}/optimizations", optimizations),
    ("GET", "/collections/{name}/memory", memory),
    ("PUT", "/collections/{name}/index", create_index),
    ("DELETE", "/collections/{name}/index/{field:path}", delete_index),
]
