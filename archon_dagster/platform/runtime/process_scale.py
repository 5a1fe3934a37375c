"""Two small files by which the runtime and the balancer of a service work together.

``<services>/<service>/scale.json`` is the runtime's: how often the service shall run, which outlives every stop, and
the ports that get new connections. A service that was never scaled has none. ``rotation.json`` is the balancer's:
whether it has the service's port, and how each replica is. It follows the first within a tenth of a second::

    scale.json     {"replicas": 2, "ports": {"1": 41001, "2": 41002}}
    rotation.json  {"pid": 4711, "listening": true,
                    "replicas": [{"port": 41001, "well": true, "open": 3, "draining": false, "served": 812}, …]}
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from archon_dagster.platform import whole_files

SCALE, ROTATION = "scale.json", "rotation.json"
_POLL = 0.05  # seconds between two looks at what the balancer says


class Scale(BaseModel):
    """How often a service shall run. :param ports: of the replicas that get connections, by their numbers."""

    model_config = ConfigDict(frozen=True)

    replicas: int = Field(ge=1)
    ports: dict[int, int] = {}


class InRotation(BaseModel):
    """One replica, as the balancer sees it. :param open: connections; :param served: connections it has been given."""

    model_config = ConfigDict(frozen=True)

    port: int
    well: bool
    open: int
    draining: bool
    served: int


class Rotation(BaseModel):
    """What the balancer with this pid last said."""

    model_config = ConfigDict(frozen=True)

    pid: int
    listening: bool
    replicas: tuple[InRotation, ...] = ()

    def of(self, port: int) -> InRotation | None:
        """The replica at a port, also while it is drained."""
        return next((one for one in self.replicas if one.port == port), None)


_SCALE, _ROTATION = TypeAdapter(Scale), TypeAdapter(Rotation)


def read_scale(directory: Path) -> Scale | None:
    """How often a service shall run; ``None``: it was never scaled."""
    return whole_files.read(directory / SCALE, _SCALE)


def write_scale(directory: Path, scale: Scale) -> None:
    """Say how often it shall run, and who gets connections."""
    whole_files.write(directory / SCALE, _SCALE, scale)


def read_rotation(directory: Path, pid: int) -> Rotation | None:
    """What the balancer with this pid says; ``None``: nothing yet."""
    said = whole_files.read(directory / ROTATION, _ROTATION)
    return said if said is not None and said.pid == pid else None


def wait(until: Callable[[], bool], budget: float) -> bool:
    """Whether something became true within so many seconds."""
    end = time.monotonic() + budget
    while not until():
        if time.monotonic() >= end:
            return False
        time.sleep(_POLL)
    return True
