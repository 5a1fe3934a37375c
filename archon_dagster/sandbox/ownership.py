"""Whom a running sandbox belongs to.

A sandbox started for a process goes with that process, however it ends: a guardian watches it. A sandbox started
for nobody stays until ``down``. It belongs to whoever found it down: a later ``up`` by another process uses it and
does not take it over.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

from archon_dagster.errors import ConfigurationError
from archon_dagster.platform.runtime import process_instance as instances
from archon_dagster.platform.runtime.identity import birth, lives
from archon_dagster.platform.runtime.process_spec import ProcessSpec, write_private
from archon_dagster.sandbox.layout import Layout

_MODULE = "archon_dagster.sandbox.guardian"
_END_BUDGET = 5.0  # seconds


def owner_of(layout: Layout) -> int | None:
    """The living process a sandbox belongs to."""
    try:
        owner = json.loads(layout.owner.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return int(owner["pid"]) if lives(int(owner["pid"]), str(owner["born"])) else None


def claim(layout: Layout, pid: int) -> None:
    """Make a sandbox belong to a process, and start the guardian that brings it down with it."""
    born = birth(pid)
    if born is None:
        raise ConfigurationError(f"process {pid}, for which the sandbox was to be started, does not live")
    release(layout)
    write_private(layout.owner, json.dumps({"pid": pid, "born": born}) + "\n")
    watch(layout)


def watch(layout: Layout) -> None:
    """Start a guardian for the owner written down, unless there is one."""
    current = instances.read_instance(_directory(layout))
    if current is not None and current.lives():
        return
    _directory(layout).mkdir(exist_ok=True)
    spec = ProcessSpec(command=[sys.executable, "-P", "-m", _MODULE, str(layout.home)], cwd=Path("/"))
    instances.launch(_directory(layout), "guardian", spec)


def release(layout: Layout) -> None:
    """Make a sandbox belong to nobody, and end its guardian unless that is who asks."""
    layout.owner.unlink(missing_ok=True)
    guardian = instances.read_instance(_directory(layout))
    if guardian is None or guardian.pid == os.getpid():
        return
    if guardian.lives():
        os.kill(guardian.pid, signal.SIGTERM)
    if not instances.wait_ended(guardian, _END_BUDGET):
        os.kill(guardian.pid, signal.SIGKILL)
    instances.forget(_directory(layout))


def _directory(layout: Layout) -> Path:
    return layout.notes / "guardian"
