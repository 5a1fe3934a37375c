"""Documents of a folder of source as points: the payloads and both kinds of ids that the platform's writers use."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from archon_dagster.sandbox.embedding import embed
from archon_dagster.sandbox.seed.graph_rows import confidence
from archon_dagster.sandbox.seed.identity import entity_id, full_range_u64, hexdigits, instant, random_looking_uuid
from archon_dagster.sandbox.seed.sources import Entity, SourceFile

Point = dict[str, Any]


def documents(project: str, files: Sequence[SourceFile], limit: int | None) -> Iterator[Point]:
    """Points of ``archon_vectors``: one per file as the indexer writes them, then one per class and function.

    Entities are taken in the order of a hash of their id, so that a limit takes some of every file.
    """
    entities = [(source, entity) for source in files for entity in source.entities]
    entities.sort(key=lambda pair: hexdigits(f"{pair[0].path}:{pair[1].name}", 16))
    of_files = (_file_point(project, source) for source in files)
    points = chain(of_files, (_entity_point(project, source, entity) for source, entity in entities))
    for count, point in enumerate(points):
        if limit is not None and count >= limit:
            return
        yield point


def patterns(files: Sequence[SourceFile], limit: int) -> Iterator[Point]:
    """Points of ``code_generation_patterns``: what most classes have in common, by base class."""
    examples: dict[str, list[str]] = {}
    for source in files:
        for entity in source.entities:
            for base in entity.bases:
                examples.setdefault(base, []).append(f"{source.module}.{entity.name}")
    common = sorted(examples, key=lambda base: (-len(examples[base]), base))
    for base in common[:limit]:
        yield {
            "id": random_looking_uuid(f"pattern:{base}"),
            "vector": _vector(f"subclass of {base}: {' '.join(examples[base][:20])}"),
            "payload": {
                "pattern_type": "subclass", "name": base, "usage_count": len(examples[base]),
                "examples": examples[base][:5], "success_rate": 1.0, "language": "python",
            },
        }  # fmt: skip


def as_json(points: Sequence[Point]) -> bytes:
    """The body of an upsert; ids stay integers of full range, floats keep the seven digits that a float32 has."""
    return json.dumps({"points": points}, separators=(",", ":")).encode()


def _file_point(project: str, source: SourceFile) -> Point:
    return {
        "id": full_range_u64(f"{project}/{source.path}"),
        "vector": _vector(f"{source.module}\n{source.doc}\n{source.excerpt}"),
        "payload": {
            "absolute_path": f"archon://projects/{project}/documents/{source.path}", "relative_path": source.path,
            "project_name": project, "document_id": f"doc_{hexdigits(source.path, 12)}", "language": "python",
            "quality_score": 0.9 if source.doc else 0.6, "indexed_at": instant(source.path).isoformat(),
        },
    }  # fmt: skip


def _entity_point(project: str, source: SourceFile, entity: Entity) -> Point:
    key = f"{source.path}:{entity.name}"
    content = f"{entity.doc}\n{entity.excerpt}" if entity.doc else entity.excerpt
    seen = instant(key).isoformat()
    return {
        "id": random_looking_uuid(key),
        "vector": _vector(f"{source.module} {entity.name}\n{content}"),
        "payload": {
            "entity_id": entity_id(key), "entity_type": entity.kind, "title": f"{source.module}.{entity.name}",
            "content": content, "url": f"archon://projects/{project}/documents/{source.path}#L{entity.line}",
            "source_id": f"src_{hexdigits(project, 8)}", "created_at": seen, "updated_at": seen,
            "chunk_number": entity.line // 40, "quality_score": confidence(entity), "relative_path": source.path,
            "project_name": project, "project_id": random_looking_uuid(f"project:{project}"),
            "content_hash": hashlib.sha256(content.encode(errors="replace")).hexdigest(), "language": "python",
            "concepts": source.module.split("."), "themes": [entity.kind],
        },
    }  # fmt: skip


def _vector(text: str) -> list[float]:
    return [round(value, 7) if value else 0 for value in embed(text).tolist()]
