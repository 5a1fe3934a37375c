"""The platform's services as local processes: the runtime of the sandbox.

Everything is found through files: ``<services>/<service>/spec.json`` says what to run, ``process.json`` what runs,
``log`` what it wrote. So the command line, a Dagster run and another shell see and steer the same processes, and
none of them has to stay alive. Concurrent callers are kept apart by a lock per service.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

import psutil
from filelock import FileLock, Timeout

from archon_dagster.errors import ServiceError
from archon_dagster.platform.runtime import process_instance as instances
from archon_dagster.platform.runtime import process_tree as trees
from archon_dagster.platform.runtime.process_exec import ProcessExec
from archon_dagster.platform.runtime.process_instance import Instance
from archon_dagster.platform.runtime.process_spec import FILE_NAME, ProcessSpec, read_spec
from archon_dagster.platform.runtime.protocol import ServiceStats, ServiceStatus, State
from archon_dagster.platform.services import BY_NAME, Service

_FREEZE_BUDGET = 10.0  # seconds
_KILL_BUDGET = 15.0  # seconds a killed process may take to be gone; longer means the kernel is stuck on a disk
_SAMPLE = 0.2  # seconds over which CPU use is measured
_LOG_LINES = 15


class ProcessesRuntime:
    """See :class:`~archon_dagster.platform.runtime.protocol.Runtime`.

    :param services_dir: one directory for each service.
    :param catalogue: order and grace periods of the services, by name.
    """

    kind: Literal["compose", "processes"] = "processes"

    def __init__(self, services_dir: Path, catalogue: Mapping[str, Service] = BY_NAME):
        self._dir = services_dir
        self._catalogue = catalogue

    # what there is

    def services(self) -> tuple[str, ...]:
        """The services that have a specification, in catalogue order."""
        have = {file.parent.name for file in self._dir.glob(f"*/{FILE_NAME}")}
        known = [name for name in self._catalogue if name in have]
        return (*known, *sorted(have.difference(known)))

    def status(self) -> list[ServiceStatus]:
        """One entry for each service of :meth:`services`."""
        return [self._status(name) for name in self.services()]

    def _status(self, name: str) -> ServiceStatus:
        instance = instances.read_instance(self._dir / name)
        if instance is None:
            return ServiceStatus(name, "absent", replicas=0)
        return ServiceStatus(name, _state(instance), str(instance.pid), instance.started, instance.exit_code)

    def stats(self) -> list[ServiceStats]:
        """CPU and memory of each service that has processes."""
        before = {name: trees.processor_seconds(members) for name, members in self._members().items()}
        time.sleep(_SAMPLE)
        return [
            ServiceStats(
                name,
                100 * max(0.0, trees.processor_seconds(members) - before.get(name, 0.0)) / _SAMPLE,
                trees.memory_bytes(members),
            )
            for name, members in self._members().items()
        ]

    def _members(self) -> dict[str, list[psutil.Process]]:
        found = {name: instances.read_instance(self._dir / name) for name in self.services()}
        return {name: trees.tree(instance.pid) for name, instance in found.items() if instance and instance.lives()}

    def image_digests(self) -> dict[str, str]:
        """The version of each service's program."""
        return {name: read_spec(self._dir / name).version for name in self.services()}

    def logs(self, service: str, lines: int = 50) -> str:
        """The last lines the service wrote, newest last."""
        (name,) = self._chosen((service,))
        return instances.tail(self._dir / name / instances.LOG_NAME, lines)

    # verbs

    def up(self, *services: str) -> None:
        """Start what does not run, with the current specification; what runs, or is paused, is left alone."""
        self._each(self._chosen(services), self._up)

    def stop(self, *services: str) -> None:
        """Ask to stop, wait for the catalogue's grace period, then kill what is left; dependents first."""
        self._each(self._chosen(services), self._stop, backwards=True)

    def pause(self, *services: str) -> None:
        """Freeze every process of the services."""
        self._each(self._chosen(services), self._pause)

    def unpause(self, *services: str) -> None:
        """Let frozen services go on."""
        self._each(self._chosen(services), self._unpause)

    def restart(self, *services: str) -> None:
        """Stop and start with the environment the running instance was given."""
        self._each(self._chosen(services), self._restart)

    def recreate(self, *services: str) -> None:
        """Stop and start from the current specification and environment files."""
        self._each(self._chosen(services), self._recreate)

    def down(self) -> None:
        """Stop every service and forget its instance. Data and logs stay."""
        self._each(self.services(), self._down, backwards=True)

    def kill(self, service: str, number: int = signal.SIGKILL) -> None:
        """Send a signal without further ado, for drills; SIGKILL hits every process of the service and is awaited."""
        self._each(self._chosen((service,)), lambda name: self._kill(name, number))

    def pull(self, *services: str) -> None:
        """Nothing to do: programs come with the installation."""
        self._chosen(services)

    def build(self, *services: str) -> None:
        """Nothing to do: programs come with the installation."""
        self._chosen(services)

    def scale(self, service: str, replicas: int) -> None:
        """One process of each service is all this runtime can run."""
        self._chosen((service,))
        if replicas != 1:
            raise ServiceError(
                f"{service} cannot run {replicas} times: local processes are not scaled",
                where="processes runtime",
                todo="scale on the compose runtime",
            )

    def exec(self, service: str, command: Sequence[str], *, env: Mapping[str, str] | None = None) -> ProcessExec:
        """Run a command with the running service's environment, ``exec_env`` and programs."""
        (name,) = self._chosen((service,))
        spec = self._running(name).spec
        environment = spec.environment() | spec.exec_env | dict(env or {})
        # looked up here: Popen would search the caller's PATH on some systems
        program = _which(command[0], environment["PATH"])
        return ProcessExec(name, [program, *command[1:]], environment, spec.cwd)

    # one service at a time, under its lock

    def _up(self, name: str) -> None:
        instance = instances.read_instance(self._dir / name)
        if instance is None or not instance.lives():
            self._launch(name, read_spec(self._dir / name).resolved())

    def _launch(self, name: str, spec: ProcessSpec) -> None:
        self._clear_strays(name, spec)
        instances.launch(self._dir / name, name, spec)

    def _clear_strays(self, name: str, spec: ProcessSpec) -> None:
        """End workers of an instance whose main process is gone: they would hold its port or its data."""
        instance = instances.read_instance(self._dir / name)
        known = spec if instance is None else instance.spec
        left = trees.kill_all(trees.strays(instance.mark if instance else "", known.program, known.cwd), _KILL_BUDGET)
        if left:
            raise self._failure(name, f"{name} still has processes that cannot be ended: {[p.pid for p in left]}")

    def _stop(self, name: str) -> None:
        instance = instances.read_instance(self._dir / name)
        if instance is None:
            return
        if instance.lives():
            self._ask_to_stop(name, instance)
        self._clear_strays(name, instance.spec)

    def _ask_to_stop(self, name: str, instance: Instance) -> None:
        members = trees.tree(instance.pid)
        with suppress(ProcessLookupError):
            os.killpg(instance.pid, instance.spec.stop_signal)
        trees.thaw(instance.pid, _FREEZE_BUDGET)  # a frozen process acts on the signal as soon as it goes on
        grace = self._catalogue[name].stop_grace if name in self._catalogue else 30.0
        if not instances.wait_ended(instance, grace):
            self._end_tree(name, instance)
        elif left := trees.wait_gone(members, 1.0):  # workers end with their parent, or are ended
            trees.kill_all(left, _KILL_BUDGET)

    def _end_tree(self, name: str, instance: Instance) -> None:
        left = trees.kill_all(trees.tree(instance.pid), _KILL_BUDGET)
        if left:
            raise self._failure(name, f"{name} does not end even when killed: {[p.pid for p in left]}")
        instances.record_end(self._dir / name, instance, -signal.SIGKILL)

    def _restart(self, name: str) -> None:
        instance = instances.read_instance(self._dir / name)
        self._stop(name)
        self._launch(name, instance.spec if instance else read_spec(self._dir / name).resolved())

    def _recreate(self, name: str) -> None:
        fresh = read_spec(self._dir / name).resolved()  # before anything is stopped: it may be unusable
        self._stop(name)
        self._launch(name, fresh)

    def _down(self, name: str) -> None:
        self._stop(name)
        instances.forget(self._dir / name)

    def _pause(self, name: str) -> None:
        if not trees.freeze(self._running(name, "paused").pid, _FREEZE_BUDGET):
            raise self._failure(name, f"{name} could not be frozen within {_FREEZE_BUDGET:g} s")

    def _unpause(self, name: str) -> None:
        if not trees.thaw(self._running(name, "paused").pid, _FREEZE_BUDGET):
            raise self._failure(name, f"{name} could not be continued within {_FREEZE_BUDGET:g} s")

    def _kill(self, name: str, number: int) -> None:
        instance = self._running(name, "paused")
        if number != signal.SIGKILL:
            with suppress(ProcessLookupError):
                os.kill(instance.pid, number)
            return
        self._end_tree(name, instance)
        self._clear_strays(name, instance.spec)

    # shared by the verbs

    def _running(self, name: str, *also: State) -> Instance:
        """The living instance of a service; raises where it is not running (or in one of the states ``also``)."""
        instance = instances.read_instance(self._dir / name)
        state: State = "absent" if instance is None else _state(instance)
        if instance is None or state not in ("running", *also):
            raise self._failure(name, f"{name} is {state}, not running", todo=f"start it: archon sandbox start {name}")
        return instance

    def _chosen(self, services: Sequence[str]) -> tuple[str, ...]:
        have = self.services()
        unknown = [name for name in services if name not in have]
        if unknown:
            raise ServiceError(
                f"no such service here: {', '.join(unknown)}",
                where=str(self._dir),
                todo=f"services here: {', '.join(have) or 'none; start the platform first'}",
            )
        return tuple(name for name in have if name in services) if services else have

    def _each(self, names: Sequence[str], verb: Callable[[str], None], *, backwards: bool = False) -> None:
        """Do something to each service: phase after phase, those of a phase side by side; raise the first failure."""
        for phase in _phases(names, self._catalogue, backwards):
            with ThreadPoolExecutor(max_workers=len(phase)) as pool:
                done = [pool.submit(self._locked, name, verb) for name in phase]
            for future in done:
                future.result()

    def _locked(self, name: str, verb: Callable[[str], None]) -> None:
        with self._lock(name):
            verb(name)

    @contextmanager
    def _lock(self, name: str) -> Iterator[None]:
        grace = self._catalogue[name].stop_grace if name in self._catalogue else 30.0
        lock = FileLock(self._dir / name / "lock", timeout=grace + 2 * _KILL_BUDGET)
        try:
            with lock:
                yield
        except Timeout as error:
            raise self._failure(name, f"somebody else has been working on {name} for too long") from error

    def _failure(self, name: str, what: str, *, todo: str | None = None) -> ServiceError:
        last = instances.tail(self._dir / name / instances.LOG_NAME, _LOG_LINES)
        return ServiceError(f"{what}\nlast log lines of {name}:\n{last or '(none)'}", todo=todo)


def _state(instance: Instance) -> State:
    if not instance.lives():
        return "exited"
    try:
        stopped = trees.is_stopped(psutil.Process(instance.pid))
    except psutil.NoSuchProcess:
        return "exited"
    return "paused" if stopped else "running"


def _phases(names: Sequence[str], catalogue: Mapping[str, Service], backwards: bool) -> list[list[str]]:
    order = {name: catalogue[name].order if name in catalogue else 0 for name in names}
    steps = sorted(set(order.values()), reverse=backwards)
    return [[name for name in names if order[name] == step] for step in steps]


def _which(program: str, search: str) -> str:
    from shutil import which

    return which(program, path=search) or program
