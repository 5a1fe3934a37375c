"""Read in a vector server's last words which collection it died of.

A real server ends at start where a collection's configuration cannot be read (``Panic occurred in file … Can't read
collection config due to … at ./storage/collections/<name>/config.json``, over one or two lines). A log keeps the words
of earlier deaths too: only what stands after the last sign of life counts.
"""

from __future__ import annotations

import re

_DYING = re.compile(r"panic|Can't read collection|Failed to load collection|failed to load (?:segment|shard)", re.I)
_COLLECTION = re.compile(r"collections/([^/\s\"'`]+)/")
_ALIVE = re.compile(
    r"listening on|Application startup complete|Uvicorn running|\"(?:GET|POST|PUT|PATCH|DELETE) /", re.I
)
_NEAR = 4  # lines in which the path follows the words


def panicked_over(log: str) -> dict[str, str]:
    """The collections that the end of a log names as the cause of death, each with the words."""
    lines = log.splitlines()
    last_alive = max((place for place, line in enumerate(lines) if _ALIVE.search(line)), default=-1)
    found: dict[str, str] = {}
    for place in range(last_alive + 1, len(lines)):
        if not _DYING.search(lines[place]):
            continue
        words = " ".join(lines[place : place + _NEAR])
        named = _COLLECTION.search(words)
        if named:
            found.setdefault(named[1], lines[place].strip()[:500])
    return found
