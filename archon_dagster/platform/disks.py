"""How full the disks are that the control plane and the platform's directory are on."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from archon_dagster.platform.settings import Settings


class Sample(BaseModel):
    """One look at one disk. ``at`` in seconds since the epoch, the rest in bytes."""

    model_config = ConfigDict(frozen=True)

    disk: str
    at: float
    used: int
    total: int


def look(settings: Settings, clock: Callable[[], float]) -> list[Sample]:
    """The disks that hold the home, the project, and the repository where that is a directory; each once."""
    places = [settings.home, settings.project_dir]
    if "://" not in settings.repository:
        places.append(Path(settings.repository))
    found: dict[int, Sample] = {}
    for place in filter(Path.exists, places):
        usage = shutil.disk_usage(place)
        sample = Sample(disk=str(place), at=clock(), used=usage.total - usage.free, total=usage.total)
        found.setdefault(place.stat().st_dev, sample)
    return list(found.values())
