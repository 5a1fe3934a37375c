"""Start services by their dependencies, side by side, each ready when its probe says so.

Every service has a thread that waits for what the service needs, looks whether there is anything to do, does it, and
asks the service until it is well or its budget is spent. What runs and is ready is left alone; what is paused goes on;
what runs and is not ready yet is waited for, because a restart would only make it begin again. A failure ends nothing
but what depends on it. Nothing is undone: starting again goes on where this ended.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial

from archon_dagster.asking import ask_all
from archon_dagster.errors import ArchonError, Cancelled
from archon_dagster.platform.probes import Answer, probe
from archon_dagster.platform.readiness import wait_for
from archon_dagster.platform.runtime.protocol import Runtime, State
from archon_dagster.platform.services import BY_NAME, Service
from archon_dagster.platform.settings import Settings
from archon_dagster.startup.order import Order, order_of
from archon_dagster.startup.result import How, ServiceStart, Started

POLL = 0.05  # seconds between two looks at whether the start was cancelled
LEAVE_LIMIT = 1.0  # seconds a cancelled start waits for what is going on; what hangs longer ends by itself

OnTurn = Callable[[Service], None]
OnDone = Callable[[ServiceStart], None]


def start_services(
    wanted: Iterable[str],
    settings: Settings,
    runtime: Runtime,
    cancel: threading.Event,
    *,
    catalogue: Mapping[str, Service] = BY_NAME,
    on_turn: OnTurn = lambda _: None,
    on_done: OnDone = lambda _: None,
) -> Started:
    """Start services and everything they need; returns what came of each, also where some failed.

    :param wanted: nothing named means every service of the runtime.
    :param cancel: set it to stop; what has been started by then stays.
    :param on_turn: is told when it is a service's turn, :param on_done: what came of it; from the threads.
    :raises Cancelled: within 2 s, whatever a service or the runtime is doing.
    """
    order = order_of(wanted, startable(runtime, catalogue), catalogue)
    return _Start(order, catalogue, settings, runtime, cancel, on_turn, on_done).run()


def startable(runtime: Runtime, catalogue: Mapping[str, Service] = BY_NAME) -> tuple[str, ...]:
    """The services of this platform that the runtime can start."""
    return tuple(name for name in runtime.services() if name in catalogue and not catalogue[name].external)


def look(names: Iterable[str], settings: Settings, runtime: Runtime) -> dict[str, Answer]:
    """What each of these services says of itself now; touches nothing. What does not run is not well, and not asked."""
    states = {status.service: status.state for status in runtime.status()}
    named = {name: BY_NAME[name] for name in names}
    running = {name: service for name, service in named.items() if states.get(name) == "running"}
    limit = max((service.probe.timeout for service in running.values()), default=0.0) + 2.0
    answers = ask_all({name: partial(probe, service, settings) for name, service in running.items()}, limit)
    return {name: _answer(answers.get(name), states.get(name, "absent"), limit) for name in named}


def _answer(answer: Answer | Exception | None, state: State, limit: float) -> Answer:
    if isinstance(answer, Answer):
        return answer
    return Answer(False, f"process {state}" if answer is None else str(answer), limit if answer else 0.0, reached=False)


@dataclass
class _Start:
    """One start. ``done`` has an event for each service, ``came`` what came of it once that is set."""

    order: Order
    catalogue: Mapping[str, Service]
    settings: Settings
    runtime: Runtime
    cancel: threading.Event
    on_turn: OnTurn
    on_done: OnDone
    done: dict[str, threading.Event] = field(default_factory=dict)
    came: dict[str, ServiceStart] = field(default_factory=dict)
    broken: list[BaseException] = field(default_factory=list)

    def run(self) -> Started:
        begin = time.monotonic()
        self.done = {name: threading.Event() for name in self.order}
        for name in self.order:
            # not a pool: Python waits for a pool's threads, and one may hang in a probe or in the runtime
            threading.Thread(target=self._thread, args=(name,), name=f"start {name}", daemon=True).start()
        for done in self.done.values():
            self._await(done)
        if self.broken:
            raise self.broken[0]
        return Started(tuple(self.came[name] for name in self.order), time.monotonic() - begin)

    def _await(self, done: threading.Event) -> None:
        while not done.wait(POLL):
            if self.cancel.is_set():
                self._leave()

    def _leave(self) -> None:
        deadline = time.monotonic() + LEAVE_LIMIT
        for done in self.done.values():
            done.wait(max(0.0, deadline - time.monotonic()))
        ready = [name for name in self.order if name in self.came and self.came[name].ready]
        raise Cancelled(
            "the start was cancelled on request",
            tried=f"ready by then: {', '.join(ready) or 'none'}; nothing was stopped again",
            todo="go on with: archon start",
        )

    def _thread(self, name: str) -> None:
        try:
            for needed in self.order[name]:
                while not self.done[needed].wait(POLL):
                    if self.cancel.is_set():
                        return
            self.came[name] = came = self._in_turn(self.catalogue[name])
            self.on_done(came)
        except Cancelled:
            return  # the one who cancelled tells what is ready by now
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
            self.broken.append(error)
        self.done[name].set()

    def _in_turn(self, service: Service) -> ServiceStart:
        if blocked_by := self._roots(service.name):
            return self._as_it_is(service, blocked_by)
        self._check()
        self.on_turn(service)
        begin = time.monotonic()
        how: How = "failed"
        detail, log = "", ""
        try:
            how, answer = self._bring_up(service)
            detail = answer.text
        except Cancelled:
            raise
        except ArchonError as error:
            detail, _, log = error.what.partition("\n")
            detail += f" ({error.where})" if error.where else ""
        return ServiceStart(service.name, how, time.monotonic() - begin, detail, log, service.essential)

    def _as_it_is(self, service: Service, blocked_by: tuple[str, ...]) -> ServiceStart:
        """A service whose need has failed: nothing is done to it, but it may well have been ready all the time."""
        state, needs = self._state(service.name), f"needs {', '.join(blocked_by)}"
        how: How = "not started"
        if state == "running":
            answer = probe(service, self.settings)
            if answer.ok:
                return ServiceStart(service.name, "was ready", 0.0, answer.text, essential=service.essential)
            how, needs = "not waited for", f"{answer.text}; {needs}"
        return ServiceStart(service.name, how, 0.0, needs, essential=service.essential, blocked_by=blocked_by)

    def _state(self, name: str) -> State:
        return next((one.state for one in self.runtime.status() if one.service == name), "absent")

    def _roots(self, name: str) -> tuple[str, ...]:
        """The services that failed and that this one needs, directly or through others."""
        roots: dict[str, None] = {}
        for needed in self.order[name]:
            came = self.came.get(needed)
            if came is not None and not came.ready:
                roots |= dict.fromkeys(came.blocked_by or (needed,))
        return tuple(roots)

    def _bring_up(self, service: Service) -> tuple[How, Answer]:
        state = self._state(service.name)
        how: How = "waited for"
        if state == "running":
            answer = probe(service, self.settings)
            if answer.ok:
                return "was ready", answer
        elif state == "paused":
            self.runtime.unpause(service.name)
            how = "unpaused"
        else:
            self.runtime.up(service.name)
            how = "started"
        self._check()
        budget = service.start_budget * self.settings.start_patience
        return how, wait_for(service, self.settings, self.runtime, self.cancel, budget)

    def _check(self) -> None:
        if self.cancel.is_set():
            raise Cancelled("the start was cancelled")
