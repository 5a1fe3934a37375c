"""How a document becomes a point: what the platform's search service keeps of it, and where."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

from archon_dagster.sandbox.search.settings import QUALITY, QUALITY_DOCUMENTS, VECTORS


def collection_of(document: dict[str, Any]) -> str:
    """The collection a document belongs to, by ``metadata.document_type``."""
    kind = _metadata(document).get("document_type")
    return QUALITY if kind in QUALITY_DOCUMENTS else VECTORS


def payload_of(document: dict[str, Any], now: datetime | None = None) -> dict[str, Any]:
    """The stored payload. It keeps the document's id as ``entity_id`` and drops ``document_id`` and ``metadata``."""
    metadata, content = _metadata(document), str(document["content"])
    source = str(document.get("source_path") or "")
    instant = (now or datetime.now(UTC)).isoformat()
    return {
        "entity_id": str(document["document_id"]),
        "entity_type": str(metadata.get("entity_type") or "page"),
        "title": str(metadata.get("title") or source.rsplit("/", 1)[-1] or document["document_id"]),
        "content": content,
        "url": str(metadata.get("url") or f"archon://documents/{document['document_id']}"),
        "source_id": metadata.get("source_id"),
        "created_at": instant,
        "updated_at": instant,
        "chunk_number": int(metadata.get("chunk_number") or 0),
        "quality_score": float(metadata.get("quality_score") or 0.5),
        "relative_path": source,
        "project_name": str(metadata.get("project_name") or ""),
        "project_id": document.get("project_id"),
        "content_hash": hashlib.sha256(content.encode()).hexdigest(),
        "language": str(metadata.get("language") or "text"),
        "concepts": list(metadata.get("concepts") or []),
        "themes": list(metadata.get("themes") or []),
    }


def result_of(hit: dict[str, Any]) -> dict[str, Any]:
    """A search result from a stored point."""
    payload = hit.get("payload") or {}
    kept = ("entity_type", "title", "content", "url", "source_id", "project_id", "relative_path", "language")
    return {
        "entity_id": payload.get("entity_id") or payload.get("document_id") or str(hit["id"]),
        "relevance_score": round(float(hit["score"]), 6),
        **{name: payload.get(name) for name in kept},
    }


def entity_of(node: dict[str, Any]) -> dict[str, Any]:
    """A search result from a node of the graph, as the bridge tells it."""
    return {
        "entity_id": node.get("entity_id"),
        "entity_type": next(iter(node.get("labels") or []), None),
        "title": node.get("name"),
        "content": None,
        "relevance_score": 1.0,
        "project_name": node.get("project_name"),
    }


def _metadata(document: dict[str, Any]) -> dict[str, Any]:
    metadata = document.get("metadata")
    return metadata if isinstance(metadata, dict) else {}
