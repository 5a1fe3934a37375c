"""Canonical form of points and of a collection's schema.

The same content must give the same digest whether it is read over REST or by the offline engine, from a server that
leaves empty fields out or from one that writes ``null``. So: vectors are single-precision bytes, sparse vectors are
sorted by index, payload keys are sorted, integers and floats stay what they are, and "no payload", ``{}`` and
``null`` are one thing.

The *schema* is what decides which data fit and what a search finds: vector names, sizes, distances, data types,
graph parameters, quantization, shards, payload indexes. It leaves out

* counters and states (``points`` of an index, ``status``), which say nothing about the schema;
* optimizer and WAL settings: the platform's search service patches ``optimizers_config`` after every document it
  indexes, so a restored platform would differ from its backup seconds after it has started;
* placement (``on_disk``, ``always_ram``, ``memory``, thread counts): it changes speed, not content, and newer servers
  rename it.
"""

from __future__ import annotations

import json
import struct
import sys
import uuid
from array import array
from collections.abc import Iterable, Mapping
from typing import Any

from archon_dagster.repository.manifest import Part
from archon_dagster.stores.digest import Multiset, in_sample

_LITTLE = sys.byteorder == "little"
_PLACEMENT = frozenset({"on_disk", "on_disk_payload", "always_ram", "memory", "max_indexing_threads"})


def id_key(point_id: Any) -> bytes:
    """The id as bytes: ``u`` and eight bytes for a number, ``s`` and the sixteen of a UUID.

    :raises ValueError: for anything that cannot be a Qdrant point id.
    """
    if isinstance(point_id, int) and not isinstance(point_id, bool):
        return b"u" + struct.pack(">Q", point_id)
    return b"s" + (point_id if isinstance(point_id, uuid.UUID) else uuid.UUID(str(point_id))).bytes


def record(point_id: Any, vector: Any, payload: Any) -> bytes:
    """One point in canonical form; ``vector`` and ``payload`` as REST or the engine return them."""
    pieces = [id_key(point_id)]
    for name, value in sorted(_named(vector).items()):
        pieces += [_sized(name.encode()), _vector(value)]
    pieces.append(canonical_json(payload or {}))
    return b"".join(_sized(piece) for piece in pieces)


def canonical_json(value: Any) -> bytes:
    """Sorted keys, no spaces, ASCII; ``1`` and ``1.0`` stay different."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


class PointDigest:
    """Adds points one by one."""

    def __init__(self) -> None:
        self._sum = Multiset()

    def add(self, point_id: Any, vector: Any, payload: Any) -> None:
        self._sum.add(record(point_id, vector, payload), id_key(point_id))

    @property
    def count(self) -> int:
        return self._sum.count

    def part(self) -> Part:
        """The digest of all points, with that of the sample beside it."""
        return self._sum.part(sampled=True)

    def sample_part(self, count: int) -> Part:
        """For a collection of ``count`` points of which only those in the sample were added."""
        return self._sum.part(sampled=True).model_copy(update={"count": count})


def sampled(point_id: Any) -> bool:
    """Whether a point belongs to the sample."""
    return in_sample(id_key(point_id))


def schema_part(config: Mapping[str, Any], indexes: Mapping[str, Any]) -> Part:
    """The digest of a collection's schema; both arguments as :func:`schema` takes them."""
    one = Multiset()
    one.add(canonical_json(schema(config, indexes)))
    return one.part()


def schema(config: Mapping[str, Any], indexes: Mapping[str, Any]) -> dict[str, Any]:
    """The schema in canonical form.

    :param config: ``config`` of ``GET /collections/{c}`` or a snapshot's ``config.json``.
    :param indexes: ``payload_schema`` of the same answer or ``schema`` of a snapshot's ``payload_index.json``.
    """
    params = config.get("params") or {}
    hnsw = config.get("hnsw_config") or {}
    found = {
        "vectors": {name: _dense(value) for name, value in dense_vectors(config).items()},
        "sparse_vectors": _plain(params.get("sparse_vectors") or {}, keep_empty=True),
        "shard_number": params.get("shard_number", 1),
        "sharding_method": params.get("sharding_method") or "auto",
        "hnsw_config": {key: hnsw[key] for key in ("m", "ef_construct", "payload_m") if hnsw.get(key) is not None},
        "quantization_config": _plain(config.get("quantization_config") or {}),
        "indexes": index_schemas(indexes),
    }
    return {key: value for key, value in found.items() if value not in ({}, None)}


def index_schemas(indexes: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Field name -> ``{"type": …, parameters}``, whichever of the three spellings the server uses."""
    return {field: _index(value) for field, value in sorted(indexes.items())}


def aliases_part(aliases: Mapping[str, str]) -> Part:
    """The digest of all aliases (alias -> collection)."""
    all_of_them = Multiset()
    for alias, collection in aliases.items():
        all_of_them.add(canonical_json([alias, collection]))
    return all_of_them.part()


def _index(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        return {"type": value}
    params = value.get("params") or ({} if "data_type" in value else value)
    kind = value.get("data_type") or value.get("type")
    return {"type": str(kind).lower()} | {key: v for key, v in _plain(params).items() if key != "type"}


def dense_vectors(config: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Name -> parameters of a collection's dense vectors; the name of an unnamed one is empty."""
    vectors = (config.get("params") or {}).get("vectors") or {}
    unnamed = isinstance(vectors.get("size"), int)  # a vector may be *called* size
    return {"": vectors} if unnamed else dict(vectors)


def _dense(value: Mapping[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = _plain(value)
    if plain.get("datatype") == "float32":  # the default, written by some servers only
        del plain["datatype"]
    return plain


def _plain(value: Any, *, keep_empty: bool = False) -> Any:
    """Without nulls, empty objects and placement."""
    if not isinstance(value, Mapping):
        return value
    kept = {key: _plain(v) for key, v in value.items() if v is not None and key not in _PLACEMENT}
    return kept if keep_empty else {key: v for key, v in kept.items() if v != {}}


def _sized(piece: bytes) -> bytes:
    return struct.pack("<Q", len(piece)) + piece


def _named(vector: Any) -> Mapping[str, Any]:
    if not vector:
        return {}
    return vector if isinstance(vector, Mapping) else {"": vector}


def _vector(value: Any) -> bytes:
    if isinstance(value, Mapping):
        return _sparse(value["indices"], value["values"])
    if hasattr(value, "indices"):  # the engine's SparseVector
        return _sparse(value.indices, value.values)
    if len(value) and isinstance(value[0], list | tuple | array):
        return b"m" + b"".join(_sized(_floats(row)) for row in value)
    return b"d" + _floats(value)


def _sparse(indices: Iterable[int], values: Iterable[float]) -> bytes:
    pairs = sorted(zip(indices, values, strict=True))
    return b"s" + struct.pack(f"<{len(pairs)}I", *(index for index, _ in pairs)) + _floats([v for _, v in pairs])


def _floats(values: Iterable[float]) -> bytes:
    """Single precision, little endian. ``array`` because it reads a list of floats six times faster than numpy."""
    try:
        floats = array("f", values)
    except TypeError:  # REST has no number for NaN: null
        floats = array("f", [float("nan") if value is None else value for value in values])
    if not _LITTLE:
        floats.byteswap()
    return floats.tobytes()
