"""Names of artifacts, made of the names that things have on a server.

An export turns artifacts into files, so an artifact's name has to be a safe path. Servers allow more than that: line
breaks, backslashes, a database called ``..``. Such a name is written differently in the backup; what the thing itself
is called is kept beside it by the store.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Container

from archon_dagster.repository.names import artifact_name_problem

_UNSAFE = re.compile(r"[\x00-\x1f\x7f\\/%]")
_LONGEST = 160  # bytes kept of a name that is too long


def artifact_name(folder: str, name: str, taken: Container[str] = ()) -> str:
    """``folder/name`` where that is a safe path, else a readable one; never one that is taken."""
    whole = f"{folder}/{name}"
    if artifact_name_problem(whole):
        whole = f"{folder}/{_written_safely(name)}"
    while whole in taken:
        whole += "+"
    return whole


def _written_safely(name: str) -> str:
    text = _UNSAFE.sub(lambda found: f"%{ord(found[0]):02X}", name)
    if not text.strip("."):
        text = "%2E" * len(text) or "%"
    if len(text.encode()) > _LONGEST:
        start = text.encode()[:_LONGEST].decode(errors="ignore")
        text = f"{start}~{hashlib.sha256(name.encode()).hexdigest()[:12]}"
    return text
