"""Measure everything, one part after the other: two at once would measure each other. Nothing is changed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping

from archon_dagster.context import OnNews, Step, telling
from archon_dagster.errors import ArchonError, Cancelled
from archon_dagster.health.at_work import purpose
from archon_dagster.performance import database, graph, machine, response_times, vectors
from archon_dagster.performance.measures import Area, Fact, Found, Measurement, Missing, Reading, Site
from archon_dagster.platform.runtime.protocol import Runtime
from archon_dagster.platform.settings import Settings
from archon_dagster.stores.base import Progress

Part = Callable[[Site], Iterator[Found]]
PARTS: Mapping[Area, Part] = {
    "services": machine.measure_services,  # before the questions, which cost something themselves
    "host": machine.measure_host,
    "response_times": response_times.measure,
    "vectors": vectors.measure,
    "graph": graph.measure,
    "database": database.measure,
}


def silent(_: Step | Progress) -> None:
    """Tell nobody."""


def measure(
    settings: Settings,
    runtime: Runtime,
    cancel: threading.Event,
    report: OnNews = silent,
    parts: Mapping[Area, Part] = PARTS,
) -> Measurement:
    """One measurement. What cannot be measured is in it as missing, with the reason.

    :raises ArchonError: nothing at all could be measured of the platform.
    :raises Cancelled: stopped on request.
    """
    site, begun, begin = Site(settings, runtime, cancel), time.time(), time.monotonic()
    work = purpose(settings)
    found: list[Found] = []
    for area, part in parts.items():
        with telling(report, f"measure {area.replace('_', ' ')}") as said:
            found += (here := _of(site, area, part))
            said["failed"] = "; ".join(one.why for one in here if isinstance(one, Missing) and one.subject == area)
    readings = tuple(one for one in found if isinstance(one, Reading))
    missing = tuple(one for one in found if isinstance(one, Missing))
    if not any(one.area != "host" and one.name != "failed" for one in readings):
        raise ArchonError(
            "nothing of the platform could be measured",
            tried="; ".join(f"{one.subject}: {one.why}" for one in missing),
            todo="archon status says what is down; archon start starts it",
        )
    return Measurement(
        at=begun,
        seconds=round(time.monotonic() - begin, 3),
        readings=readings,
        facts=tuple(one for one in found if isinstance(one, Fact)),
        missing=missing,
        disturbed=work or purpose(settings),
    )


def _of(site: Site, area: Area, part: Part) -> list[Found]:
    found: list[Found] = []
    try:
        for one in part(site):
            found.append(one)
            site.check()
    except Cancelled:
        raise
    except ArchonError as error:
        site.check()  # what a cancelled wait ends with is no failure of a server
        found.append(Missing(area=area, subject=area, why=str(error).partition("\n")[0]))
    return found
