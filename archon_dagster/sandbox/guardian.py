"""Bring a sandbox down when the process it was started for dies, however that happens.

``python -m archon_dagster.sandbox.guardian HOME``. It lives as long as the sandbox, so it imports the standard
library only, until there is something to do.
"""

from __future__ import annotations

import json
import os
import select
import sys
import time
from pathlib import Path

from archon_dagster.platform.runtime.identity import lives

_LOOK_EVERY = 0.5  # seconds between two looks at whether the sandbox still has this owner


def owner_died(note: Path) -> bool:
    """Wait for the owner named in a note: ``True`` when it has died, ``False`` when the note is withdrawn."""
    try:
        written = note.read_bytes()
        owner = json.loads(written)
    except (FileNotFoundError, ValueError):
        return False
    pid, born = int(owner["pid"]), str(owner["born"])
    with _Death(pid) as death:
        while lives(pid, born):
            if not note.exists() or note.read_bytes() != written:
                return False
            death.wait(_LOOK_EVERY)
    return note.exists() and note.read_bytes() == written


class _Death:
    """Waits for the end of a process that is not a child of ours, at once where the system can tell."""

    def __init__(self, pid: int):
        self._pid, self._descriptor = pid, -1

    def __enter__(self) -> _Death:
        if hasattr(os, "pidfd_open"):
            try:
                self._descriptor = os.pidfd_open(self._pid)
            except OSError:
                self._descriptor = -1  # gone already, or forbidden here: looking now and then does as well
        return self

    def __exit__(self, *exc: object) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)

    def wait(self, seconds: float) -> None:
        if self._descriptor < 0:
            time.sleep(seconds)
            return
        select.select([self._descriptor], [], [], seconds)


def main(home: Path) -> None:
    if owner_died(home / "sandbox" / "owner.json"):
        from archon_dagster.sandbox.lifecycle import down

        down(home, only_orphaned=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
