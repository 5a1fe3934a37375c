"""A repository in a temporary directory, and backups of plain bytes in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from archon_dagster.repository.backends.filesystem import FilesystemBackend
from archon_dagster.repository.config import Chunker
from archon_dagster.repository.manifest import BackupKind, Manifest, Window
from archon_dagster.repository.names import chunk_key
from archon_dagster.repository.repository import Repository
from archon_dagster.stores.base import StoreName, Work

SMALL = Chunker(
    minimum=64, average=256, maximum=1024, tar_piece=1024, tar_piece_in_place=512, tar_small_member=600
)  # fmt: skip
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


class Clock:
    """Moves one second whenever it is read, so that no two backups are of the same instant."""

    def __init__(self, now: datetime = NOON):
        self.now = now

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


def window(at: datetime = NOON) -> Window:
    return Window(start=at, end=at, consistent=True)


def back_up(
    repository: Repository,
    contents: dict[str, bytes],
    *,
    kind: BackupKind = "manual",
    clock: Callable[[], datetime] | None = None,
    store: StoreName = "vectors",
) -> Manifest:
    """A sealed backup of these artifacts."""
    with repository.begin(kind, clock=clock or Clock()) as pending:
        for name, content in contents.items():
            with pending.artifact(store, name, "collection-snapshot", media_type="application/x-tar", cut="whole") as a:
                a.write(content)
        return pending.seal(window=window(), versions={"vectors": "qdrant 1.18.3"})


def read_back(repository: Repository, manifest: Manifest) -> dict[str, bytes]:
    """Every artifact's bytes, as a restore would see them."""
    source = repository.source(manifest)
    found: dict[str, bytes] = {}
    for artifact in manifest.artifacts:
        with source.open(artifact) as stream:
            found[artifact.name] = stream.read()
    return found


def chunk_path(root: Path, sha256: str) -> Path:
    return root / chunk_key(sha256)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "repository"


@pytest.fixture
def repository(root: Path) -> Repository:
    return Repository.open(str(root), create=True)


@pytest.fixture
def backend(tmp_path: Path) -> FilesystemBackend:
    folder = tmp_path / "backend"
    folder.mkdir()
    return FilesystemBackend(folder)


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Work]:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    yield Work(scratch=scratch)
