"""What the search service reads from its environment: the names are the platform's."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from archon_dagster.sandbox.services.neighbours import Neighbour

QDRANT_URL = "http://127.0.0.1:6333"
VECTORS = "archon_vectors"
QUALITY = "quality_vectors"

QUALITY_DOCUMENTS = frozenset(
    {
        "technical_diagnosis",
        "quality_assessment",
        "code_review",
        "execution_report",
        "quality_report",
        "compliance_check",
        "performance_analysis",
    }
)
"""Document types that are stored in :data:`QUALITY`; all others go to :data:`VECTORS`."""


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """Where the service's neighbours are; an empty address is a neighbour this platform does not have.

    :param auto_refresh: each success resets the optimizers of both collections, as the platform's own service does.
    :param ollama_url: the embedding service; without one the sandbox's embedder is used in this process.
    :param embedder_available: ``False`` plays the embedding service being down.
    """

    qdrant_url: str = QDRANT_URL
    qdrant_api_key: str | None = field(default=None, repr=False)
    memgraph_uri: str = ""
    bridge_url: str = ""
    ollama_url: str = ""
    embedding_model: str = ""
    dimension: int = 1536
    auto_refresh: bool = True
    embedder_available: bool = True

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> SearchSettings:
        return cls(
            qdrant_url=(environment.get("QDRANT_URL") or QDRANT_URL).rstrip("/"),
            qdrant_api_key=environment.get("QDRANT_API_KEY") or None,
            memgraph_uri=environment.get("MEMGRAPH_URI", ""),
            bridge_url=environment.get("BRIDGE_URL", "").rstrip("/") or Neighbour.of(environment, "archon-bridge").url,
            ollama_url=environment.get("OLLAMA_BASE_URL", "").rstrip("/"),
            embedding_model=environment.get("EMBEDDING_MODEL", ""),
            dimension=int(environment.get("EMBEDDING_DIMENSIONS") or 1536),
            auto_refresh=_flag(environment, "AUTO_REFRESH_ENABLED"),
            embedder_available=_flag(environment, "EMBEDDER_AVAILABLE"),
        )


def _flag(environment: Mapping[str, str], name: str) -> bool:
    return environment.get(name, "true").strip().lower() not in {"0", "false", "no", "off"}
