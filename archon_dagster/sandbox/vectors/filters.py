"""Filters: from the JSON of a request to the engine's conditions."""

from typing import Any

import qdrant_edge as engine

from archon_dagster.sandbox.vectors.body import Json, mapping, point_ids, required, sequence
from archon_dagster.sandbox.vectors.errors import FormatError

MATCHES = {
    "value": engine.MatchValue,
    "text": engine.MatchText,
    "text_any": engine.MatchTextAny,
    "phrase": engine.MatchPhrase,
    "any": engine.MatchAny,
    "except": engine.MatchExcept,
}
NO_VARIANT = "data did not match any variant of untagged enum Condition"


def parse(given: object) -> engine.Filter | None:
    """The engine's filter, or ``None`` where the request has none."""
    if given is None:
        return None
    body = mapping(given, "filter")
    unknown = body.keys() - {"must", "should", "must_not", "min_should"}
    if unknown:
        raise FormatError(f"unknown field `{sorted(unknown)[0]}`, expected one of `should`, `must`, `must_not`")
    return engine.Filter(
        must=_conditions(body.get("must")),
        should=_conditions(body.get("should")),
        must_not=_conditions(body.get("must_not")),
        min_should=_min_should(body.get("min_should")),
    )


def required_filter(given: object) -> engine.Filter:
    """The filter of a request that cannot be without one."""
    return parse(mapping(given, "filter")) or engine.Filter()


def excluding(given: engine.Filter | None, ids: list[Any]) -> engine.Filter | None:
    """The same filter without some points: a query by id does not find the point itself."""
    if not ids:
        return given
    other = engine.HasIdCondition(set(ids))
    return engine.Filter(must=[given] if given else None, must_not=[other])


def _min_should(given: object) -> engine.MinShould | None:
    if given is None:
        return None
    body = mapping(given, "min_should")
    return engine.MinShould(_conditions(required(body, "conditions")) or [], required(body, "min_count"))


def _conditions(given: object) -> list[Any] | None:
    if given is None:
        return None
    several = given if isinstance(given, list) else [given]
    return [_condition(mapping(one, "condition")) for one in several]


def _condition(given: Json) -> Any:
    match given:
        case {"key": str() as key}:
            return _field(key, given)
        case {"has_id": ids}:
            return engine.HasIdCondition(set(point_ids(ids)))
        case {"has_vector": str() as name}:
            return engine.HasVectorCondition(name)
        case {"is_empty": {"key": str() as key}}:
            return engine.IsEmptyCondition(key)
        case {"is_null": {"key": str() as key}}:
            return engine.IsNullCondition(key)
        case {"nested": {"key": str() as key, "filter": inner}}:
            return engine.NestedCondition(key, required_filter(inner))
        case _ if given.keys() & {"must", "should", "must_not", "min_should"}:
            return parse(given)
        case _:
            raise FormatError(NO_VARIANT)


def _field(key: str, given: Json) -> engine.FieldCondition:
    conditions = {
        "match": _match(given.get("match")),
        "range": _range(given.get("range")),
        "geo_bounding_box": _bounding_box(given.get("geo_bounding_box")),
        "geo_radius": _radius(given.get("geo_radius")),
        "geo_polygon": _polygon(given.get("geo_polygon")),
        "values_count": _values_count(given.get("values_count")),
        "is_empty": given.get("is_empty"),
        "is_null": given.get("is_null"),
    }
    if all(value is None for value in conditions.values()):
        raise FormatError("Validation failed: At least one field condition must be specified")
    return engine.FieldCondition(key, **conditions)


def _match(given: object) -> Any:
    if given is None:
        return None
    body = mapping(given, "match")
    for name, kind in MATCHES.items():
        if name in body:
            return kind(body[name])
    raise FormatError("data did not match any variant of untagged enum Match")


def _range(given: object) -> Any:
    if given is None:
        return None
    body = mapping(given, "range")
    bounds = {name: body.get(name) for name in ("gte", "gt", "lte", "lt")}
    dated = any(isinstance(value, str) for value in bounds.values())
    return engine.RangeDateTime(**bounds) if dated else engine.RangeFloat(**bounds)


def _values_count(given: object) -> Any:
    if given is None:
        return None
    body = mapping(given, "values_count")
    return engine.ValuesCount(**{name: body.get(name) for name in ("lt", "gt", "lte", "gte")})


def _point(given: object) -> engine.GeoPoint:
    body = mapping(given, "geo point")
    return engine.GeoPoint(required(body, "lon"), required(body, "lat"))


def _bounding_box(given: object) -> Any:
    if given is None:
        return None
    body = mapping(given, "geo_bounding_box")
    return engine.GeoBoundingBox(_point(required(body, "top_left")), _point(required(body, "bottom_right")))


def _radius(given: object) -> Any:
    if given is None:
        return None
    body = mapping(given, "geo_radius")
    return engine.GeoRadius(_point(required(body, "center")), required(body, "radius"))


def _line(given: object) -> list[engine.GeoPoint]:
    return [_point(point) for point in sequence(required(mapping(given, "line"), "points"), "points")]


def _polygon(given: object) -> Any:
    if given is None:
        return None
    body = mapping(given, "geo_polygon")
    interiors = [_line(line) for line in body.get("interiors") or []]
    return engine.GeoPolygon(_line(required(body, "exterior")), interiors or None)
