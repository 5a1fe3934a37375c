"""The body of ``GET /health``: always with status 200, whatever it says."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import JSONResponse

from archon_dagster.sandbox.misbehaviour import START_DELAY, How
from archon_dagster.sandbox.services.behaving import order_of

VERSION = "1.0.0"


class Pulse:
    """Since when a service lives, and whether it has come to yet."""

    def __init__(self, environment: Mapping[str, str]):
        self._delay, self._begin = float(environment.get(START_DELAY) or 0), time.monotonic()

    @property
    def uptime(self) -> float:
        """Seconds since the start."""
        return round(time.monotonic() - self._begin, 3)

    @property
    def starting(self) -> bool:
        return self.uptime < self._delay


def health(request: Request, pulse: Pulse, connected: Mapping[str, bool], needed: Mapping[str, str]) -> JSONResponse:
    """What a service says of itself, or what it has been told to say.

    :param connected: what it reports of its neighbours, by field.
    :param needed: those of the fields that decide, with the neighbour's name for people.
    """
    order = order_of(request)
    if order is How.lie:
        connected = dict.fromkeys(connected, True)
    missing = [name for field, name in needed.items() if not connected[field]]
    status, error = ("degraded", f"not connected: {', '.join(missing)}") if missing else ("healthy", None)
    if order is How.unhealthy:
        status, error = "unhealthy", "internal error"
    elif pulse.starting and order is not How.lie:
        status, error = "initializing", "still starting"
    return JSONResponse(
        {
            "status": status,
            **connected,
            "service_version": VERSION,
            "uptime_seconds": pulse.uptime,
            "error": error,
            "last_check": datetime.now(UTC).isoformat(),
        }
    )
