"""Wait until services are ready; a wait that expires says what was seen last.

The service of the catalogue is asked again and again, each within its own budget, all of them side by side. A
process that has ended is not waited for.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from archon_dagster.errors import Cancelled, ServiceError
from archon_dagster.platform.probes import Answer, address, probe
from archon_dagster.platform.runtime.protocol import Runtime
from archon_dagster.platform.services import BY_NAME, Service
from archon_dagster.platform.settings import Settings

__all__ = ["Answer", "OnPoll", "address", "probe", "wait_for", "wait_until_ready"]

OnPoll = Callable[[Service, Answer], None]

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 0.5  # seconds between two probes of a service
_LOOK_EVERY = 0.5  # seconds between two looks at a service's process
_EXITED_FOR = 1.0  # seconds a process must be gone; a container that is being restarted is gone for a moment
_LOG_LINES = 15


def wait_until_ready(
    names: Iterable[str],
    settings: Settings,
    runtime: Runtime,
    budget: float | None = None,
    on_poll: OnPoll | None = None,
    *,
    loaded: bool = True,
) -> dict[str, Answer]:
    """Wait for services, side by side; returns the good answer of each.

    :param budget: seconds for each service instead of its own ``start_budget``.
    :param on_poll: is told every answer, from the thread that asks the service.
    :param loaded: what a store holds must be usable too; ``False`` before a restore, which is there to repair it.
    :raises ServiceError: names the first service that is not ready in time, its last answer and log lines.
    """
    services = [BY_NAME[name] for name in dict.fromkeys(names)]
    if not services:
        return {}
    ask = partial(probe, settings=settings, loaded=loaded)
    given_up = threading.Event()
    waits = [
        _Wait(service, settings, runtime, budget or service.start_budget, ask, on_poll or _silent, given_up)
        for service in services
    ]
    with ThreadPoolExecutor(max_workers=len(waits)) as pool:
        outcomes = list(pool.map(_or_end_all, waits))
    for outcome in outcomes:
        if isinstance(outcome, ServiceError):
            raise outcome
    return {s.name: outcome for s, outcome in zip(services, outcomes, strict=True) if isinstance(outcome, Answer)}


def wait_for(
    service: Service,
    settings: Settings,
    runtime: Runtime,
    cancel: threading.Event,
    budget: float | None = None,
    on_poll: OnPoll | None = None,
) -> Answer:
    """Wait for one service, for a caller that gives every service a thread of its own; returns the good answer.

    :param budget: seconds instead of the service's own ``start_budget``.
    :raises ServiceError: it is not ready in time, or its process has ended; with its last answer and log lines.
    :raises Cancelled: ``cancel`` was set; seen between two probes.
    """
    ask = partial(probe, settings=settings)
    wait = _Wait(service, settings, runtime, budget or service.start_budget, ask, on_poll or _silent, cancel)
    outcome = wait.run()
    if outcome is None:
        raise Cancelled(f"nobody waits for {service.name} any more")
    if isinstance(outcome, ServiceError):
        raise outcome
    return outcome


def _or_end_all(wait: _Wait) -> Answer | ServiceError | None:
    """One of several waits: its failure ends the others, for nobody needs them any more."""
    outcome = wait.run()
    if isinstance(outcome, ServiceError):
        wait.given_up.set()
    return outcome


@dataclass(frozen=True)
class _Wait:
    """The wait for one service."""

    service: Service
    settings: Settings
    runtime: Runtime
    budget: float
    ask: Callable[[Service], Answer]
    on_poll: OnPoll
    given_up: threading.Event

    def run(self) -> Answer | ServiceError | None:
        """The good answer, the reason why there is none, or ``None`` when the wait was given up meanwhile."""
        begin, pause, process = time.monotonic(), _FIRST_PAUSE, _ProcessWatch(self.service.name, self.runtime)
        while True:
            answer = self.ask(self.service)
            self.on_poll(self.service, answer)
            spent = time.monotonic() - begin
            if answer.ok and not process.gone(now=True):
                return answer
            if spent >= self.budget or process.exited_for() >= _EXITED_FOR:
                return self._failure(answer, process, spent)
            if self.given_up.wait(min(pause, max(0.0, self.budget - spent))):
                return None
            pause = min(_LONGEST_PAUSE, pause * 1.5)

    def _failure(self, answer: Answer, process: _ProcessWatch, spent: float) -> ServiceError:
        process.gone(now=True)
        name = self.service.name
        log = self.runtime.logs(name, _LOG_LINES) if name in self.runtime.services() else ""
        seen = ", ".join(part for part in (f"last answer: {answer.text}", process.seen) if part)
        return ServiceError(
            f"{name} is not ready after {spent:.1f} s: {seen}\nlast log lines of {name}:\n{log or '(none)'}",
            where=address(self.service, self.settings) or self.service.address_setting,
            tried=f"its {self.service.probe.kind} probe, again and again",
            todo=f"read its log; if it only needs longer to start, give it more than {self.budget:g} s",
        )


def _silent(_: Service, __: Answer) -> None: ...


class _ProcessWatch:
    """Looks at a service's process now and then, and remembers since when it is gone."""

    def __init__(self, name: str, runtime: Runtime):
        self._name, self._runtime = name, runtime
        self._ours = name in runtime.services()
        self._looked = self._gone_since = 0.0
        self.seen = ""

    def gone(self, *, now: bool = False) -> bool:
        """Whether the process was gone at the last look; a good answer then came from somebody else."""
        if self._ours and (now or time.monotonic() - self._looked >= _LOOK_EVERY):
            self._look()
        return self._gone_since > 0

    def _look(self) -> None:
        self._looked = time.monotonic()
        status = next(status for status in self._runtime.status() if status.service == self._name)
        code = "" if status.exit_code is None else f" with code {status.exit_code}"
        self.seen = f"process {status.state}{code}"
        if status.state not in ("exited", "absent"):
            self._gone_since = 0.0
        elif not self._gone_since:
            self._gone_since = self._looked

    def exited_for(self) -> float:
        return time.monotonic() - self._gone_since if self.gone() else 0.0
