"""Reads: scroll, retrieve, count, facet, query and the older search, from JSON to the engine and back.

Every function takes the engine of one collection, whose calls the caller has already serialised.
"""

from typing import Any

import numpy
import qdrant_edge as engine

from archon_dagster.sandbox.vectors import filters, points
from archon_dagster.sandbox.vectors.body import Json, PointId, mapping, point_id, point_ids, required, whole_number
from archon_dagster.sandbox.vectors.errors import BadRequest, FormatError, NotFound, WrongInput

Shard = engine.EdgeShard
ORDERS = {"asc": engine.Direction.Asc, "desc": engine.Direction.Desc}
FUSION_K = 2
PREFETCH_LIMIT = 10


def scroll(shard: Shard, body: Json) -> str:
    """A page of points as JSON text, and where the next one starts."""
    limit = whole_number(body, "limit", 10, at_least=1, schema="scroll_request")
    offset = None if body.get("offset") is None else point_id(body["offset"])
    order = None if body.get("order_by") is None else _order(body["order_by"])
    if order is not None and offset is not None:
        raise BadRequest("Cannot use an `offset` when using `order_by`. The alternative for paging is `start_from`")
    request = engine.ScrollRequest(
        offset=offset,
        limit=limit,
        filter=filters.parse(body.get("filter")),
        with_payload=points.payload_selector(body.get("with_payload"), default=True),
        with_vector=points.vector_selector(body.get("with_vector")),
        order_by=order,
    )
    found, following = shard.scroll(request)
    return f'{{"points":{points.rendered(found)},"next_page_offset":{_offset(None if order else following)}}}'


def _offset(following: PointId | None) -> str:
    if following is None:
        return "null"
    shown = points.shown_id(following)
    return f'"{shown}"' if isinstance(shown, str) else str(shown)


def _order(given: Any) -> engine.OrderBy:
    body = {"key": given} if isinstance(given, str) else mapping(given, "order_by")
    direction = ORDERS[body["direction"]] if body.get("direction") in ORDERS else None
    return engine.OrderBy(required(body, "key"), direction, body.get("start_from"))


def retrieve(shard: Shard, body: Json) -> str:
    """The points asked for that exist, in the order asked for."""
    ids = list(dict.fromkeys(point_ids(required(body, "ids"))))
    payload = points.payload_selector(body.get("with_payload"), default=True)
    found = {one.id: one for one in shard.retrieve(ids, payload, points.vector_selector(body.get("with_vector")))}
    return points.rendered(found[identifier] for identifier in ids if identifier in found)


def one(shard: Shard, identifier: str) -> str:
    number = identifier.isascii() and identifier.isdigit()
    try:
        asked = point_id(int(identifier) if number else identifier)
    except FormatError as error:
        raise BadRequest(f'Can not recognize "{identifier}" as point id') from error
    found = shard.retrieve([asked], True, True)
    if not found:
        raise NotFound(f"Point with id {identifier} does not exists!")
    return points.rendered(found)[1:-1]


def count(shard: Shard, body: Json) -> int:
    exact = body.get("exact", True) is not False
    return int(shard.count(engine.CountRequest(exact=exact, filter=filters.parse(body.get("filter")))))


def facet(shard: Shard, body: Json) -> list[Json]:
    limit = whole_number(body, "limit", 10, at_least=1, schema="facet_request")
    exact, selected = bool(body.get("exact")), filters.parse(body.get("filter"))
    hits = shard.facet(engine.FacetRequest(required(body, "key"), limit, exact, selected)).hits
    return [{"value": hit.value, "count": hit.count} for hit in hits]


def query(shard: Shard, body: Json, config: Json) -> str:
    """``/points/query``: nearest to a vector, a point or examples; fused or reordered prefetches; or a sample."""
    ids = _example_ids(body)
    request = engine.QueryRequest(
        limit=whole_number(body, "limit", 10, at_least=1, schema="query_request"),
        offset=whole_number(body, "offset", 0, at_least=0, schema="query_request"),
        query=_scoring(shard, body, config),
        prefetches=_prefetches(shard, body, config),
        with_vector=points.vector_selector(body.get("with_vector")),
        with_payload=points.payload_selector(body.get("with_payload"), default=False),
        filter=filters.excluding(filters.parse(body.get("filter")), ids),
        score_threshold=body.get("score_threshold"),
        params=_params(body.get("params")),
    )
    return points.rendered(shard.query(request), scored=True)


def search(shard: Shard, body: Json, config: Json) -> str:
    """The older ``/points/search``, which names the vector inside the ``vector`` field."""
    given = required(body, "vector")
    using = body.get("using") or ""
    if isinstance(given, dict) and "name" in given:
        given, using = required(given, "vector"), given["name"]
    return query(shard, {**body, "query": {"nearest": given}, "using": using}, config)


def recommend(shard: Shard, body: Json, config: Json) -> str:
    """The older ``/points/recommend``."""
    given = {key: body[key] for key in ("positive", "negative", "strategy") if body.get(key) is not None}
    return query(shard, {**body, "query": {"recommend": given}}, config)


def _prefetches(shard: Shard, body: Json, config: Json) -> list[engine.Prefetch] | None:
    given = body.get("prefetch")
    if given is None:
        return None
    several = given if isinstance(given, list) else [given]
    return [_prefetch(shard, mapping(inner, "prefetch"), config) for inner in several]


def _prefetch(shard: Shard, body: Json, config: Json) -> engine.Prefetch:
    return engine.Prefetch(
        limit=whole_number(body, "limit", PREFETCH_LIMIT, at_least=1, schema="prefetch"),
        query=_scoring(shard, body, config),
        prefetches=_prefetches(shard, body, config),
        params=_params(body.get("params")),
        filter=filters.excluding(filters.parse(body.get("filter")), _example_ids(body)),
        score_threshold=body.get("score_threshold"),
    )


def _scoring(shard: Shard, body: Json, config: Json) -> Any:
    given, using = body.get("query"), body.get("using") or ""
    match given:
        case None:
            return None
        case {"fusion": "rrf"}:
            return engine.Fusion.Rrf(FUSION_K)
        case {"rrf": dict() as rrf}:
            return engine.Fusion.Rrf(rrf.get("k") or FUSION_K, rrf.get("weights"))
        case {"fusion": "dbsf"}:
            return engine.Fusion.Dbsf()
        case {"order_by": order}:
            return _order(order)
        case {"sample": "random"}:
            return engine.Sample.Random
        case {"recommend": dict() as examples}:
            return _recommendation(shard, examples, using, config)
        case {"nearest": target}:
            return engine.Query.Nearest(_example(shard, target, using, config), using=using or None)
        case dict() if given.keys() != {"indices", "values"}:
            raise FormatError("data did not match any variant of untagged enum QueryInterface")
        case _:
            return engine.Query.Nearest(_example(shard, given, using, config), using=using or None)


def _recommendation(shard: Shard, examples: Json, using: str, config: Json) -> Any:
    positive = [_example(shard, one, using, config) for one in examples.get("positive") or []]
    negative = [_example(shard, one, using, config) for one in examples.get("negative") or []]
    strategy = examples.get("strategy") or "average_vector"
    if strategy == "average_vector":
        return engine.Query.Nearest(_average(positive, negative), using=using or None)
    by = engine.Query.RecommendSumScores if strategy == "sum_scores" else engine.Query.RecommendBestScore
    return by(engine.RecommendQuery(positive, negative), using=using or None)


def _average(positive: list[Any], negative: list[Any]) -> list[float]:
    if not positive:
        raise BadRequest("At least one positive vector ID required with this strategy")
    target = numpy.mean(numpy.asarray(positive, dtype=numpy.float64), axis=0)
    if negative:
        target = 2 * target - numpy.mean(numpy.asarray(negative, dtype=numpy.float64), axis=0)
    return [float(value) for value in target]


def _example(shard: Shard, given: Any, using: str, config: Json) -> Any:
    """A vector, or the vector of the point that a query names."""
    if not _names_a_point(given):
        return points.named_vector(using, given, config)
    identifier = point_id(given)
    found = shard.retrieve([identifier], False, True)
    if not found:
        raise NotFound(f"No point with id {points.shown_id(identifier)} found")
    stored = found[0].vector
    vector = stored.get(using) if isinstance(stored, dict) else stored
    if vector is None:
        raise WrongInput(f"Not existing vector name error: {using}")
    return vector


def _names_a_point(given: Any) -> bool:
    return isinstance(given, int | str)


def _example_ids(body: Json) -> list[PointId]:
    """The points a query names: they are not found by it."""
    given = body.get("query")
    if isinstance(given, dict):
        examples = given.get("recommend") or {}
        named = [given.get("nearest"), *(examples.get("positive") or []), *(examples.get("negative") or [])]
    else:
        named = [given]
    return [point_id(value) for value in named if _names_a_point(value)]


def _params(given: Any) -> engine.SearchParams | None:
    if given is None:
        return None
    body = mapping(given, "params")
    quantization = body.get("quantization")
    return engine.SearchParams(
        hnsw_ef=body.get("hnsw_ef"),
        exact=bool(body.get("exact")),
        indexed_only=bool(body.get("indexed_only")),
        quantization=engine.QuantizationSearchParams(**quantization) if quantization else None,
    )
