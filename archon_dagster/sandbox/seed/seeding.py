"""Index a folder of source code the way Archon does it: graph, vectors and tables.

The same folder always gives the same content: no clock is read and nothing is drawn at random, so seeding twice
leaves what seeding once left.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from archon_dagster.errors import ConfigurationError
from archon_dagster.platform.runtime.protocol import Runtime
from archon_dagster.platform.settings import Settings
from archon_dagster.sandbox.seed import graph_rows, points, table_rows
from archon_dagster.sandbox.seed.graph import write_graph
from archon_dagster.sandbox.seed.sources import SourceFile, read_sources, standard_library
from archon_dagster.sandbox.seed.tables import write_tables
from archon_dagster.sandbox.seed.vectors import write_vectors

DEFAULT_FILES = 160
DEFAULT_POINTS = 1500
_PATTERNS = 60

OnEvent = Callable[[str, int], None]
"""Receives what is being written (``files``, ``graph``, ``vectors``, ``tables``) and how much of it so far."""


@dataclass(frozen=True, slots=True)
class SeedReport:
    """What was written.

    :param points: per collection; :param rows: per table; :param seconds: for everything.
    """

    folder: Path
    files: int
    nodes: int
    relationships: int
    points: dict[str, int]
    rows: dict[str, int]
    seconds: float


def _ignore(_: str, __: int) -> None: ...


def seed(
    settings: Settings,
    runtime: Runtime,
    folder: Path | None = None,
    *,
    limit: int | None = DEFAULT_FILES,
    max_points: int | None = DEFAULT_POINTS,
    on_event: OnEvent | None = None,
) -> SeedReport:
    """Fill all stores from a folder of Python source (default: the running Python's standard library).

    :param limit: at most this many files, in the order of their paths; ``None`` for all.
    :param max_points: at most this many points in the main collection; ``None`` for one per file, class and function.
    Raises :class:`ConfigurationError` when the folder holds no Python source, :class:`StoreError` naming the store.
    """
    started, tell = time.monotonic(), on_event or _ignore
    folder = (folder or standard_library()).resolve()
    files = _read(folder, limit)
    tell("files", len(files))
    project = folder.name
    nodes, links = graph_rows.nodes(project, files), list(graph_rows.links(project, files))
    written, related = write_graph(settings, project, nodes, links, lambda done: tell("graph", done))
    collections = {
        "archon_vectors": points.documents(project, files, max_points),
        "quality_vectors": iter(()),
        "code_generation_patterns": points.patterns(files, _PATTERNS),
    }
    counts = write_vectors(settings, collections, lambda done: tell("vectors", done))
    rows = write_tables(settings, runtime, table_rows.tables(project, files))
    tell("tables", sum(rows.values()))
    return SeedReport(folder, len(files), written, related, counts, rows, time.monotonic() - started)


def _read(folder: Path, limit: int | None) -> list[SourceFile]:
    files = list(read_sources(folder, limit))
    if not files:
        raise ConfigurationError(
            "the folder holds no Python source to index",
            where=str(folder),
            todo="name a folder with .py files that Python can parse; nothing was written",
        )
    return files
