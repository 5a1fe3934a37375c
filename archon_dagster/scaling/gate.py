"""Wait until every replica of a service does its work, and the service answers where its clients ask it.

A gate that does not open says what it saw last, and the last log lines of the service.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from archon_dagster.errors import ServiceError
from archon_dagster.platform.probes import Answer, address, probe
from archon_dagster.platform.runtime.protocol import Replicas, Runtime
from archon_dagster.platform.services import BY_NAME
from archon_dagster.platform.settings import Settings

_POLL = 0.25  # seconds
_ENDED_FOR = 2.0  # seconds a replica must be gone before it is given up; a container is for a moment
_LOG_LINES = 15


def wait_until_well(
    service: str, settings: Settings, runtime: Runtime, check: Callable[[], None], replicas: int | None = None
) -> Replicas:
    """Wait for so many replicas (else as many as there shall be), within the service's own start budget.

    :raises ServiceError: they are not well in time, or one has ended. :raises Cancelled: as ``check`` says.
    """
    budget = BY_NAME[service].start_budget * settings.start_patience
    begin, ended_since = time.monotonic(), 0.0
    while True:
        check()
        seen = runtime.replicas(service)
        wanted = seen.wanted if replicas is None else replicas
        answer = probe(BY_NAME[service], settings) if seen.well == len(seen.each) == wanted else None
        if answer is not None and answer.ok:
            return seen
        now = time.monotonic()
        ended = [one.number for one in seen.each if one.state in ("exited", "absent")]
        ended_since = (ended_since or now) if ended else 0.0
        if now - begin >= budget or (ended and now - ended_since >= _ENDED_FOR):
            raise _failure(service, settings, runtime, seen, wanted, answer, now - begin)
        time.sleep(_POLL)


def _failure(
    service: str, settings: Settings, runtime: Runtime, seen: Replicas, wanted: int, answer: Answer | None, spent: float
) -> ServiceError:
    each = ", ".join(f"{one.number} {one.state}{'' if one.well else ', not well'}" for one in seen.each) or "none"
    last = f"; last answer: {answer.text}" if answer else ""
    log = runtime.logs(service, _LOG_LINES)
    return ServiceError(
        f"{service}: {seen.well} of {wanted} replicas are well after {spent:.1f} s (replica {each}){last}\n"
        f"last log lines of {service}:\n{log or '(none)'}",
        where=address(BY_NAME[service], settings),
    )
