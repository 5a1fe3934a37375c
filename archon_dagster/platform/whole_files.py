"""Small files that survive a crash: written whole or not at all; a damaged one is set aside and begun anew."""

from __future__ import annotations

import logging
import os
import tempfile
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

T = TypeVar("T")

log = logging.getLogger(__name__)


def read(path: Path, kind: TypeAdapter[T]) -> T | None:
    """The content; ``None`` where there is none, or none that can be understood."""
    try:
        return kind.validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        aside = set_aside(path)
        log.warning("%s was damaged and is begun anew, what was there is in %s: %s", path, aside, error.errors()[:1])
        return None


def write(path: Path, kind: TypeAdapter[T], value: T) -> None:
    """Replace the file in one step."""
    replace(path, kind.dump_json(value))


def replace(path: Path, data: bytes, owner: tuple[int, int] | None = None) -> None:
    """The same for any content; the file is for its owner only.

    :param owner: user and group that it is given to; ``None``: those of this process. Nothing is replaced where it may
        not be given to them.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            if owner is not None and owner != (os.getuid(), os.getgid()):
                os.fchown(file.fileno(), *owner)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)  # of a full disk
        raise


def sync_directory(directory: Path) -> None:
    """Bring to the disk what a directory lists: a file that was put there, or removed."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def set_aside(path: Path) -> Path:
    """Rename a damaged file; only the newest of them is kept."""
    aside = path.with_name(f"{path.name}.damaged")
    path.replace(aside)
    return aside
