"""How busy a service is: what its clients wait for, or what its processes use."""

from __future__ import annotations

import time

import httpx

from archon_dagster.platform.probes import address
from archon_dagster.platform.runtime.protocol import Runtime
from archon_dagster.platform.services import BY_NAME
from archon_dagster.platform.settings import Settings

SAMPLES = 10
LIMIT = 20.0  # seconds of all samples together; a sensor has not more than a minute
_TIMEOUT = 10.0  # seconds of one
_LOOKS = 3  # at the CPU, each a fifth of a second or a second long
_QUESTION = {"query": "how busy is the search service", "mode": "semantic", "limit": 1}


def latency(settings: Settings, service: str = "archon-search") -> float | None:
    """Milliseconds of the 95th percentile of a few real searches; ``None``: too few of them were answered.

    Each has a connection of its own, as clients have, so that every replica gets its turn.
    """
    times, end = [], time.monotonic() + LIMIT
    for _ in range(SAMPLES):
        if time.monotonic() > end:
            break
        begin = time.monotonic()
        try:
            url = f"{address(BY_NAME[service], settings)}/search"
            httpx.post(url, json=_QUESTION, timeout=_TIMEOUT, trust_env=False).raise_for_status()
        except httpx.TimeoutException:
            times.append(_TIMEOUT)
        except httpx.HTTPError:
            continue  # broken, not busy: health and recovery see to that
        else:
            times.append(time.monotonic() - begin)
    if len(times) < SAMPLES // 2 and (not times or max(times) < _TIMEOUT):
        return None
    times.sort()
    return 1000 * times[min(len(times) - 1, int(0.95 * len(times)))]


def processor(runtime: Runtime, replicas: int, service: str = "archon-search") -> float | None:
    """Percent of one core for each replica; ``None``: nothing of it runs."""
    seen = [one.cpu_percent for _ in range(_LOOKS) for one in runtime.stats() if one.service == service]
    return sum(seen) / len(seen) / max(1, replicas) if seen else None
