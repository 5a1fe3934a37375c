"""A service of the processes runtime that runs more than once, looked at: its replicas, and a balancer on its port.

::

    <service>/             the balancer, which has the service's own port
    <service>/replicas/N/  a replica: its specification, its process, its log
    <service>/former/      the only process of a service that is being scaled for the first time, until it has ended
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from archon_dagster.errors import ServiceError
from archon_dagster.platform.runtime import process_scale as files
from archon_dagster.platform.runtime.process_instance import Instance
from archon_dagster.platform.runtime.process_scale import Rotation, Scale
from archon_dagster.platform.runtime.process_service import ServiceProcess
from archon_dagster.platform.runtime.process_spec import ProcessSpec, Replication
from archon_dagster.platform.runtime.protocol import Replica, Replicas, ServiceStatus, State

_FIRST: tuple[State, ...] = ("paused", "running", "exited", "absent")
_LOG_LINES = 15


class _Front(ServiceProcess):
    """The balancer: the service's specification, with another command."""

    def spec(self) -> ProcessSpec:
        spec = super().spec()
        return spec.model_copy(update={"command": replication(spec, self.name).balancer, "limits": None})


@dataclass(frozen=True)
class ReplicaSet:
    """A service by its directory.

    :param grace: seconds each of its processes gets to stop by itself.
    :param start_budget: seconds a replica may take to be well.
    """

    directory: Path
    grace: float
    start_budget: float

    @property
    def name(self) -> str:
        """What it is called, in messages too."""
        return self.directory.name

    @property
    def front(self) -> ServiceProcess:
        """The balancer."""
        return _Front(self.directory, self.grace)

    @property
    def former(self) -> ServiceProcess:
        """Who had the port before the balancer."""
        return ServiceProcess(self.directory / "former", self.grace, self.name)

    def replica(self, number: int) -> ServiceProcess:
        """One replica, whether it runs or not."""
        return ServiceProcess(self.directory / "replicas" / str(number), self.grace, f"{self.name}/{number}")

    def wanted(self) -> list[ServiceProcess]:
        """The replicas that shall run, by their numbers."""
        return [self.replica(number) for number in range(1, self.scale().replicas + 1)]

    def others(self, kept: int) -> dict[int, ServiceProcess]:
        """Replicas with higher numbers that have ever run."""
        found = (int(one.name) for one in (self.directory / "replicas").glob("*") if one.name.isdigit())
        return {number: self.replica(number) for number in sorted(found) if number > kept}

    def parts(self) -> list[ServiceProcess]:
        """Everything that may have a process."""
        return [self.front, self.former, *self.others(0).values()]

    def spec(self) -> ProcessSpec:
        """The specification of the service; of one process of it."""
        return ServiceProcess(self.directory, self.grace).spec()

    def scale(self) -> Scale:
        """How often it shall run; once, without a balancer, where it was never scaled."""
        return files.read_scale(self.directory) or Scale(replicas=1)

    def instance(self) -> Instance | None:
        """The balancer's."""
        return self.front.instance()

    def running(self, *also: State) -> Instance:
        """The living instance; raises where the service is not running."""
        if (state := self.status().state) not in ("running", *also):
            raise self.failure(
                f"{self.name} is {state}, not running", todo=f"start it: archon sandbox start {self.name}"
            )
        return self.front.running(*also)

    def status(self) -> ServiceStatus:
        """Paused where any of it is; running where the balancer is, and any replica."""
        front, each = self.front.status(), [one.status() for one in self.wanted()]
        up = [one for one in each if one.state in ("running", "paused")]
        if front.state not in ("running", "paused") or self.is_single():
            return replace(front, replicas=len(up))
        if not up:
            ended = next((one.exit_code for one in each if one.exit_code is not None), None)
            return replace(front, state="exited", exit_code=ended, replicas=0)
        state = min((front.state, *(one.state for one in up)), key=_FIRST.index)
        return replace(front, state=state, replicas=len(up))

    def replicas(self) -> Replicas:
        """How often it shall run, and how each replica is."""
        scale, said = self.scale(), self.rotation()
        each = []
        for number in range(1, scale.replicas + 1):
            status, port = self.replica(number).status(), scale.ports.get(number)
            seen = said.of(port) if said and port else None
            well = status.state == "running" and seen is not None and seen.well
            each.append(Replica(number, status.state, status.instance, well, seen.served if seen else 0))
        return Replicas(self.name, scale.replicas, tuple(each))

    def rotation(self) -> Rotation | None:
        """What the balancer says."""
        instance = self.front.instance()
        return files.read_rotation(self.directory, instance.pid) if instance else None

    def members(self) -> list[psutil.Process]:
        """Every process of it."""
        return [process for part in self.parts() for process in part.members()]

    def log(self, lines: int) -> str:
        """The last lines of the balancer, then of each replica."""
        parts = [self.front.log(lines), *(f"--- {one.name}\n{one.log(lines)}" for one in self.wanted())]
        return "\n".join(part for part in parts if part)

    def failure(self, what: str, *, todo: str | None = None) -> ServiceError:
        """An error about this service that ends with its last log lines."""
        return ServiceError(f"{what}\nlast log lines of {self.name}:\n{self.log(_LOG_LINES) or '(none)'}", todo=todo)

    def is_single(self) -> bool:
        """Somebody was killed while he scaled for the first time: the only process still has the port."""
        instance = self.front.instance()
        if instance is None or instance.spec.replication is None:
            return instance is not None
        return instance.lives() and instance.spec.command != instance.spec.replication.balancer


def replication(spec: ProcessSpec, name: str) -> Replication:
    """How the service runs more than once; raises where it cannot."""
    if spec.replication is None:
        raise ServiceError(
            f"{name} cannot run more than once: it is one of the local processes that are not scaled",
            where="processes runtime",
            todo="scale archon-search",
        )
    return spec.replication


def lives(one: ServiceProcess) -> bool:
    instance = one.instance()
    return instance is not None and instance.lives()
