"""Handlers for points: writes and reads."""

from collections.abc import Callable
from typing import Any

from archon_dagster.sandbox.vectors import queries, updates
from archon_dagster.sandbox.vectors.body import Json, mapping, required, sequence
from archon_dagster.sandbox.vectors.errors import engine_errors
from archon_dagster.sandbox.vectors.http import Call, Handler, RawJson

Answer = Any
Query = Callable[[Any, Json, Json], str]


def writing(kind: str) -> Handler:
    """A handler for one kind of write."""

    def handler(call: Call) -> Answer:
        found = call.registry.get(call.path["name"])
        with engine_errors():
            operation = updates.KINDS[kind](call.body, found.config)
        return found.write(operation, wait=call.flag("wait", default=False))

    return handler


def write_batch(call: Call) -> Answer:
    found = call.registry.get(call.path["name"])
    with engine_errors():
        operations = updates.batch(call.body, found.config)
    wait = call.flag("wait", default=False)
    return [found.write(operation, wait=wait) for operation in operations]


def retrieve(call: Call) -> Answer:
    body = call.body
    return RawJson(call.registry.get(call.path["name"]).shard.read(lambda shard: queries.retrieve(shard, body)))


def get_one(call: Call) -> Answer:
    shard = call.registry.get(call.path["name"]).shard
    return RawJson(shard.read(lambda engine: queries.one(engine, call.path["id"])))


def scroll(call: Call) -> Answer:
    body = call.body
    return RawJson(call.registry.get(call.path["name"]).shard.read(lambda shard: queries.scroll(shard, body)))


def count(call: Call) -> Answer:
    body, found = call.body, call.registry.get(call.path["name"])
    return {"count": found.shard.read(lambda shard: queries.count(shard, body))}


def facet(call: Call) -> Answer:
    body, found = call.body, call.registry.get(call.path["name"])
    return {"hits": found.shard.read(lambda shard: queries.facet(shard, body))}


def query(call: Call) -> Answer:
    return RawJson(f'{{"points":{_found(call, queries.query, call.body)}}}')


def query_batch(call: Call) -> Answer:
    return RawJson(_each(call, lambda body: f'{{"points":{_found(call, queries.query, body)}}}'))


def search(call: Call) -> Answer:
    return RawJson(_found(call, queries.search, call.body))


def search_batch(call: Call) -> Answer:
    return RawJson(_each(call, lambda body: _found(call, queries.search, body)))


def recommend(call: Call) -> Answer:
    return RawJson(_found(call, queries.recommend, call.body))


def _found(call: Call, how: Query, body: Json) -> str:
    found = call.registry.get(call.path["name"])
    return found.shard.read(lambda shard: how(shard, body, found.config))


def _each(call: Call, answer: Callable[[Json], str]) -> str:
    searches = sequence(required(call.body, "searches"), "searches")
    return f"[{','.join(answer(mapping(one, 'search')) for one in searches)}]"


POINTS = "/collections/{name}/points"
ROUTES: list[tuple[str, str, Handler]] = [
    ("PUT", POINTS, writing("upsert")),
    ("POST", POINTS, retrieve),
    ("POST", f"{POINTS}/delete", writing("delete")),
    ("POST", f"{POINTS}/payload", writing("set_payload")),
    ("PUT", f"{POINTS}/payload", writing("overwrite_payload")),
    ("POST", f"{POINTS}/payload/delete", writing("delete_payload")),
    ("POST", f"{POINTS}/payload/clear", writing("clear_payload")),
    ("PUT", f"{POINTS}/vectors", writing("update_vectors")),
    ("POST", f"{POINTS}/vectors/delete", writing("delete_vectors")),
    ("POST", f"{POINTS}/batch", write_batch),
    ("POST", f"{POINTS}/scroll", scroll),
    ("POST", f"{POINTS}/count", count),
    ("POST", f"{POINTS}/query", query),
    ("POST", f"{POINTS}/query/batch", query_batch),
    ("POST", f"{POINTS}/search", search),
    ("POST", f"{POINTS}/search/batch", search_batch),
    ("POST", f"{POINTS}/recommend", recommend),
    ("GET", f"{POINTS}/{{id}}", get_one),
    ("POST", "/collections/{name}/facet", facet),
]
