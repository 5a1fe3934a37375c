"""The two collections in Qdrant the service writes to and searches, over plain REST.

Only routes that every Qdrant from 1.7 on has are used.
"""

from __future__ import annotations

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
        query = {"vector": vector, "limit": limit, "with_payload": True}
        hits: list[dict[str, Any]] = []
        present = await self.collections()
        for collection in (VECTORS, QUALITY):
            if collection in present:
                hits += await self._call("POST", f"/collections/{collection}/points/search", json=query)
        return sorted(hits, key=lambda hit: -float(hit["score"]))[:limit]

    async def _create(self, collection: str) -> None:
        vectors = {"size": self._dimension, "distance": "Cosine"}
        answer = await self._client.put(f"/collections/{collection}", json={"vectors": vectors})
        if answer.status_code != httpx.codes.CONFLICT:  # somebody else was faster
            answer.raise_for_status()

    async def _call(self, method: str, path: str, *, json: Any = None, key: str | None = None) -> Any:
        answer = await self._client.request(method, path, json=json)
        answer.raise_for_status()
        result = answer.json()["result"]
        return result[key] if key else result
