"""Write the sample points over Qdrant's REST API: collections, points, payload indexes, an alias."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

import httpx

from archon_dagster.errors import StoreError
from archon_dagster.platform.settings import Settings
from archon_dagster.sandbox.embedding import DIMENSION
from archon_dagster.sandbox.seed.points import Point, as_json

ALIAS = "archon_documents"
_BATCH = 200
_INDEXED = {
    "project_name": "keyword",
    "language": "keyword",
    "entity_type": "keyword",
    "entity_id": "keyword",
    "quality_score": "float",
}


def write_vectors(
    settings: Settings, collections: Mapping[str, Iterable[Point]], tell: Callable[[int], None]
) -> dict[str, int]:
    """Make the collections and upsert their points; returns the points written to each.

    :param tell: called with the number of points written so far.
    """
    key = settings.qdrant_api_key
    headers = {"api-key": key.get_secret_value()} if key else {}
    written: dict[str, int] = {}
    with httpx.Client(base_url=settings.qdrant_url, headers=headers, timeout=60.0, trust_env=False) as client:
        for name, points in collections.items():
            _create(client, name)
            before = sum(written.values())
            written[name] = _upsert(client, name, points, _shifted(tell, before))
        main = next(iter(collections))
        for field, schema in _INDEXED.items():
            body = {"field_name": field, "field_schema": schema}
            _call(client, "PUT", f"/collections/{main}/index?wait=true", json=body)
        alias = {"create_alias": {"collection_name": main, "alias_name": ALIAS}}
        _call(client, "POST", "/collections/aliases", json={"actions": [alias]})
    return written


def _create(client: httpx.Client, name: str) -> None:
    listed = _call(client, "GET", "/collections")["result"]["collections"]
    if name not in [item["name"] for item in listed]:
        vectors = {"size": DIMENSION, "distance": "Cosine"}
        _call(client, "PUT", f"/collections/{name}", json={"vectors": vectors})


def _upsert(client: httpx.Client, name: str, points: Iterable[Point], tell: Callable[[int], None]) -> int:
    """Send batch after batch; the next one is prepared while the server works on the last."""
    written, path = 0, f"/collections/{name}/points?wait=true"
    with ThreadPoolExecutor(1) as sender:
        sending = None
        for batch in _batches(points):
            body = as_json(batch)
            if sending is not None:
                sending.result()
                tell(written)
            sending = sender.submit(_call, client, "PUT", path, content=body)
            written += len(batch)
        if sending is not None:
            sending.result()
            tell(written)
    return written


def _shifted(tell: Callable[[int], None], before: int) -> Callable[[int], None]:
    return lambda done: tell(before + done)


def _batches(points: Iterable[Point]) -> Iterator[Sequence[Point]]:
    remaining = iter(points)
    while batch := list(islice(remaining, _BATCH)):
        yield batch


def _call(client: httpx.Client, method: str, path: str, *, json: Any = None, content: bytes | None = None) -> Any:
    what = f"the sample points were not written: {method} {path}"
    headers = {"content-type": "application/json"} if content else None
    try:
        answer = client.request(method, path, json=json, content=content, headers=headers)
    except httpx.HTTPError as error:
        raise StoreError(f"{what}: {type(error).__name__}: {error}", where=str(client.base_url)) from error
    if not answer.is_success:
        raise StoreError(f"{what}: {answer.status_code} {answer.text[:300]}", where=str(client.base_url))
    return answer.json()
