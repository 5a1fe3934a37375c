"""Say at once which servers are missing, and what starts them.

A runtime can start a service that it has. One that it does not have (the whole platform is down, or the server runs
elsewhere) it cannot, and an operation that needs it would only find out half way, one server at a time.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from archon_dagster.errors import ServiceError
from archon_dagster.platform.probes import address, probe
from archon_dagster.platform.runtime.protocol import Runtime
from archon_dagster.platform.services import CATALOGUE, Service
from archon_dagster.platform.settings import Settings

HOW_TO_START: dict[str, str] = {
    "processes": "archon sandbox up",
    "compose": "docker compose up -d   (in the platform's project directory)",
    "elsewhere": "start them where they run",
}
"""What an operator types to start a platform, by :attr:`Runtime.kind`."""


def absent(stores: Iterable[str], settings: Settings, runtime: Runtime) -> tuple[Service, ...]:
    """The servers of these stores that do not run and that the runtime cannot start."""
    wanted, have = set(stores), runtime.services()
    others = [service for service in CATALOGUE if service.store in wanted and service.name not in have]
    if not have and runtime.kind != "elsewhere":
        return tuple(others)  # the platform is down: whoever answers at its addresses now is not its server
    if not others:
        return ()
    with ThreadPoolExecutor(max_workers=len(others)) as pool:
        answers = list(pool.map(partial(probe, settings=settings, loaded=False), others))
    return tuple(service for service, answer in zip(others, answers, strict=True) if not answer.ok)


def require_present(stores: Iterable[str], settings: Settings, runtime: Runtime) -> None:
    """Raise :class:`ServiceError` that names every absent server and what to type."""
    missing = absent(stores, settings, runtime)
    if missing:
        raise ServiceError(
            f"not running: {names_of(missing)}; nothing was touched",
            where=", ".join(address(service, settings) or service.address_setting for service in missing),
            todo=f"{HOW_TO_START[runtime.kind]}; then type the same again",
        )


def names_of(services: Iterable[Service]) -> str:
    """Their names, readable."""
    return ", ".join(service.name for service in services)
