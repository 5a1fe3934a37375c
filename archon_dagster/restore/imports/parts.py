"""What a file or a directory of the runbook's ``daily-backup.sh`` holds, and what each part of it is good for.

The script's faults decide what is whole: its dump is ``mgconsole``'s table; its Qdrant archive is a copy of the
storage directory of a running server; a command that failed left an empty file and the script said it was complete.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from archon_dagster.errors import ConfigurationError
from archon_dagster.restore.imports.storage_archive import read_archive
from archon_dagster.stores.base import StoreName, Work
from archon_dagster.stores.configuration.files import scan
from archon_dagster.stores.graph.dump.model import UnreadableDump
from archon_dagster.stores.graph.dump.reading import Kind, outline
from archon_dagster.stores.graph.dump.unwrapping import form_of

GRAPH, VECTORS, METADATA = "memgraph.cypher", "qdrant.tar.gz", "metadata.json"
_FORMS = {"statements": "plain statements", "table": "mgconsole's table", "csv": "CSV"}

State = Literal["importable", "by hand", "unusable", "missing", "note"]


@dataclass(frozen=True)
class Part:
    """One part of a foreign backup.

    :param store: what it would be restored into; ``None`` for what is only worth reading.
    :param state: ``by hand``: not for this program, but not worthless; ``detail`` says what can be done.
    """

    name: str
    store: StoreName | None
    state: State
    detail: str


def inspect(path: Path, work: Work) -> list[Part]:
    """What each part is good for; reads all of it and changes nothing.

    :param path: a directory of the runbook's script, or a dump alone.
    """
    if path.is_dir():
        return list(_directory(path, work))
    if not path.exists():
        raise ConfigurationError("there is no such file or directory", where=str(path))
    return [_graph(path, work)]


def _directory(path: Path, work: Work) -> Iterator[Part]:
    looks: tuple[tuple[str, StoreName, Callable[[Path, Work], Part]], ...] = (
        (GRAPH, "graph", _graph),
        (VECTORS, "vectors", _vectors),
    )
    for name, store, look in looks:
        found = path / name
        yield look(found, work) if found.is_file() else Part(name, store, "missing", "the directory has no such file")
    yield _configuration(path)
    yield Part("PostgreSQL", "relational", "missing", "the runbook's script never saved it")
    yield _metadata(path / METADATA)


def _graph(path: Path, work: Work) -> Part:
    try:
        form, known = form_of(path), outline(path, work)
    except UnreadableDump as error:
        return Part(path.name, "graph", "unusable", error.what)
    counts = known.counts
    detail = f"{counts[Kind.NODE]:,} nodes, {counts[Kind.RELATIONSHIP]:,} relationships, as {_FORMS[form]}"
    if known.unknown.count:
        detail += f"; {known.unknown.count} statements cannot be applied, first {known.unknown.listed[0]}"
    return Part(path.name, "graph", "importable", detail)


def _vectors(path: Path, work: Work) -> Part:
    found = read_archive(path, work)
    if found.damage is not None:
        return Part(path.name, "vectors", "unusable", found.damage)
    if not found.collections:
        return Part(path.name, "vectors", "unusable", f"{found.members} files, and no collection among them")
    names = ", ".join(found.collections)
    return Part(
        path.name, "vectors", "by hand",
        f"the archive is whole and has {names}; but it is the storage directory of a running server, copied file by "
        "file, not a snapshot: nothing proves that the files belong together. By hand: unpack its folder `storage` as "
        "the empty storage directory of a second Qdrant of the very same version, start it, compare the counts, then "
        "`archon backup --only vectors` with QDRANT_URL set to it",
    )  # fmt: skip


def _configuration(path: Path) -> Part:
    found = scan(path)
    if not found.entries:
        return Part("configuration", "configuration", "missing", "no .env, compose file or config/ in it")
    names = [entry.path for entry in found.entries]
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    empty = [name for name in names if not (path / name).is_symlink() and (path / name).stat().st_size == 0]
    return Part(
        "configuration", "configuration", "importable", shown + (f"; empty: {', '.join(empty)}" if empty else "")
    )


def _metadata(path: Path) -> Part:
    if not path.is_file():
        return Part(METADATA, None, "missing", "when it was made is taken from the files' times")
    try:
        data: Any = json.loads(path.read_bytes())
        services = dict(data["services"])
        date = str(data["backup_date"])
    except (ValueError, KeyError, TypeError) as error:
        return Part(METADATA, None, "unusable", f"not the script's JSON: {error}")
    versions = ", ".join(f"{name} {version}" for name, version in services.items())
    unknown = " (the script's commands for the versions never worked)" if "unknown" in services.values() else ""
    return Part(METADATA, None, "note", f"made {date}, {versions}{unknown}")


def made_at(path: Path) -> datetime:
    """When a dump or a directory was made: what its metadata say, else the newest time of its files."""
    metadata = path / METADATA if path.is_dir() else path.parent / METADATA
    try:
        said = datetime.fromisoformat(json.loads(metadata.read_bytes())["backup_date"])
        if said.tzinfo is not None:
            return said.astimezone(UTC)
    except (OSError, ValueError, KeyError, TypeError):
        pass  # there is none, or it says nothing: the files have times as well
    files = [path] if path.is_file() else [item for item in path.iterdir() if item.is_file()]
    return datetime.fromtimestamp(max((item.stat().st_mtime for item in files), default=0.0), UTC)
