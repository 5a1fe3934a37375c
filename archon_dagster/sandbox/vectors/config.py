"""A collection's configuration: from the create request to what is stored, and from there to the engine.

Stored and shown in the real server's form and key order, because it is a member of every snapshot.
"""

import copy
from typing import Any

import qdrant_edge as engine

from archon_dagster.sandbox.vectors.body import Json, check_types, mapping, type_name
from archon_dagster.sandbox.vectors.errors import FormatError

DISTANCES = ("Cosine", "Euclid", "Dot", "Manhattan")
LARGEST_DIMENSION = 65536
HNSW: Json = {
    "m": 16,
    "ef_construct": 100,
    "full_scan_threshold": 10000,
    "max_indexing_threads": 0,
    "on_disk": False,
}
OPTIMIZERS: Json = {
    "deleted_threshold": 0.2,
    "vacuum_min_vector_number": 1000,
    "default_segment_number": 2,
    "max_segment_size": None,
    "memmap_threshold": None,
    "indexing_threshold": 10000,
    "flush_interval_sec": 5,
    "max_optimization_threads": None,
    "prevent_unoptimized": None,
}
WAL: Json = {"wal_capacity_mb": 32, "wal_segments_ahead": 0, "wal_retain_closed": 1}
PARAMS: Json = {"shard_number": 1, "replication_factor": 1, "write_consistency_factor": 1, "on_disk_payload": True}
VECTOR_KEYS = ("size", "distance", "hnsw_config", "quantization_config", "on_disk", "datatype", "multivector_config")
TYPES = {
    **dict.fromkeys(("m", "ef_construct", "full_scan_threshold", "max_indexing_threads", "payload_m"), "usize"),
    **dict.fromkeys(("vacuum_min_vector_number", "default_segment_number", "max_segment_size"), "usize"),
    **dict.fromkeys(("memmap_threshold", "indexing_threshold", "flush_interval_sec"), "usize"),
    **dict.fromkeys(("shard_number", "replication_factor", "write_consistency_factor"), "usize"),
    **dict.fromkeys(("wal_capacity_mb", "wal_segments_ahead", "wal_retain_closed"), "usize"),
    **dict.fromkeys(("on_disk", "on_disk_payload", "prevent_unoptimized"), "a boolean"),
    "deleted_threshold": "f64",
}


def from_request(body: Json, raw_length: int) -> Json:
    """The stored configuration of a collection to be created."""
    params = {"vectors": _vectors(body.get("vectors", {}), raw_length), **_changed(PARAMS, body, raw_length)}
    if body.get("sparse_vectors"):
        params["sparse_vectors"] = {
            name: _without_nulls(given or {}) for name, given in mapping(body["sparse_vectors"], "sparse").items()
        }
    return {
        "params": params,
        "hnsw_config": _changed(HNSW, body.get("hnsw_config"), raw_length, extra=("payload_m",)),
        "optimizer_config": _changed(OPTIMIZERS, body.get("optimizers_config"), raw_length),
        "wal_config": _changed(WAL, body.get("wal_config"), raw_length),
        "quantization_config": body.get("quantization_config"),
        "uuid": None,
    }


def patched(config: Json, body: Json, raw_length: int) -> Json:
    """The configuration after a PATCH of the collection."""
    new = copy.deepcopy(config)
    new["optimizer_config"] = _changed(config["optimizer_config"], body.get("optimizers_config"), raw_length)
    new["hnsw_config"] = _changed(config["hnsw_config"], body.get("hnsw_config"), raw_length, extra=("payload_m",))
    given = mapping(body.get("params") or {}, "params")
    check_types(given, TYPES, raw_length)
    new["params"] |= {key: value for key, value in given.items() if key in PARAMS and value is not None}
    for name, changes in mapping(body.get("vectors") or {}, "vectors").items():
        _vector(new, name).update(_without_nulls(mapping(changes, "vector")))
    if body.get("quantization_config") is not None:
        quantization = body["quantization_config"]
        new["quantization_config"] = None if quantization == "Disabled" else quantization
    return new


def _vector(config: Json, name: str) -> Json:
    vectors = config["params"]["vectors"]
    found: Json | None = vectors if is_single(vectors) and name == "" else vectors.get(name)
    if not isinstance(found, dict):
        raise FormatError(f"Not existing vector name error: {name}")
    return found


def _changed(defaults: Json, changes: Any, raw_length: int, extra: tuple[str, ...] = ()) -> Json:
    given = mapping(changes or {}, "configuration")
    check_types(given, TYPES, raw_length)
    allowed = (*defaults, *extra)
    return {**defaults, **{key: given[key] for key in allowed if given.get(key) is not None}}


def _without_nulls(given: Json) -> Json:
    return {key: value for key, value in given.items() if value is not None}


def _vectors(given: Any, raw_length: int) -> Json:
    if not isinstance(given, dict):
        raise _no_variant(raw_length)
    if is_single(given):
        return _vector_params(given, raw_length)
    return {name: _vector_params(given[name], raw_length) for name in sorted(given)}


def is_single(vectors: Json) -> bool:
    """Whether these are the parameters of the one unnamed vector: a vector may be *called* size."""
    return type(vectors.get("size")) is int


def _vector_params(given: Any, raw_length: int) -> Json:
    if not isinstance(given, dict):
        raise _no_variant(raw_length)
    size, distance = given.get("size"), given.get("distance")
    if (
        not isinstance(size, int)
        or isinstance(size, bool)
        or not 0 < size <= LARGEST_DIMENSION
        or distance not in DISTANCES
    ):
        raise _no_variant(raw_length)
    return {key: given[key] for key in VECTOR_KEYS if given.get(key) is not None}


def _no_variant(raw_length: int) -> FormatError:
    message = "data did not match any variant of untagged enum VectorsConfig at line 1 column"
    return FormatError(f"{message} {raw_length}")


def dense(config: Json) -> dict[str, Json]:
    """Dense vectors by name; the unnamed one is ``""``."""
    vectors: Json = config["params"]["vectors"]
    return {"": vectors} if is_single(vectors) else vectors


def sparse(config: Json) -> dict[str, Json]:
    found: dict[str, Json] = config["params"].get("sparse_vectors", {})
    return found


def described(config: Json) -> str:
    """Vector parameters as the real server prints them when a snapshot does not fit."""
    vectors = config["params"]["vectors"]
    if is_single(vectors):
        return f"Single({_described_params(vectors)})"
    inner = ", ".join(f'"{name}": {_described_params(params)}' for name, params in vectors.items())
    return f"Multi({{{inner}}})"


def _described_params(params: Json) -> str:
    shown = [f"size: {params['size']}", f"distance: {params['distance']}"]
    for key in VECTOR_KEYS[2:]:
        value = params.get(key)
        shown.append(f"{key}: None" if value is None else f"{key}: Some({_described_value(value)})")
    return f"VectorParams {{ {', '.join(shown)} }}"


def _described_value(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def for_engine(config: Json) -> engine.EdgeConfig:
    """The engine's form of a stored configuration."""
    single = dense(config)
    return engine.EdgeConfig(
        vectors={name: _engine_vector(params) for name, params in single.items()},
        sparse_vectors={name: _engine_sparse(params) for name, params in sparse(config).items()} or None,
        on_disk_payload=config["params"].get("on_disk_payload"),
        hnsw_config=_engine_hnsw(config["hnsw_config"]),
        quantization_config=_engine_quantization(config.get("quantization_config")),
        optimizers=_engine_optimizers(config["optimizer_config"]),
    )


def _engine_vector(params: Json) -> engine.EdgeVectorParams:
    hnsw, datatype, multi = params.get("hnsw_config"), params.get("datatype"), params.get("multivector_config")
    return engine.EdgeVectorParams(
        params["size"],
        getattr(engine.Distance, params["distance"]),
        on_disk=params.get("on_disk"),
        multivector_config=engine.MultiVectorConfig(engine.MultiVectorComparator.MaxSim) if multi else None,
        datatype=getattr(engine.VectorStorageDatatype, datatype.capitalize()) if datatype else None,
        quantization_config=_engine_quantization(params.get("quantization_config")),
        hnsw_config=_engine_hnsw({**HNSW, **hnsw}) if hnsw else None,
    )


def _engine_sparse(params: Json) -> engine.EdgeSparseVectorParams:
    index = params.get("index") or {}
    modifier = engine.Modifier.Idf if params.get("modifier") == "idf" else None
    return engine.EdgeSparseVectorParams(index.get("full_scan_threshold"), index.get("on_disk"), modifier=modifier)


def _engine_hnsw(hnsw: Json) -> engine.HnswIndexConfig:
    first = (hnsw["m"], hnsw["ef_construct"], hnsw["full_scan_threshold"], hnsw.get("max_indexing_threads", 0))
    return engine.HnswIndexConfig(*first, on_disk=hnsw.get("on_disk"), payload_m=hnsw.get("payload_m"))


def _engine_optimizers(optimizers: Json) -> engine.EdgeOptimizersConfig:
    names = ("deleted_threshold", "vacuum_min_vector_number", "default_segment_number", "max_segment_size")
    taken = (*names, "indexing_threshold", "prevent_unoptimized")
    return engine.EdgeOptimizersConfig(**{name: optimizers.get(name) for name in taken})


def _engine_quantization(given: Json | None) -> Any:
    match given:
        case None:
            return None
        case {"scalar": scalar}:
            return engine.ScalarQuantizationConfig(
                engine.ScalarType.Int8, quantile=scalar.get("quantile"), always_ram=scalar.get("always_ram")
            )
        case {"product": product}:
            ratio = getattr(engine.CompressionRatio, str(product["compression"]).upper())
            return engine.ProductQuantizationConfig(ratio, always_ram=product.get("always_ram"))
        case {"binary": binary}:
            return engine.BinaryQuantizationConfig(always_ram=binary.get("always_ram"))
        case _:
            raise FormatError(f"invalid type: {type_name(given)}, expected a quantization configuration")
