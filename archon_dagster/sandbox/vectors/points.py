"""Points: from the JSON of a request to the engine's models, and back.

Vectors are written with the shortest decimal that is the same 32-bit number, as the real server does: a reader that
compares them as 64-bit numbers is wrong there, and must be wrong here too.
"""

import json
from collections.abc import Iterable
from typing import Any

import numpy
import qdrant_edge as engine

from archon_dagster.sandbox.vectors import config as configuration
from archon_dagster.sandbox.vectors.body import Json, PointId, mapping, point_id, point_ids, required, sequence
from archon_dagster.sandbox.vectors.errors import BadRequest, FormatError, ValidationError, WrongInput

UNNAMED = ""


def points(body: Json, config: Json) -> list[engine.Point]:
    """The points of an upsert, each checked against the collection: the engine logs a write before it refuses it."""
    if "batch" in body:
        given = _unzipped(mapping(body["batch"], "batch"))
    elif "points" in body:
        given = [mapping(one, "point") for one in sequence(body["points"], "points")]
    else:
        raise FormatError("data did not match any variant of untagged enum PointInsertOperations")
    if not given:
        raise BadRequest("Empty update request")
    return [_point(one, config) for one in given]


def _unzipped(batch: Json) -> list[Json]:
    ids = sequence(required(batch, "ids"), "ids")
    vectors = required(batch, "vectors")
    payloads = batch.get("payloads") or [None] * len(ids)
    if isinstance(vectors, dict):
        columns = [dict(zip(vectors, row, strict=True)) for row in zip(*vectors.values(), strict=True)]
    else:
        columns = sequence(vectors, "vectors")
    if not len(ids) == len(columns) == len(payloads):
        raise ValidationError(f"[batch: number of ids {len(ids)} and of vectors {len(columns)} differ]")
    return [
        {"id": one, "vector": vector, "payload": payload}
        for one, vector, payload in zip(ids, columns, payloads, strict=True)
    ]


def _point(given: Json, config: Json) -> engine.Point:
    identifier = point_id(required(given, "id"))
    payload = given.get("payload")
    if payload is not None:
        mapping(payload, "payload")
    return engine.Point(identifier, vector(required(given, "vector"), config), payload)


def point_vectors(body: Json, config: Json) -> list[engine.PointVectors]:
    given = [mapping(one, "point") for one in sequence(required(body, "points"), "points")]
    if not given:
        raise BadRequest("Empty update request")
    return [
        engine.PointVectors(point_id(required(one, "id")), vector(required(one, "vector"), config)) for one in given
    ]


def selection(body: Json) -> list[PointId] | None:
    """The ids a write names, or ``None`` where it names them by a filter."""
    if body.get("points") is not None:
        return point_ids(body["points"])
    if body.get("filter") is None:
        raise BadRequest("Either list of ids or filter must be provided")
    return None


def vector(given: Any, config: Json) -> Any:
    """A point's vectors, of the right names and dimensions."""
    if isinstance(given, dict) and not _is_sparse(given):
        return {name: named_vector(name, one, config) for name, one in given.items()}
    return named_vector(UNNAMED, given, config)


def named_vector(name: str, given: Any, config: Json) -> Any:
    if name in configuration.sparse(config):
        return sparse_vector(given)
    params = configuration.dense(config).get(name)
    if params is None:
        raise WrongInput(f"Not existing vector name error: {name}")
    rows = given if _is_multi(given) else [given]
    for row in rows:
        _check_dimension(row, params["size"])
    return given


def _check_dimension(row: Any, size: int) -> None:
    if not isinstance(row, list):
        raise FormatError("data did not match any variant of untagged enum VectorStruct")
    if len(row) != size:
        raise WrongInput(f"Vector dimension error: expected dim: {size}, got {len(row)}")


def _is_multi(given: Any) -> bool:
    return isinstance(given, list) and bool(given) and isinstance(given[0], list)


def _is_sparse(given: Any) -> bool:
    return isinstance(given, dict) and given.keys() == {"indices", "values"}


def sparse_vector(given: Any) -> engine.SparseVector:
    if not _is_sparse(given):
        raise FormatError("data did not match any variant of untagged enum Vector")
    indices, values = sequence(given["indices"], "indices"), sequence(given["values"], "values")
    if len(indices) != len(values):
        raise ValidationError("[vector.values: must be the same length as indices]")
    if len(set(indices)) != len(indices):
        raise ValidationError("[vector.indices: must be unique]")
    return engine.SparseVector(indices, values)


def payload_selector(given: Any, *, default: bool) -> Any:
    match given:
        case None:
            return default
        case bool():
            return given
        case list():
            return engine.PayloadSelector.Include(given)
        case {"include": list() as names}:
            return engine.PayloadSelector.Include(names)
        case {"exclude": list() as names}:
            return engine.PayloadSelector.Exclude(names)
        case _:
            raise FormatError("data did not match any variant of untagged enum WithPayloadInterface")


def vector_selector(given: Any) -> bool | list[str]:
    if given is None:
        return False
    if isinstance(given, bool | list):
        return given
    raise FormatError("data did not match any variant of untagged enum WithVector")


def rendered(records: Iterable[Any], *, scored: bool = False) -> str:
    """Points as JSON text; what was not asked for is left out, not null."""
    return f"[{','.join(_rendered(record, scored=scored) for record in records)}]"


def _rendered(record: Any, *, scored: bool) -> str:
    shown: Json = {"id": shown_id(record.id)}
    if scored:
        shown |= {"version": record.version, "score": float(str(numpy.float32(record.score)))}
    if record.payload is not None:
        shown["payload"] = record.payload
    if getattr(record, "order_value", None) is not None:
        shown["order_value"] = record.order_value
    text = json.dumps(shown, ensure_ascii=False, separators=(",", ":"))
    if record.vector is None:
        return text
    return f'{text[:-1]},"vector":{_rendered_vector(record.vector)}}}'


def shown_id(identifier: PointId) -> int | str:
    return identifier if isinstance(identifier, int) else str(identifier)


def _rendered_vector(found: Any) -> str:
    if isinstance(found, dict):
        inner = (f"{json.dumps(name, ensure_ascii=False)}:{_rendered_vector(one)}" for name, one in found.items())
        return f"{{{','.join(inner)}}}"
    if isinstance(found, engine.SparseVector):
        return f'{{"indices":{json.dumps(found.indices)},"values":{_floats(found.values)}}}'
    if _is_multi(found):
        return f"[{','.join(_floats(row) for row in found)}]"
    return _floats(found)


def _floats(values: list[float]) -> str:
    """Numbers as JSON text; what is none (a damaged file holds such) is null, as a real server writes it."""
    numbers = numpy.asarray(values, dtype=numpy.float32)
    words = numpy.where(numpy.isfinite(numbers), numbers.astype("U16"), "null")
    return f"[{','.join(words.tolist())}]"
