"""Rows of the platform's tables, made of a folder of source."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from archon_dagster.sandbox.seed.identity import hexdigits, instant, number, random_looking_uuid
from archon_dagster.sandbox.seed.sources import SourceFile

Row = dict[str, Any]
_STATES = ("todo", "doing", "review", "done")
_WORKERS = ("User", "Archon", "AI IDE Agent")
_SETTINGS = (
    ("MCP_TRANSPORT", "dual", "server_config", "Transport of the MCP server"),
    ("LOG_LEVEL", "INFO", "server_config", "Verbosity of all services"),
    ("EMBEDDING_DIMENSIONS", "1536", "rag_strategy", "Length of the vectors"),
    ("USE_HYBRID_SEARCH", "true", "rag_strategy", "Combine vector and keyword search"),
    ("USE_RERANKING", "false", "rag_strategy", "Order results by a second model"),
    ("PROJECTS_ENABLED", "true", "features", "Projects and tasks"),
)


def tables(project: str, files: Sequence[SourceFile]) -> dict[str, Iterator[Row]]:
    """Rows by table, referenced tables first."""
    documented = [source for source in files if source.doc]
    return {
        "archon_settings": _settings(),
        "archon_sources": iter([_source(project, files)]),
        "archon_projects": iter([_project(project, files)]),
        "archon_crawled_pages": _pages(project, files),
        "archon_code_examples": _examples(project, files),
        "archon_page_metadata": _page_metadata(project, documented),
        "archon_tasks": _tasks(project, documented),
        "archon_project_sources": iter([_link(project)]),
        "archon_document_versions": _versions(project, documented),
        "archon_prompts": _prompts(),
    }


def _settings() -> Iterator[Row]:
    for key, value, category, description in _SETTINGS:
        yield _stamped(f"setting:{key}", key=key, value=value, category=category, description=description)
    sealed = hashlib.sha512(b"a sealed sample, not a key").digest()
    yield _stamped("setting:OPENAI_API_KEY", key="OPENAI_API_KEY", encrypted_value=sealed, is_encrypted=True,
                   category="api_keys", description="Sealed by the platform")  # fmt: skip


def _source(project: str, files: Sequence[SourceFile]) -> Row:
    words = sum(len(source.doc.split()) for source in files)
    row = _stamped(f"source:{project}", source_id=_source_id(project), source_url=f"file://{project}", title=project,
                   source_display_name=project, summary=f"Source code of {project}", total_word_count=words,
                   metadata={"knowledge_type": "technical", "files": len(files), "tags": ["code"]})  # fmt: skip
    del row["id"]
    return row


def _project(project: str, files: Sequence[SourceFile]) -> Row:
    docs = [{"path": source.path, "sha256": source.sha256} for source in files[:50]]
    return _stamped(f"project:{project}", title=project, description=f"{len(files)} files of source code", docs=docs,
                    features={"indexed": True, "score": 1.0}, pinned=True)  # fmt: skip


def _pages(project: str, files: Sequence[SourceFile]) -> Iterator[Row]:
    for order, source in enumerate(files, 1):
        yield {
            "id": order, "url": _url(project, source), "chunk_number": 0, "content": source.excerpt or "(empty)",
            "metadata": {"lines": source.lines, "bytes": source.size, "module": source.module},
            "source_id": _source_id(project), "tags": source.module.split("."), "created_at": instant(source.path),
        }  # fmt: skip


def _examples(project: str, files: Sequence[SourceFile]) -> Iterator[Row]:
    documented = [(s, e) for s in files for e in s.entities if e.doc and e.kind == "class"]
    for order, (source, entity) in enumerate(documented, 1):
        yield {
            "id": order, "url": _url(project, source), "chunk_number": entity.line, "content": entity.excerpt,
            "summary": entity.doc.partition("\n")[0], "metadata": {"name": entity.name, "bases": entity.bases},
            "source_id": _source_id(project), "quality": Decimal(number(entity.name, 10_000)) / 10_000,
            "created_at": instant(f"{source.path}:{entity.name}"),
        }  # fmt: skip


def _page_metadata(project: str, documented: Sequence[SourceFile]) -> Iterator[Row]:
    for source in documented:
        yield {
            "id": random_looking_uuid(f"page:{source.path}"), "source_id": _source_id(project),
            "url": _url(project, source), "section_title": source.doc.partition("\n")[0],
            "word_count": len(source.doc.split()), "char_count": len(source.doc), "chunk_count": 1,
            "metadata": {"path": source.path}, "created_at": instant(source.path),
        }  # fmt: skip


def _tasks(project: str, documented: Sequence[SourceFile]) -> Iterator[Row]:
    parent = None
    for order, source in enumerate(documented[:120]):
        key = f"task:{source.path}"
        yield {
            "id": random_looking_uuid(key), "project_id": _project_id(project), "parent_task_id": parent,
            "title": f"Review {source.module}", "description": source.doc[:400], "status": _STATES[number(key, 4)],
            "assignee": _WORKERS[number(key, 3)], "task_order": order * 10, "estimate": Decimal(number(key, 400)) / 8,
            "sources": [{"url": _url(project, source), "relevance": 1.0}],
            "labels": None if order % 7 == 0 else ["review", f'says "{source.module}"'],
            "archived": number(key, 9) == 0, "created_at": instant(key),
        }  # fmt: skip
        parent = random_looking_uuid(key) if order % 10 == 0 else parent


def _link(project: str) -> Row:
    key = f"link:{project}"
    return {"id": random_looking_uuid(key), "project_id": _project_id(project), "source_id": _source_id(project),
            "linked_at": instant(key)}  # fmt: skip


def _versions(project: str, documented: Sequence[SourceFile]) -> Iterator[Row]:
    for order, source in enumerate(documented[:40], 1):
        yield {
            "id": random_looking_uuid(f"version:{source.path}"), "project_id": _project_id(project),
            "field_name": "docs", "version_number": order, "content": {"path": source.path, "doc": source.doc[:500]},
            "change_summary": f"Indexed {source.path}", "checksum": bytes.fromhex(source.sha256),
            "created_by": "indexer", "created_at": instant(f"version:{source.path}"),
        }  # fmt: skip


def _prompts() -> Iterator[Row]:
    for name, prompt in (
        ("document_builder", "SYSTEM PROMPT\nYou write project documents.\n\tKeep tables; escape \\ where needed."),
        ("feature_builder", "SYSTEM PROMPT\nYou plan features. Größen und Maße bleiben, wie sie sind."),
    ):
        yield _stamped(f"prompt:{name}", prompt_name=name, prompt=prompt, description=None)


def _stamped(identity: str, /, **columns: Any) -> Row:
    seen: datetime = instant(identity)
    return {"id": random_looking_uuid(identity), **columns, "created_at": seen, "updated_at": seen}


def _project_id(project: str) -> str:
    return random_looking_uuid(f"project:{project}")


def _source_id(project: str) -> str:
    return f"src_{hexdigits(project, 8)}"


def _url(project: str, source: SourceFile) -> str:
    return f"archon://projects/{project}/documents/{source.path}"
