"""The two collections in Qdrant the service writes to and searches, over plain REST.

Every Qdrant from 1.7 on will do. Searching is the one thing that has moved: ``/points/query`` is there since 1.10,
``/points/search`` is on its way out. Which one is used follows from the version the server tells, never from trying:
after a 404 for a route it does not know, an old server leaves the next request on the connection hanging.
"""

from __future__ import annotations

import re
from typing import Any

import httpx

from archon_dagster.sandbox.search.settings import QUALITY, VECTORS, SearchSettings

_REFRESHED = {"optimizers_config": {"indexing_threshold": 1000, "flush_interval_sec": 5}}


class VectorIndex:
    """Qdrant as the service sees it. Every failure is an :class:`httpx.HTTPError`."""

    def __init__(self, settings: SearchSettings):
        headers = {"api-key": settings.qdrant_api_key} if settings.qdrant_api_key else {}
        self._client = httpx.AsyncClient(base_url=settings.qdrant_url, headers=headers, timeout=10.0, trust_env=False)
        self._dimension = settings.dimension

    async def close(self) -> None:
        await self._client.aclose()

    async def answers(self, timeout: float = 1.0) -> bool:
        """Whether Qdrant lists its collections within the time."""
        try:
            return (await self._client.get("/collections", timeout=timeout)).is_success
        except httpx.HTTPError:
            return False

    async def collections(self) -> list[str]:
        return [item["name"] for item in await self._call("GET", "/collections", key="collections")]

    async def insert(self, collection: str, point_id: str, vector: list[float], payload: dict[str, Any]) -> None:
        """Store one point; the collection is made where it is missing."""
        points = {"points": [{"id": point_id, "vector": vector, "payload": payload}]}
        path = f"/collections/{collection}/points"
        answer = await self._client.put(path, params={"wait": "true"}, json=points)
        if answer.status_code == httpx.codes.NOT_FOUND:
            await self._create(collection)
            answer = await self._client.put(path, params={"wait": "true"}, json=points)
        answer.raise_for_status()

    async def refresh(self) -> None:
        """Reset the optimizers of both collections: the platform's habit that undoes any tuning."""
        present = await self.collections()
        for collection in (VECTORS, QUALITY):
            if collection in present:
                await self._call("PATCH", f"/collections/{collection}", json=_REFRESHED)

    async def search(self, vector: list[float], limit: int) -> list[dict[str, Any]]:
        """The nearest points of both collections, best first."""
        hits: list[dict[str, Any]] = []
        present, new = await self.collections(), await self._has_query()
        for collection in (VECTORS, QUALITY):
            if collection in present:
                hits += await self._nearest(collection, vector, limit, new)
        return sorted(hits, key=lambda hit: -float(hit["score"]))[:limit]

    async def _nearest(self, collection: str, vector: list[float], limit: int, new: bool) -> list[dict[str, Any]]:
        rest = {"limit": limit, "with_payload": True}
        points = f"/collections/{collection}/points"
        if new:
            found: list[dict[str, Any]] = await self._call("POST", f"{points}/query", json={"query": vector} | rest,
                                                           key="points")  # fmt: skip
        else:
            found = await self._call("POST", f"{points}/search", json={"vector": vector} | rest)
        return found

    async def _has_query(self) -> bool:
        """Asked each time: the server may have been exchanged for another one since."""
        answer = await self._client.get("/")
        answer.raise_for_status()
        version = re.match(r"(\d+)\.(\d+)", str(answer.json().get("version")))
        return version is not None and (int(version[1]), int(version[2])) >= (1, 10)

    async def _create(self, collection: str) -> None:
        vectors = {"size": self._dimension, "distance": "Cosine"}
        answer = await self._client.put(f"/collections/{collection}", json={"vectors": vectors})
        if "already exists" not in answer.text:  # somebody else was faster: 409, and 400 of old servers
            answer.raise_for_status()

    async def _call(self, method: str, path: str, *, json: Any = None, key: str | None = None) -> Any:
        answer = await self._client.request(method, path, json=json)
        answer.raise_for_status()
        result = answer.json()["result"]
        return result[key] if key else result
