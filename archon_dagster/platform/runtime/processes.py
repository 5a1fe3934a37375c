"""The platform's services as local processes: the runtime of the sandbox.

Everything is found through files: ``<services>/<service>/spec.json`` says what to run, ``process.json`` what runs,
``log`` what it wrote; of a service that was scaled, each replica has these files too. So the command line, a Dagster
run and another shell see and steer the same processes, and none of them has to stay alive. Concurrent callers are kept
apart by a lock per service.
"""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import psutil
from filelock import FileLock, Timeout

from archon_dagster.errors import ConfigurationError
from archon_dagster.platform.limits import Host, Resources
from archon_dagster.platform.runtime import process_limits
from archon_dagster.platform.runtime import process_tree as trees
from archon_dagster.platform.runtime.phases import chosen, in_phases
from archon_dagster.platform.runtime.process_exec import ProcessExec
from archon_dagster.platform.runtime.process_replica_set import replication
from archon_dagster.platform.runtime.process_replicas import ReplicatedService
from archon_dagster.platform.runtime.process_scale import read_scale
from archon_dagster.platform.runtime.process_service import KILL_BUDGET, ServiceProcess
from archon_dagster.platform.runtime.process_spec import FILE_NAME
from archon_dagster.platform.runtime.protocol import Replica, Replicas, ServiceStats, ServiceStatus
from archon_dagster.platform.services import BY_NAME, Service

_GRACE = 30.0  # seconds a service outside the catalogue gets to stop
_SAMPLE = 0.2  # seconds over which CPU use is measured

OneService = ServiceProcess | ReplicatedService


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
        return [self._service(name).status() for name in self.services()]

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
        found = {name: self._service(name).members() for name in self.services()}
        return {name: members for name, members in found.items() if members}

    def image_digests(self) -> dict[str, str]:
        """The version of each service's program."""
        return {name: self._service(name).spec().version for name in self.services()}

    def logs(self, service: str, lines: int = 50) -> str:
        """The last lines the service wrote, newest last."""
        (name,) = self._chosen((service,))
        return self._service(name).log(lines)

    # verbs

    def up(self, *services: str) -> None:
        """Start what does not run, with the current specification; what runs, or is paused, is left alone."""
        self._each(self._chosen(services), lambda one: one.up())

    def stop(self, *services: str) -> None:
        """Ask to stop, wait for the catalogue's grace period, then kill what is left; dependents first."""
        self._each(self._chosen(services), lambda one: one.stop(), backwards=True, thorough=True)

    def pause(self, *services: str) -> None:
        """Freeze every process of the services."""
        self._each(self._chosen(services), lambda one: one.pause())

    def unpause(self, *services: str) -> None:
        """Let frozen services go on."""
        self._each(self._chosen(services), lambda one: one.unpause(), thorough=True)

    def restart(self, *services: str) -> None:
        """Stop and start with the environment the running instance was given."""
        self._each(self._chosen(services), lambda one: one.restart())

    def recreate(self, *services: str) -> None:
        """Stop and start from the current specification and environment files."""
        self._each(self._chosen(services), lambda one: one.recreate())

    def down(self) -> None:
        """Stop every service and forget its instance. Data and logs stay."""
        self._each(self.services(), lambda one: one.down(), backwards=True, thorough=True)

    def remove(self) -> None:
        """As :meth:`down`, and take the services themselves away: who comes late finds nothing to start."""
        self._each(self.services(), lambda one: one.remove(), backwards=True, thorough=True)

    def kill(self, service: str, number: int = signal.SIGKILL) -> None:
        """Send a signal without further ado, for drills; SIGKILL hits every process of the service and is awaited."""
        self._each(self._chosen((service,)), lambda one: one.kill(number))

    def pull(self, *services: str) -> None:
        """Nothing to do: programs come with the installation."""
        self._chosen(services)

    def build(self, *services: str) -> None:
        """Nothing to do: programs come with the installation."""
        self._chosen(services)

    def scale(self, service: str, replicas: int) -> None:
        """Replicas behind a balancer, where the specification says how; a service that was never scaled has none."""
        (name,) = self._chosen((service,))
        if replicas < 1:
            raise ConfigurationError(f"{name} cannot run {replicas} times", todo="stop it instead")
        if replicas == 1 and not isinstance(self._service(name), ReplicatedService):
            return
        replication(self._service(name).spec(), name)
        self._locked(name, lambda _: self._replicated(name).scale_to(replicas))

    def replicas(self, service: str) -> Replicas:
        """How often a service shall run, and how each replica is."""
        (name,) = self._chosen((service,))
        one = self._service(name)
        if isinstance(one, ReplicatedService):
            return one.replicas()
        status = one.status()
        fixed = "" if one.spec().replication else "it is one of the local processes that are not scaled"
        return Replicas(name, 1, (Replica(1, status.state, status.instance, status.state == "running"),), fixed)

    def limit(self, service: str, limits: Resources | None) -> None:
        """Remember what each process of a service may use; see :mod:`process_limits` for what is enforced."""
        (name,) = self._chosen((service,))
        process_limits.write(self._dir / name, limits)

    def require_limits(self, limits: Mapping[str, Resources]) -> None:
        """They can be remembered for each service there is."""
        self._chosen(tuple(limits))

    def host(self) -> Host:
        """This machine, as far as this process may use it."""
        return Host(psutil.cpu_count() or 1, psutil.virtual_memory().total)

    def limits(self, service: str) -> Resources | None:
        """What each process of a service may use."""
        (name,) = self._chosen((service,))
        return process_limits.read(self._dir / name)

    def exec(self, service: str, command: Sequence[str], *, env: Mapping[str, str] | None = None) -> ProcessExec:
        """Run a command with the running service's environment, ``exec_env`` and programs."""
        (name,) = self._chosen((service,))
        spec = self._service(name).running().spec
        environment = spec.environment() | spec.exec_env | dict(env or {})
        # looked up here: Popen would search the caller's PATH on some systems
        program = shutil.which(command[0], path=environment["PATH"]) or command[0]
        return ProcessExec(name, [program, *command[1:]], environment, spec.cwd)

    # shared by the verbs

    def _chosen(self, services: Sequence[str]) -> tuple[str, ...]:
        return chosen(services, self.services(), str(self._dir), "a sandbox has them once it was started")

    def _each(
        self,
        names: Sequence[str],
        verb: Callable[[OneService], None],
        *,
        backwards: bool = False,
        thorough: bool = False,
    ) -> None:
        in_phases(names, self._catalogue, lambda name: self._locked(name, verb), backwards=backwards, thorough=thorough)

    def _locked(self, name: str, verb: Callable[[OneService], None]) -> None:
        service = self._service(name)
        lock = FileLock(service.directory / "lock", timeout=service.grace + 2 * KILL_BUDGET)
        try:
            held = lock.acquire()
        except Timeout as error:
            raise service.failure(f"somebody else has been working on {name} for too long") from error
        with held:
            verb(self._service(name))  # it may have been scaled meanwhile

    def _service(self, name: str) -> OneService:
        if read_scale(self._dir / name) is not None:
            return self._replicated(name)
        return ServiceProcess(self._dir / name, self._grace(name))

    def _replicated(self, name: str) -> ReplicatedService:
        budget = self._catalogue[name].start_budget if name in self._catalogue else _GRACE
        return ReplicatedService(self._dir / name, self._grace(name), budget)

    def _grace(self, name: str) -> float:
        return self._catalogue[name].stop_grace if name in self._catalogue else _GRACE
