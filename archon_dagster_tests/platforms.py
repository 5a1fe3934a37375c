"""Where the suites of startup, health, recovery, backup and restore get their platform from.

By default the sandbox's local processes; with ARCHON_TEST_RUNTIME=compose the same programs as containers, on whatever
Docker engine is there (`make test-compose`). The verbs are the same; what cannot hold there is skipped by name.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

RUNTIME = os.environ.get("ARCHON_TEST_RUNTIME", "processes")

if TYPE_CHECKING or RUNTIME == "processes":
    from archon_dagster.sandbox import lifecycle
elif RUNTIME == "compose":
    from drills import containers as lifecycle
else:
    raise ValueError(f"ARCHON_TEST_RUNTIME is processes or compose, not {RUNTIME!r}")

__all__ = ["RUNTIME", "lifecycle", "only_processes"]


def only_processes(why: str) -> pytest.MarkDecorator:
    """A test that says nothing about containers."""
    return pytest.mark.skipif(RUNTIME != "processes", reason=f"on compose: {why}")
