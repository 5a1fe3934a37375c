"""Give services a new environment: each is replaced, because a restart does not read the environment again.

Phase after phase, and none begins before those of the one before are well. A service that does not run is not started:
it reads the file when somebody starts it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping

from archon_dagster.context import OnNews, Step
from archon_dagster.errors import ServiceError
from archon_dagster.platform.probes import Answer
from archon_dagster.platform.readiness import wait_for
from archon_dagster.platform.runtime.protocol import Runtime
from archon_dagster.platform.services import BY_NAME, phases
from archon_dagster.platform.settings import Settings
from archon_dagster.startup.aside import Aside
from archon_dagster.startup.start import look, startable


def running(runtime: Runtime) -> tuple[str, ...]:
    """The services that run now, in the catalogue's order; a paused one is held still by somebody, and counts."""
    mine = startable(runtime)
    at_work = {one.service for one in runtime.status() if one.state in ("running", "paused")}
    return tuple(name for name in mine if name in at_work)


def well_now(names: Iterable[str], settings: Settings, runtime: Runtime) -> frozenset[str]:
    """Those of the services that are well now."""
    return frozenset(name for name, answer in look(names, settings, runtime).items() if answer.ok)


def replace(
    names: Iterable[str], settings: Settings, runtime: Runtime, was_well: frozenset[str],
    check: Callable[[], None], report: OnNews, on_phase: Callable[[tuple[str, ...]], None],
) -> dict[str, str]:  # fmt: skip
    """Replace services, phase after phase; returns those that are as unwell as they were, with what they say.

    :param on_phase: is told who is replaced next. :param check: raises to stop.
    :raises ServiceError: one that was well is not well in time.
    """
    still: dict[str, str] = {}
    for phase in phases(names):
        these = tuple(service.name for service in phase)
        check()
        on_phase(these)
        runtime.recreate(*these)
        still |= wait_well(these, settings, runtime, was_well, check)
        for name in these:
            report(Step(name, f"replaced, {'not well, as before' if name in still else 'well'}", 0.0))
    return still


def wait_well(
    names: Iterable[str], settings: Settings, runtime: Runtime, was_well: frozenset[str], check: Callable[[], None]
) -> dict[str, str]:
    """Wait until services are well, side by side, each within its own budget.

    What was not well before need not be well now: it is looked at once and reported.

    :raises ServiceError: the first that was well and is not; with its last answer and its last log lines.
    """
    wanted, given_up = tuple(names), threading.Event()
    awaited = [BY_NAME[name] for name in wanted if name in was_well]

    def ask(service_name: str) -> Callable[[], Answer]:
        service = BY_NAME[service_name]
        budget = service.start_budget * settings.start_patience
        return lambda: wait_for(service, settings, runtime, given_up, budget)

    waits: Mapping[str, Aside[Answer]] = {one.name: Aside(ask(one.name), f"wait {one.name}") for one in awaited}
    try:
        for wait in waits.values():
            wait.result(check)
    finally:
        given_up.set()
    others = look([name for name in wanted if name not in was_well], settings, runtime)
    return {name: answer.text for name, answer in others.items() if not answer.ok}


def require_services(runtime: Runtime) -> None:
    """A configuration is applied to services that can be replaced from here."""
    if runtime.kind == "elsewhere":
        raise ServiceError(
            "the services run elsewhere and cannot be replaced from here; nothing was touched",
            where="ARCHON_RUNTIME=elsewhere",
            todo="apply the file where they run",
        )
