"""The generated collections: what they are called, how they are made, how many points they get."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Count = Callable[[int], int]

MAIN = "scale_documents"
NAMED = "scale_named"


def _share(part: int) -> Count:
    return lambda scale: -(-scale // part)


@dataclass(frozen=True)
class Collection:
    """One generated collection.

    :param config: the body of the request that makes it; the main one's dimension is filled in later.
    :param count: its points at a scale.
    :param indexes: payload indexes, field -> schema.
    """

    name: str
    config: dict[str, Any]
    count: Count
    indexes: dict[str, Any] = field(default_factory=dict)


def collections(dimension: int) -> tuple[Collection, ...]:
    """All of them, the main one first."""
    return (
        Collection(MAIN, {"vectors": {"size": dimension, "distance": "Cosine"}}, lambda scale: scale, _INDEXES),
        Collection(NAMED, _NAMED, _share(10), {"number": "integer"}),
        Collection("scale_multivector", _MULTI, _share(50)),
        Collection("scale_sparse", {"vectors": {}, "sparse_vectors": {"words": {}}}, _share(50)),
        Collection("scale_quantized", _QUANTIZED, _share(50)),
        Collection("scale Größe 名前", {"vectors": {"size": 4, "distance": "Dot"}}, _share(100)),
        Collection("scale_empty", {"vectors": {"size": 8, "distance": "Manhattan"}}, lambda _: 0, {"a": "keyword"}),
    )


ALIASES = {"scale_current": MAIN, "scale_näme": NAMED}

_INDEXES: dict[str, Any] = {
    "project_name": "keyword",
    "number": "integer",
    "quality_score": "float",
    "created_at": "datetime",
    "verified": "bool",
    "session": "uuid",
    "place": "geo",
    "title": {"type": "text", "tokenizer": "word", "lowercase": True, "min_token_len": 2, "max_token_len": 20},
}
_NAMED = {
    "vectors": {
        "text": {"size": 32, "distance": "Cosine"},
        "code": {"size": 16, "distance": "Euclid", "datatype": "float16"},
        "bytes": {"size": 8, "distance": "Manhattan", "datatype": "uint8"},
        "size": {"size": 4, "distance": "Dot", "on_disk": True},
    },
    "sparse_vectors": {"words": {"modifier": "idf"}},
}
_MULTI = {
    "vectors": {"tokens": {"size": 16, "distance": "Cosine", "multivector_config": {"comparator": "max_sim"}}},
}
_QUANTIZED = {
    "vectors": {"size": 32, "distance": "Euclid"},
    "quantization_config": {"scalar": {"type": "int8", "quantile": 0.99, "always_ram": True}},
    "hnsw_config": {"m": 8, "ef_construct": 64},
}
