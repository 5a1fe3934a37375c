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
from archon_dagster.platform.runtime.process_instance import read_instance
from archon_dagster.platform.runtime.process_spec import write_spec
from archon_dagster.platform.runtime.processes import ProcessesRuntime
from archon_dagster.platform.services import BY_NAME
from archon_dagster.platform.settings import Settings
from archon_dagster.sandbox import claims, listening, ownership, servers
from archon_dagster.sandbox import environment as env
from archon_dagster.sandbox.layout import Layout, layout_of
from archon_dagster.sandbox.news import STARTING, OnEvent
from archon_dagster.sandbox.runtimes import Runtimes

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
        return env.public(env.read(layout_of(self.home)))

    @property
    def settings(self) -> Settings:
        """The settings of this sandbox, whatever the shell's environment says."""
        return env.settings_of(layout_of(self.home), self.environment)

    @property
    def externals(self) -> ProcessesRuntime:
        """The processes of what a real platform has elsewhere; :attr:`runtime` does not have them."""
        return ProcessesRuntime(layout_of(self.home).externals)

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
        self._runtimes = Runtimes(layout)
        known = env.read(layout)
        source: Mapping[str, str] = known if known_servers else os.environ
        real = {name: source.get(name, "") for name in (env.REAL_QDRANT, env.REAL_MEMGRAPH)}
        self.running = [one.service for one in self._runtimes.status() if one.state in _AT_WORK]
        with claims.choosing():
            avoid = claims.of_others(layout)
            self._environment = env.plan(known, servers.SERVICES, self.running, real, avoid)
            claims.note(layout, env.taken(self._environment))
        self._started: list[str] = []
        self._changing = threading.Lock()  # the variables, when a port has to be chosen anew
        self._given_up = threading.Event()

    def run(self, names: Sequence[str]) -> Sandbox:
        """Start the given services and wait until each is ready.

        All side by side: whoever needs another one waits for it by itself, and most of a start is loading programs.
        """
        env.write(self._layout, self._environment)
        self._each([name for name in names if name not in self.running], self._launch)
        misled = self._misled()
        self._each(misled, self._launch)
        self._each([*names, *(name for name in misled if name not in names)], self._wait)
        return Sandbox(self._layout.home)

    def _each(self, names: Sequence[str], verb: Callable[[str], None]) -> None:
        if not names:
            return
        with ThreadPoolExecutor(max_workers=len(names)) as pool:
            done = [pool.submit(verb, name) for name in names]
            try:
                for one in as_completed(done):
                    one.result()
            except BaseException:
                self._given_up.set()  # nobody waits for the others of a start that has failed
                raise

    def _misled(self) -> list[str]:
        """Running services that look for another one where it is no more, since it has a new port."""
        current = env.addresses(self._environment)
        found = []
        for name in servers.SERVICES:
            instance = read_instance(self._layout.directory(name))
            if instance is not None and instance.lives():
                given = instance.spec.env
                found += [name] if any(given.get(key, value) != value for key, value in current.items()) else []
        return found

    def _check(self) -> None:
        if self._given_up.is_set():
            raise Cancelled("the start of the sandbox was given up")

    def undo(self) -> None:
        """Stop what this start has started."""
        self._runtimes.stop(self._started)
        if not any(one.state in _AT_WORK for one in self._runtimes.status()):
            ownership.release(self._layout)
            claims.withdraw(self._layout)

    def _wait(self, name: str) -> None:
        runtime, settings = self._runtimes.of(name), self._settings()
        (answer,) = wait_until_ready([name], settings, runtime, on_poll=lambda *_: self._check()).values()
        self._tell(f"{name} is ready ({answer.text})")

    def _launch(self, name: str) -> None:
        """Start a server and see that the port became *its* port; where another was faster, try the next port."""
        runtime = self._runtimes.of(name)
        for attempt in range(_PORT_ATTEMPTS):
            if attempt:
                self._move(name)
            port = env.port_of(self._environment, name)
            write_spec(self._layout.directory(name), servers.assemble(name, self._layout, self._environment))
            self._tell(f"{name} {STARTING} {port}")
            self._started.append(name)
            runtime.recreate(name)
            if servers.is_real(name, self._environment):
                return  # a wrapper's server may listen in a process that is none of ours
            if listening.wait_for_port(runtime, name, port, BY_NAME[name].start_budget, self._check):
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
