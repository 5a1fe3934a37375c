"""Why the automation must leave the number of replicas alone just now.

A broken or half-stopped platform is slow, and more of its processes would not make it faster: an incident, a
maintenance window or work that holds the platform's lock explain the load, and a pause is the operator's word.
"""

from __future__ import annotations

from datetime import datetime

from archon_dagster.health import at_work, windows
from archon_dagster.platform import automation
from archon_dagster.platform.settings import Settings
from archon_dagster.recovery.book import Book


def hindrances(service: str, settings: Settings, now: datetime) -> list[str]:
    """Every reason against scaling a service automatically, in words; none: it may be scaled."""
    found = []
    if pause := automation.paused(settings.home, now):
        found.append(f"the automation is paused {pause}")
    found += windows.reasons([service], settings, now.timestamp()).values()
    found += [f"incident {one.id} is open: {one.title}" for one in Book(settings.home).here()]
    if work := at_work.purpose(settings):
        found.append(f"{work} is at work")
    return found
