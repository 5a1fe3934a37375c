"""Writes: from the JSON of a request to the engine's operations.

Everything is checked before the engine sees it, because the engine writes an operation to its log before it finds
out that it cannot be applied.
"""

from collections.abc import Callable
from typing import Any

import qdrant_edge as engine

from archon_dagster.sandbox.vectors import filters, points
from archon_dagster.sandbox.vectors.body import Json, known, mapping, required, sequence
from archon_dagster.sandbox.vectors.errors import BadRequest, FormatError

Operation = engine.UpdateOperation
UPDATE_MODES = {
    "upsert": engine.UpdateMode.Upsert,
    "insert_only": engine.UpdateMode.InsertOnly,
    "update_only": engine.UpdateMode.UpdateOnly,
}


def upsert(body: Json, config: Json) -> Operation:
    mode = known(body.get("update_mode") or "upsert", UPDATE_MODES, "update_mode")
    condition = filters.parse(body.get("update_filter"))
    return Operation.upsert_points(points.points(body, config), condition, UPDATE_MODES[mode])


def delete(body: Json, config: Json) -> Operation:
    ids = points.selection(body)
    if ids is None:
        return Operation.delete_points_by_filter(filters.required_filter(body["filter"]))
    return Operation.delete_points(ids)


def set_payload(body: Json, config: Json) -> Operation:
    return _write_payload(body, Operation.set_payload, Operation.set_payload_by_filter)


def overwrite_payload(body: Json, config: Json) -> Operation:
    return _write_payload(body, Operation.overwrite_payload, Operation.overwrite_payload_by_filter)


def _write_payload(body: Json, by_ids: Callable[..., Operation], by_filter: Callable[..., Operation]) -> Operation:
    payload = mapping(required(body, "payload"), "payload")
    ids = points.selection(body)
    if ids is None:
        return by_filter(filters.required_filter(body["filter"]), payload, body.get("key"))
    return by_ids(ids, payload, body.get("key"))


def delete_payload(body: Json, config: Json) -> Operation:
    keys = sequence(required(body, "keys"), "keys")
    ids = points.selection(body)
    if ids is None:
        return Operation.delete_payload_by_filter(filters.required_filter(body["filter"]), keys)
    return Operation.delete_payload(ids, keys)


def clear_payload(body: Json, config: Json) -> Operation:
    ids = points.selection(body)
    if ids is None:
        return Operation.clear_payload_by_filter(filters.required_filter(body["filter"]))
    return Operation.clear_payload(ids)


def update_vectors(body: Json, config: Json) -> Operation:
    return Operation.update_vectors(points.point_vectors(body, config), filters.parse(body.get("update_filter")))


def delete_vectors(body: Json, config: Json) -> Operation:
    names = sequence(required(body, "vector"), "vector")
    if not names:
        raise BadRequest("Empty update request")
    ids = points.selection(body)
    if ids is None:
        return Operation.delete_vectors_by_filter(filters.required_filter(body["filter"]), names)
    return Operation.delete_vectors(ids, names)


KINDS: dict[str, Callable[[Json, Json], Operation]] = {
    "upsert": upsert,
    "delete": delete,
    "set_payload": set_payload,
    "overwrite_payload": overwrite_payload,
    "delete_payload": delete_payload,
    "clear_payload": clear_payload,
    "update_vectors": update_vectors,
    "delete_vectors": delete_vectors,
}


def batch(body: Json, config: Json) -> list[Operation]:
    """The operations of ``/points/batch``, in order."""
    return [_one(mapping(given, "operation"), config) for given in sequence(required(body, "operations"), "operations")]


def _one(given: Json, config: Json) -> Operation:
    named: list[tuple[str, Any]] = [(kind, given[kind]) for kind in KINDS if kind in given]
    if len(named) != 1:
        raise FormatError("data did not match any variant of untagged enum UpdateOperation")
    kind, inner = named[0]
    return KINDS[kind](mapping(inner, kind), config)
