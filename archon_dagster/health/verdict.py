"""The platform in one word.

*Down*: a service that the catalogue calls critical is unhealthy, whoever is to blame. *Degraded*: anything else that is
watched is not well, an external service included, for what is ours runs. What is unknown, in maintenance or left out
takes nothing away; but where nothing is known at all, nothing is well.
"""

from __future__ import annotations

from typing import Literal

from archon_dagster.health.state import MonitorState
from archon_dagster.platform.services import BY_NAME

PlatformVerdict = Literal["healthy", "degraded", "down"]

EXIT_CODES: dict[PlatformVerdict, int] = {"healthy": 0, "degraded": 1, "down": 2}


def platform_verdict(state: MonitorState) -> PlatformVerdict:
    """What to call a platform in this state; failures that are seen but not confirmed yet degrade it."""
    services = state.services
    if not services:
        return "down"
    ours = {name for name in services if BY_NAME[name].critical and not BY_NAME[name].external}
    if any(services[name].state == "unhealthy" for name in ours):
        return "down"
    doubts = any(one.in_doubt and one.pending in ("degraded", "unhealthy") for one in services.values())
    if doubts or any(one.state in ("degraded", "unhealthy") for one in services.values()):
        return "degraded"
    return "degraded" if all(one.state == "unknown" for one in services.values()) else "healthy"
