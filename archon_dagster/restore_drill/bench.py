"""The one place in a home where a drill is at work, and what killed drills have left.

::

    <home>/restore-drills/lock        held while a drill is at work; the system lets go of it with the process
    <home>/restore-drills/owner       tells this home from every other one
    <home>/restore-drills/last.json   the last result
    <home>/restore-drills/<id>/       everything of one drill; there is one only while it is at work, or was killed
"""

from __future__ import annotations

import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from archon_dagster.errors import RepositoryBusy
from archon_dagster.platform import whole_files
from archon_dagster.platform.settings import Settings
from archon_dagster.restore_drill.servers import remove_left

_ID = re.compile(r"[0-9a-f]{8}")


@dataclass(frozen=True)
class Bench:
    """A drill's own directory, and whose it is. :param cleared: what earlier drills had left, and is removed."""

    directory: Path
    owner: str
    cleared: tuple[str, ...] = ()


def root(home: Path) -> Path:
    """Where the drills of a home are."""
    return home / "restore-drills"


def left(home: Path) -> list[Path]:
    """The directories of drills; with none at work, of killed ones."""
    where = root(home)
    return sorted(one for one in where.iterdir() if _ID.fullmatch(one.name)) if where.is_dir() else []


def is_free(home: Path) -> bool:
    """Whether no drill is at work now."""
    where = root(home)
    if not where.is_dir():
        return True
    lock = FileLock(where / "lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        return False
    lock.release()
    return True


@contextmanager
def alone(settings: Settings) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Be the only drill in this home, after what killed ones have left is removed; gives the owner, and what that was.

    :raises RepositoryBusy: another one is at work.
    """
    where = root(settings.home)
    where.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        held = FileLock(where / "lock", timeout=0).acquire()
    except Timeout as error:
        raise RepositoryBusy(
            "another restore drill is at work here; nothing was begun",
            where=str(where),
            todo="wait for it, or end it where it was started; a killed one does not count",
        ) from error
    with held:
        owner = _owner(where)
        yield owner, tuple(remove_left(settings, left(settings.home), owner))


@contextmanager
def bench(settings: Settings) -> Iterator[Bench]:
    """A place of one's own for one drill; it goes afterwards."""
    with alone(settings) as (owner, cleared):
        directory = root(settings.home) / secrets.token_hex(4)
        directory.mkdir(mode=0o700)
        try:
            yield Bench(directory, owner, cleared)
        finally:
            shutil.rmtree(directory)


def _owner(where: Path) -> str:
    file = where / "owner"
    if not file.is_file():
        whole_files.replace(file, secrets.token_hex(8).encode())
    return file.read_text()
