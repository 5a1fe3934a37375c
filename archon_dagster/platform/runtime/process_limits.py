"""What a local process may use: remembered in a file beside its specification, in force from its next start on.

``<services>/<service>/limits.json``. Linux holds a process to whole cores (affinity) and to so many bytes of private
data (``RLIMIT_DATA``); its children inherit both. Reservations have no counterpart: they are checked against the host
before they are recorded. Elsewhere limits are recorded and not enforced.
"""

from __future__ import annotations

import math
import os
import sys
from contextlib import suppress
from pathlib import Path

from pydantic import TypeAdapter

from archon_dagster.platform import whole_files
from archon_dagster.platform.limits import Resources
from archon_dagster.platform.runtime.process_spec import ProcessSpec

FILE_NAME = "limits.json"
ENFORCED = sys.platform == "linux"
_RESOURCES = TypeAdapter(Resources)


def limited(spec: ProcessSpec, directory: Path) -> ProcessSpec:
    """A specification with the limits that stand beside it, where any do."""
    return spec.model_copy(update={"limits": read(directory) or spec.limits})


def read(directory: Path) -> Resources | None:
    """The limits of a service; ``None``: it has none."""
    return whole_files.read(directory / FILE_NAME, _RESOURCES)


def write(directory: Path, limits: Resources | None) -> None:
    """Remember the limits of a service, or that it has none."""
    if limits is None:
        (directory / FILE_NAME).unlink(missing_ok=True)
    else:
        whole_files.write(directory / FILE_NAME, _RESOURCES, limits)


def apply(pid: int, limits: Resources | None) -> None:
    """Hold a process that has just started to its limits; one that has ended already needs none."""
    if limits is None or sys.platform != "linux":
        return
    import resource

    with suppress(ProcessLookupError):
        resource.prlimit(pid, resource.RLIMIT_DATA, (limits.memory, limits.memory))
        os.sched_setaffinity(pid, _cores(pid, limits.cpus))


def _cores(pid: int, cpus: float) -> set[int]:
    """As many whole cores as the limit begins; not the same ones for every process."""
    there = sorted(os.sched_getaffinity(0))
    first = pid % len(there)
    return {there[(first + number) % len(there)] for number in range(min(len(there), math.ceil(cpus)))}
