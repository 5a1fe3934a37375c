"""Put configuration files back: all are prepared first, then each takes its place in one step."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from archon_dagster.errors import RestoreFailed, StoreError
from archon_dagster.platform.whole_files import sync_directory
from archon_dagster.stores.base import Work
from archon_dagster.stores.configuration.files import FOLDER, Entry, mode_of, read, scan
from archon_dagster.stores.configuration.redaction import merge

_STAGING = ".archon-restore-"


@dataclass(frozen=True, slots=True)
class Staged:
    """A file or link that waits for its place."""

    entry: Entry
    waiting: Path


def put_back(project: Path, members: Iterator[tuple[Entry, bytes | None]], work: Work) -> None:
    """Make the covered files of a project directory be exactly these; everything else in it is left alone.

    Secret values are taken from the live files. Raises before anything is changed where a file cannot be prepared.
    """
    live = {entry.path: entry for entry in scan(project).entries}
    with _staging(project) as folder:
        staged = [_stage(project, folder, live, entry, content, work) for entry, content in members]
        kept = {item.entry.path for item in staged}
        work.check()
        for path in live.keys() - kept:
            _remove(project, path)
        for item in staged:
            _place(project, item)
        for directory in {(project / item.entry.path).parent for item in staged} | {project}:
            sync_directory(directory)


def _stage(
    project: Path, folder: Path, live: dict[str, Entry], entry: Entry, content: bytes | None, work: Work
) -> Staged:
    work.check()
    waiting = folder / secrets.token_hex(8)
    if content is None:
        waiting.symlink_to(entry.link)
        return Staged(entry, waiting)
    there = live.get(entry.path)
    merged = merge(entry.path, content, read(project, there) if there and not there.link else None)
    for name in merged.unknown:
        work.warn(f"{entry.path}: the value of {name} was withheld and is not known here, set it again")
    descriptor = os.open(waiting, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(merged.content)
        os.fchmod(descriptor, mode_of(entry.path, entry.mode))
        stream.flush()
        os.fsync(descriptor)
    return Staged(entry, waiting)


def _remove(project: Path, path: str) -> None:
    """Remove a file that the backup does not have, and the folders that become empty by that."""
    (project / path).unlink()
    for parent in PurePosixPath(path).parents:
        directory = project / parent
        if parent.parts in ((), (FOLDER,)) or any(directory.iterdir()):
            return
        directory.rmdir()


def _place(project: Path, item: Staged) -> None:
    target = project / item.entry.path
    _make_parents(project, target.parent)
    try:
        item.waiting.replace(target)
    except OSError as error:
        raise RestoreFailed(
            f"a configuration file could not be put back: {error.strerror}",
            where=str(target),
            todo="something else has its name: move that away and restore again",
        ) from error


def _make_parents(project: Path, directory: Path) -> None:
    """Make missing directories; never write through a link."""
    for part in [*reversed(directory.relative_to(project).parents), directory.relative_to(project)]:
        step = project / part
        if step != project and step.is_symlink():
            raise RestoreFailed(
                "a directory of the configuration is a link, and nothing is written through links",
                where=str(step),
                todo="replace the link by a directory and restore again",
            )
        step.mkdir(exist_ok=True)


@contextmanager
def _staging(project: Path) -> Iterator[Path]:
    """A directory on the same file system; removed afterwards, as are those of killed restores."""
    folder = project / f"{_STAGING}{secrets.token_hex(4)}"
    try:
        project.mkdir(parents=True, exist_ok=True)
        for old in project.glob(f"{_STAGING}*"):
            shutil.rmtree(old)
        folder.mkdir(mode=0o700)
    except OSError as error:
        raise StoreError(f"the project directory cannot be written: {error.strerror}", where=str(project)) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
