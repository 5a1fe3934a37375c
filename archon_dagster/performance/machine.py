"""What the services use, and how this machine is. Looked at before anything is asked, so that the questions are not in
it. Only the services of this platform: other containers and processes of the machine are none of our business."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import psutil

from archon_dagster.performance.measures import Area, Fact, Found, Missing, Reading, Site
from archon_dagster.platform.disks import look as look_at_disks

LOOKS = 3  # one look at a processor says little
_INTERVAL = 1.0  # seconds over which the machine's processors are looked at


def measure_services(site: Site) -> Iterator[Found]:
    """Processor and memory of each service: the mean, and the most, of :data:`LOOKS`."""
    cpu: dict[str, list[float]] = {}
    memory: dict[str, list[int]] = {}
    for _ in range(LOOKS):
        site.check()
        for one in site.runtime.stats():
            cpu.setdefault(one.service, []).append(one.cpu_percent)
            memory.setdefault(one.service, []).append(one.memory_bytes)
    for service, looks in cpu.items():
        yield _reading("services", service, "cpu", round(sum(looks) / len(looks), 1))
        yield _reading("services", service, "memory", max(memory[service]))
    if site.runtime.kind == "elsewhere":
        why = "ARCHON_RUNTIME=elsewhere: what the servers use is not to be seen from here"
        yield Fact(area="services", subject="services", name="not looked at", text=why)
    else:
        for service in site.runtime.services():
            if service not in cpu:
                yield Missing(area="services", subject=service, why="it does not run")


def measure_host(site: Site) -> Iterator[Found]:
    """Processors, memory, swap and disks of the machine that this runs on."""
    site.check()
    cores = psutil.cpu_count() or 1
    memory = psutil.virtual_memory()
    yield _reading("host", "host", "cpu", psutil.cpu_percent(interval=_INTERVAL))
    yield _reading("host", "host", "load of a core", round(os.getloadavg()[1] / cores, 3))
    yield _reading("host", "host", "memory used", round(1 - memory.available / memory.total, 4))
    yield _reading("host", "host", "swap used", psutil.swap_memory().used)
    for disk in look_at_disks(site.settings, time.time):
        yield _reading("host", disk.disk, "disk used", round(disk.used / disk.total, 4))


def _reading(area: Area, subject: str, name: str, value: float) -> Reading:
    return Reading(area=area, subject=subject, name=name, value=value)
