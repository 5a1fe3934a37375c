"""How full the disks are that the control plane, the platform's directory and the containers' data are on."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from archon_dagster.asking import ask_all
from archon_dagster.platform.settings import Settings

ENGINE_LIMIT = 5.0  # seconds the engine may take to say where its data are


class Sample(BaseModel):
    """One look at one disk. ``at`` in seconds since the epoch, the rest in bytes."""

    model_config = ConfigDict(frozen=True)

    disk: str
    at: float
    used: int
    total: int


def look(settings: Settings, clock: Callable[[], float]) -> list[Sample]:
    """The disks of the home, the project, the repository where that is a directory, and of Docker's data; each once."""
    places = [settings.home, settings.project_dir]
    if "://" not in settings.repository:
        places.append(Path(settings.repository))
    if settings.runtime == "compose":
        places += _of_the_engine()
    found: dict[int, Sample] = {}
    for place in filter(Path.exists, places):
        usage = shutil.disk_usage(place)
        sample = Sample(disk=str(place), at=clock(), used=usage.total - usage.free, total=usage.total)
        found.setdefault(place.stat().st_dev, sample)
    return list(found.values())


def _of_the_engine() -> list[Path]:
    """Where the engine keeps volumes and images; nothing where it does not answer, which others tell.

    From within a container, or of an engine elsewhere, its directory is not to be seen, and is not there.
    """
    from archon_dagster.platform.runtime.compose_engine import data_directory

    answer = ask_all({"engine": data_directory}, ENGINE_LIMIT)["engine"]
    return [answer] if isinstance(answer, Path) else []
