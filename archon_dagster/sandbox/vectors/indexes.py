"""Payload indexes: from the field schema of a request to the engine's, kept in the request's own form for showing."""

from typing import Any

import qdrant_edge as engine

from archon_dagster.sandbox.vectors.body import Json
from archon_dagster.sandbox.vectors.errors import FormatError

TYPES = {
    "keyword": (engine.PayloadSchemaType.Keyword, engine.KeywordIndexParams),
    "integer": (engine.PayloadSchemaType.Integer, engine.IntegerIndexParams),
    "float": (engine.PayloadSchemaType.Float, engine.FloatIndexParams),
    "geo": (engine.PayloadSchemaType.Geo, engine.GeoIndexParams),
    "text": (engine.PayloadSchemaType.Text, engine.TextIndexParams),
    "bool": (engine.PayloadSchemaType.Bool, engine.BoolIndexParams),
    "datetime": (engine.PayloadSchemaType.Datetime, engine.DatetimeIndexParams),
    "uuid": (engine.PayloadSchemaType.Uuid, engine.UuidIndexParams),
}
TAKEN = ("lookup", "range", "is_tenant", "is_principal", "on_disk", "enable_hnsw", "min_token_len", "max_token_len")
TEXT_ONLY = ("lowercase", "ascii_folding", "phrase_matching")


def parse(given: Any, raw_length: int) -> Any:
    """The engine's form of a field schema: the name of a type, or an object with parameters."""
    if isinstance(given, str) and given in TYPES:
        return TYPES[given][0]
    if isinstance(given, dict) and given.get("type") in TYPES:
        try:
            return TYPES[given["type"]][1](**_parameters(given))
        except TypeError as error:
            raise _no_variant(raw_length) from error
    raise _no_variant(raw_length)


def _parameters(given: Json) -> Json:
    taken = {key: given[key] for key in (*TAKEN, *TEXT_ONLY) if given.get(key) is not None}
    if given.get("tokenizer") is not None:
        taken["tokenizer"] = getattr(engine.TokenizerType, str(given["tokenizer"]).capitalize())
    return taken


def _no_variant(raw_length: int) -> FormatError:
    message = "data did not match any variant of untagged enum PayloadFieldSchema at line 1 column"
    return FormatError(f"{message} {raw_length}")


def shown(schema: Json, found: dict[str, Any]) -> Json:
    """``payload_schema`` of a collection: the requested schema with the number of points the engine indexed."""
    answer: Json = {}
    for field, given in schema.items():
        entry: Json = {"data_type": given if isinstance(given, str) else given["type"]}
        if not isinstance(given, str):
            entry["params"] = given
        entry["points"] = found[field].points if field in found else 0
        answer[field] = entry
    return answer
