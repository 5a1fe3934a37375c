"""One start of services of a sandbox: choose ports, prepare data, start, wait until ready."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from archon_dagster.errors import Cancelled, ServiceError
from archon_dagster.platform.readiness import wait_until_ready
from archon_dagster.platform.runtime.process_spec import write_spec
from archon_dagster.platform.runtime.processes import ProcessesRuntime
from archon_dagster.platform.services import BY_NAME, phases
from archon_dagster.platform.settings import Settings
from archon_dagster.sandbox import claims, listening, ownership, servers
from archon_dagster.sandbox import environment as env
from archon_dagster.sandbox.layout import Layout, layout_of

OnEvent = Callable[[str], None]
"""Receives news of a start, one line each, from the threads that do the work."""

_PORT_ATTEMPTS = 4
_AT_WORK = ("running", "paused")


@dataclass(frozen=True)
class Sandbox:
    """A sandbox that is up. What it tells is looked up each time: a server may have moved to another port since."""

    home: Path

    @property
    def env_file(self) -> Path:
        return layout_of(self.home).env_file

    @property
    def environment(self) -> dict[str, str]:
        """The variables of its platform, as in ``env_file``; secrets among them."""
        known = env.read(layout_of(self.home))
        return {key: value for key, value in known.items() if key != env.GRAPH_PASSWORD}

    @property
    def settings(self) -> Settings:
        """The settings of this sandbox, whatever the shell's environment says."""
        return env.settings_of(layout_of(self.home), self.environment)

    @property
    def runtime(self) -> ProcessesRuntime:
        return ProcessesRuntime(layout_of(self.home).services)

    @property
    def services(self) -> tuple[str, ...]:
        return self.runtime.services()


class Start:
    """One start of some services of a sandbox; whoever makes one has the turn."""

    def __init__(self, layout: Layout, on_event: OnEvent | None, *, known_servers: bool = False):
        self._layout, self._on_event, self._begin = layout, on_event, time.monotonic()
        self._runtime = ProcessesRuntime(layout.services)
        known = env.read(layout)
        source: Mapping[str, str] = known if known_servers else os.environ
        real = {name: source.get(name, "") for name in (env.REAL_QDRANT, env.REAL_MEMGRAPH)}
        self.running = [one.service for one in self._runtime.status() if one.state in _AT_WORK]
        self.services = servers.available({key: value for key, value in real.items() if value})
        with claims.choosing():
            avoid = claims.of_others(layout)
            self._environment = env.plan(known, self.services, self.running, real, avoid)
            claims.note(layout, env.taken(self._environment))
        self._started: list[str] = []
        self._changing = threading.Lock()
        self._given_up = threading.Event()

    def run(self, names: Sequence[str]) -> Sandbox:
        """Start the given services, phase after phase, and wait until each is ready."""
        env.write(self._layout, self._environment)
        for phase in phases(names):
            with ThreadPoolExecutor(max_workers=len(phase)) as pool:
                waits = [pool.submit(self._bring_up, service.name) for service in phase]
                try:
                    for wait in as_completed(waits):
                        wait.result()
                except BaseException:
                    self._given_up.set()  # nobody waits for the others of a start that has failed
                    raise
        return Sandbox(self._layout.home)

    def _check(self) -> None:
        if self._given_up.is_set():
            raise Cancelled("the start of the sandbox was given up")

    def undo(self) -> None:
        """Stop what this start has started."""
        if self._started:
            self._runtime.stop(*self._started)
        if not any(one.state in _AT_WORK for one in self._runtime.status()):
            ownership.release(self._layout)
            claims.withdraw(self._layout)

    def _bring_up(self, name: str) -> None:
        if name not in self.running:
            self._launch(name)
        (answer,) = wait_until_ready([name], self._settings(), self._runtime, on_poll=lambda *_: self._check()).values()
        self._tell(f"{name} is ready ({answer.text})")

    def _launch(self, name: str) -> None:
        """Start a server and see that the port became *its* port; where another was faster, try the next port."""
        for attempt in range(_PORT_ATTEMPTS):
            if attempt:
                self._move(name)
            port = env.port_of(self._environment, name)
            write_spec(self._layout.services / name, servers.assemble(name, self._layout, self._environment))
            self._tell(f"{name} is starting on port {port}")
            self._started.append(name)
            self._runtime.recreate(name)
            if servers.is_real(name, self._environment):
                return  # a wrapper's server may listen in a process that is none of ours
            if listening.wait_for_port(self._runtime, name, port, BY_NAME[name].start_budget, self._check):
                return
        raise ServiceError(
            f"{name} found no free port in {_PORT_ATTEMPTS} attempts", where=f"port {port}, the last one tried"
        )

    def _move(self, name: str) -> None:
        with self._changing, claims.choosing():
            self._environment |= env.new_port(self._environment, name, claims.of_others(self._layout))
            claims.note(self._layout, env.taken(self._environment))
            env.write(self._layout, self._environment)

    def _settings(self) -> Settings:
        with self._changing:
            return env.settings_of(self._layout, self._environment)

    def _tell(self, what: str) -> None:
        if self._on_event is not None:
            self._on_event(f"{time.monotonic() - self._begin:4.1f} s  {what}")
