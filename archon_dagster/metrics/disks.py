"""How full the disks of the home, the project directory, the repository and Docker's data are."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import Metric

from archon_dagster.metrics.gauge import gauge
from archon_dagster.platform.disks import look
from archon_dagster.platform.settings import Settings


def disks(settings: Settings, now: float) -> Iterator[Metric]:
    """Of each disk once, named by the first directory on it."""
    found = look(settings, lambda: now)
    size, free = {(one.disk,): one.total for one in found}, {(one.disk,): one.total - one.used for one in found}
    yield gauge("archon_disk_size_bytes", "The size of a disk.", size, ("disk",))
    yield gauge("archon_disk_free_bytes", "What is free on a disk.", free, ("disk",))
