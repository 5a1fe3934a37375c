"""Where the search service gets its vectors: from Ollama, or from this process where the platform has none."""

from __future__ import annotations

from archon_dagster.sandbox.search.settings import SearchSettings
from archon_dagster.sandbox.services.neighbours import Neighbour, Unanswered

_WAIT = 30.0  # seconds for one text: a real model may have to be loaded first


class NoEmbedding(Exception):
    """The embedding service gave no vector; says why."""


class Embedder:
    """The embedding service as the search service sees it."""

    def __init__(self, settings: SearchSettings):
        self._settings, self._ollama = settings, Neighbour(settings.ollama_url)

    async def answers(self) -> bool:
        """Whether the service answers. Whether it has the model is another matter, and not looked at."""
        if not self._settings.embedder_available:
            return False
        return not self._ollama.url or await self._ollama.answers("/api/tags")

    async def embed(self, text: str) -> list[float]:
        """The vector of a text, of whatever length the model gives; raises :class:`NoEmbedding`."""
        if not self._settings.embedder_available:
            raise NoEmbedding("embedding service unavailable")
        return await self._asked(text) if self._ollama.url else self._computed(text)

    async def _asked(self, text: str) -> list[float]:
        request = {"model": self._settings.embedding_model, "prompt": text}
        try:
            reply = await self._ollama.ask("POST", "/api/embeddings", request, timeout=_WAIT)
        except Unanswered as error:
            raise NoEmbedding(f"embedding service unavailable: {error}") from error
        vector = reply.body.get("embedding") if reply.status == 200 and isinstance(reply.body, dict) else None
        if not vector:
            raise NoEmbedding(f"embedding service: HTTP {reply.status}: {str(reply.body)[:200]}")
        return [float(value) for value in vector]

    def _computed(self, text: str) -> list[float]:
        from archon_dagster.sandbox.embedding import embed  # with Ollama, this process needs no NumPy

        vector: list[float] = embed(text, self._settings.dimension).tolist()
        return vector
