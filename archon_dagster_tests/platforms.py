"""Where the suites of startup, health, recovery, backup and restore get their platform from.

By default the sandbox's local processes; with ARCHON_TEST_RUNTIME=compose the same programs as containers, on whatever
Docker engine is there (`make test-compose`). The verbs are the same; what cannot hold there is skipped by name.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

RUNTIME = os.environ.get("ARCHON_TEST_RUNTIME", "processes")

if TYPE_CHECKING or RUNTIME == "processes":
    from archon_dagster.sandbox import lifecycle
elif RUNTIME == "compose":
    from drills import containers as lifecycle
else:
    raise ValueError(f"ARCHON_TEST_RUNTIME is processes or compose, not {RUNTIME!r}")

__all__ = ["RUNTIME", "lifecycle", "only_processes", "running_platform"]


@contextmanager
def running_platform(home: Path) -> Iterator[lifecycle.Sandbox]:
    """A platform for the block. It is taken down whatever happens, also to what a fixture does before its tests."""
    try:
        yield lifecycle.up(home, owner_pid=os.getpid())
    finally:
        lifecycle.down(home)


def only_processes(why: str) -> pytest.MarkDecorator:
    """A test that says nothing about containers."""
    return pytest.mark.skipif(RUNTIME != "processes", reason=f"on compose: {why}")
