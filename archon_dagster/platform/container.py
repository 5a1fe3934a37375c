"""Does this program run in a container? Then the files and the programs of the host are not those that it sees."""

from __future__ import annotations

from pathlib import Path

MARKS = (Path("/.dockerenv"), Path("/run/.containerenv"))
"""Files that Docker and Podman put into every container."""


def in_container() -> bool:
    """Whether it does, as far as Docker's and Podman's marks tell."""
    return any(mark.exists() for mark in MARKS)
