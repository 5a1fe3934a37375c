"""The knowledge graph of a folder of source, as rows: nodes by label, relationships by type and end labels."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import PurePosixPath
from typing import Any

from archon_dagster.sandbox.seed.identity import entity_id, file_id, hexdigits, instant, number
from archon_dagster.sandbox.seed.sources import Entity, SourceFile

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Link:
    """A relationship between two nodes known by label and ``entity_id``."""

    kind: str
    source: tuple[str, str]
    target: tuple[str, str]
    properties: Row = field(default_factory=dict)


def nodes(project: str, files: Sequence[SourceFile]) -> dict[str, list[Row]]:
    """Rows by label; every row has an ``entity_id``."""
    return {
        "PROJECT": [_project(project, files)],
        "Directory": [_directory(project, path) for path in directories(files)],
        "File": [_file(project, source) for source in files],
        "Entity": [_entity(project, source, entity) for source in files for entity in source.entities],
        "Page": [_page(project, source) for source in files if source.doc],
    }


def links(project: str, files: Sequence[SourceFile]) -> Iterator[Link]:
    """Every relationship: containment from the paths, imports and uses from the parsed code."""
    root = ("PROJECT", _project_id(project))
    for path in directories(files):
        yield Link("CONTAINS", _parent(project, root, path), ("Directory", _directory_id(project, path)))
    modules = {source.module: source for source in files}
    for source in files:
        own = ("File", file_id(source.path))
        yield Link("CONTAINS", _parent(project, root, source.path), own)
        yield from _imports(own, source, modules)
        yield from _inside(own, source)
        if source.doc:
            confidence = {"confidence_score": 1.0}
            yield Link("BRIDGE_RELATION", ("Page", _page_id(source.path)), own, confidence)


def directories(files: Sequence[SourceFile]) -> list[str]:
    """Every directory that contains a file, parents included."""
    found = {parent.as_posix() for source in files for parent in PurePosixPath(source.path).parents}
    return sorted(found - {"."})


def _project(project: str, files: Sequence[SourceFile]) -> Row:
    return {
        "entity_id": _project_id(project), "name": project, "project_name": project, "file_count": len(files),
        "total_bytes": sum(source.size for source in files), "indexed": True,
    }  # fmt: skip


def _directory(project: str, path: str) -> Row:
    return {
        "entity_id": _directory_id(project, path), "name": PurePosixPath(path).name, "path": path,
        "project_name": project, "depth": path.count("/") + 1,
    }  # fmt: skip


def _file(project: str, source: SourceFile) -> Row:
    return {
        "entity_id": file_id(source.path), "name": PurePosixPath(source.path).name, "path": source.path,
        "project_name": project, "file_size": source.size, "language": "python", "content_hash": source.sha256,
        "line_count": source.lines, "indexed_at": instant(source.path).isoformat(),
        "concepts": [part for part in source.module.split(".") if part != "__init__"],
    }  # fmt: skip


def _entity(project: str, source: SourceFile, entity: Entity) -> Row:
    return {
        "entity_id": _id_of(source, entity.name), "name": entity.name, "entity_type": entity.kind,
        "source_path": source.path, "project_name": project, "line_number": entity.line,
        "confidence_score": confidence(entity), "description": entity.doc[:300],
        "properties": json.dumps({"lines": entity.lines, "documented": bool(entity.doc)}, sort_keys=True),
    }  # fmt: skip


def _page(project: str, source: SourceFile) -> Row:
    seen = instant(source.path)
    return {
        "entity_id": _page_id(source.path), "title": source.module, "project_name": project,
        "url": f"archon://projects/{project}/documents/{source.path}", "word_count": len(source.doc.split()),
        "created_at": seen, "published_on": date(seen.year, seen.month, seen.day),
    }  # fmt: skip


def confidence(entity: Entity) -> float:
    """1.0 for what is documented, less for what is not: whole numbers must stay floats through a backup."""
    return 1.0 if entity.doc else round(0.5 + number(entity.name, 400) / 1000, 3)


def _imports(own: tuple[str, str], source: SourceFile, modules: dict[str, SourceFile]) -> Iterator[Link]:
    for order, name in enumerate(source.imports):
        if name in modules:
            target = ("File", file_id(modules[name].path))
            yield Link("IMPORTS", own, target, {"import_name": name, "order": order})


def _inside(own: tuple[str, str], source: SourceFile) -> Iterator[Link]:
    """A file contains its entities; classes define and inherit, functions call, as far as the file itself tells."""
    known = {entity.name for entity in source.entities}
    for entity in source.entities:
        me = ("Entity", _id_of(source, entity.name))
        owner, _, _ = entity.name.rpartition(".")
        yield Link("CONTAINS", own, me)
        if owner in known:
            yield _relates(source, owner, me, "DEFINES", 1.0)
        for base in entity.bases:
            if base in known:
                yield _relates(source, entity.name, ("Entity", _id_of(source, base)), "INHERITS", 1.0)
        for name in entity.uses:
            target = f"{owner}.{name.removeprefix('self.')}" if name.startswith("self.") else name
            if target in known:  # a function that calls itself is a loop in the graph, and there are some
                yield _relates(source, entity.name, ("Entity", _id_of(source, target)), "CALLS", 0.8)


def _relates(source: SourceFile, name: str, target: tuple[str, str], kind: str, score: float) -> Link:
    properties = {"relationship_type": kind, "confidence_score": score, "properties": "{}"}
    return Link("RELATES", ("Entity", _id_of(source, name)), target, properties)


def _parent(project: str, root: tuple[str, str], path: str) -> tuple[str, str]:
    parent = PurePosixPath(path).parent.as_posix()
    return root if parent == "." else ("Directory", _directory_id(project, parent))


def _id_of(source: SourceFile, name: str) -> str:
    return entity_id(f"{source.path}:{name}")


def _project_id(project: str) -> str:
    return f"project_{hexdigits(project, 12)}"


def _directory_id(project: str, path: str) -> str:
    return f"dir_{hexdigits(f'{project}/{path}', 12)}"


def _page_id(path: str) -> str:
    return f"page_{hexdigits(path, 12)}"
