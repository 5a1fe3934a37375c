"""Tell one process from a later one that happens to have the same number.

A pid written to a file means nothing once the process is gone and the kernel has given the number away again, so
a process is known by its pid *and* its birth. Standard library only: the sandbox's guardian, which must stay small,
reads it too.
"""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

_STAT_STATE, _STAT_START = 0, 19  # fields 3 and 22 of /proc/<pid>/stat, counted after the command's closing bracket


@cache
def _boot() -> str:
    """This boot of the machine; start times are counted from it, so that a changed clock changes nothing."""
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text().strip() if path.exists() else ""


def _stat(pid: int) -> list[str] | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()


def _birth_by_ps(pid: int) -> str | None:
    command = ["ps", "-o", "state=,lstart=", "-p", str(pid)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10).stdout.split(maxsplit=1)
    if len(answer) < 2 or answer[0].startswith("Z"):
        return None
    return answer[1].strip()


def birth(pid: int) -> str | None:
    """When a process was born, as an opaque text; ``None`` if it does not live (a zombie does not)."""
    if pid <= 0:
        return None
    if not _boot():
        return _birth_by_ps(pid)
    fields = _stat(pid)
    if fields is None or fields[_STAT_STATE] in ("Z", "X"):
        return None
    return f"{_boot()}:{fields[_STAT_START]}"


def lives(pid: int, born: str) -> bool:
    """Whether the process that was born then is still there."""
    return birth(pid) == born
