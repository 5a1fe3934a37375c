"""Ports of the sandboxes of this user, so that one does not take a port that another is about to use again.

A server that is starting, or was just killed in a drill, does not hold its port; another sandbox that looked for a
free one would take it. Each sandbox therefore notes its ports where the others look. A note counts while anything
of its sandbox lives, and for a short while after it was written. It is a courtesy: that a server really got its port
is checked when it has started.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

from archon_dagster.platform.runtime.process_instance import read_instance
from archon_dagster.platform.runtime.process_spec import write_private
from archon_dagster.sandbox.layout import Layout

_FRESH = 120.0  # seconds a note counts by itself: its servers may not have started yet
_TURN_BUDGET = 30.0  # seconds


def _directory() -> Path:
    directory = Path(tempfile.gettempdir()) / f"archon-sandbox-{os.getuid()}"
    directory.mkdir(mode=0o700, exist_ok=True)
    return directory


def _note(layout: Layout) -> Path:
    return _directory() / f"{hashlib.sha256(str(layout.home).encode()).hexdigest()[:16]}.json"


@contextmanager
def choosing() -> Iterator[None]:
    """One sandbox at a time chooses its ports."""
    with FileLock(_directory() / "lock", timeout=_TURN_BUDGET):
        yield


def of_others(layout: Layout) -> set[int]:
    """Ports that other sandboxes use or are about to use; notes of vanished sandboxes are removed."""
    found: set[int] = set()
    for note in _directory().glob("*.json"):
        claim = _read(note)
        if claim is None or (not _counts(note, Path(claim["home"]))):
            note.unlink(missing_ok=True)
        elif claim["home"] != str(layout.home):
            found.update(claim["ports"])
    return found


def _read(note: Path) -> dict[str, Any] | None:
    try:
        claim = json.loads(note.read_bytes())
    except (OSError, ValueError):
        return None
    return claim if isinstance(claim, dict) and {"home", "ports"} <= claim.keys() else None


def _counts(note: Path, home: Path) -> bool:
    try:
        age = time.time() - note.stat().st_mtime
    except FileNotFoundError:
        return False
    found = (file for kind in ("services", "externals") for file in (home / kind).glob("*/process.json"))
    return 0 <= age < _FRESH or any((one := read_instance(file.parent)) and one.lives() for file in found)


def note(layout: Layout, ports: Iterable[int]) -> None:
    """Say which ports this sandbox has."""
    write_private(_note(layout), json.dumps({"home": str(layout.home), "ports": sorted(ports)}) + "\n")


def withdraw(layout: Layout) -> None:
    """This sandbox is down."""
    _note(layout).unlink(missing_ok=True)
