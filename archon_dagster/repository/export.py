"""A backup as plain files, for people and tools that know nothing of repositories.

The files are written beside the target under a temporary name, proven while they are written, and appear together:
a directory with the right name is a whole export.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from archon_dagster.errors import ConfigurationError
from archon_dagster.repository.backends.filesystem_errors import explained
from archon_dagster.repository.extract import Damaged, file_names
from archon_dagster.repository.manifest import Artifact, Manifest
from archon_dagster.repository.manifest_file import damaged
from archon_dagster.repository.reading import BackupSource
from archon_dagster.stores.base import Progress, Work

if TYPE_CHECKING:
    from archon_dagster.repository.repository import Repository


def export(manifest: Manifest, repository: Repository, directory: Path, work: Work | None = None) -> list[Path]:
    """Write every artifact of a backup and its ``manifest.json``; the files written.

    :param directory: new or empty; :class:`ConfigurationError` otherwise.
    """
    directory = directory.absolute()
    with explained("export from", directory):
        if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
            raise ConfigurationError(
                "the export's directory is not empty", where=str(directory), todo="name a new or an empty one"
            )
        directory.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", suffix=".partial", dir=directory.parent))
        try:
            source = repository.source(manifest, work.check) if work else repository.source(manifest)
            names = _write_all(manifest, source, partial, work)
            partial.rename(directory)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
    return [directory / name for name in names]


def export_names(artifacts: Sequence[Artifact]) -> list[str]:
    """The relative paths the artifacts get in an export."""
    return file_names([{"name": a.name, "kind": a.kind, "media_type": a.media_type} for a in artifacts])


def _write_all(manifest: Manifest, source: BackupSource, folder: Path, work: Work | None) -> list[str]:
    try:
        names = export_names(manifest.artifacts)
    except Damaged as error:
        raise damaged(manifest.id, str(error)) from error
    for artifact, name in zip(manifest.artifacts, names, strict=True):
        _write(artifact, source, folder / name, work)
    (folder / "manifest.json").write_text(manifest.model_dump_json(indent=2))
    return [*names, "manifest.json"]


_SYNC_EVERY = 256 << 20  # bytes; a sync at the end of a very long file could not be cancelled for minutes


def _write(artifact: Artifact, source: BackupSource, target: Path, work: Work | None) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    done = 0
    with source.open(artifact) as stream, target.open("xb") as file:
        for piece in stream.pieces():
            if work is not None:
                work.check()
                work.report(Progress(artifact.store, f"export {artifact.name}", done, artifact.size))
            file.write(piece)
            if done // _SYNC_EVERY != (done + len(piece)) // _SYNC_EVERY:
                os.fsync(file.fileno())
            done += len(piece)
        file.flush()
        os.fsync(file.fileno())
