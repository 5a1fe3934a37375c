"""The one way to touch the platform's processes.

Implementations: Docker Compose, the local processes of the sandbox, and none at all (servers that run elsewhere).
A verb takes service names as in the catalogue; no name means every service the runtime has. A service the runtime
does not have is an error, and nothing outside this project's services is ever touched. Every verb returns when its
effect is there, or raises :class:`~archon_dagster.errors.ServiceError` with the service, what was seen last and its
last log lines.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO, Literal, Protocol, Self

from archon_dagster.platform.limits import Host, Resources

State = Literal["running", "paused", "exited", "absent"]


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """What a runtime knows of one service without asking the service itself.

    :param instance: container id or pid, as text; empty when absent.
    :param exit_code: of the last run where it is known (negative: killed by that signal).
    """

    service: str
    state: State
    instance: str = ""
    started: datetime | None = None
    exit_code: int | None = None
    replicas: int = 1


@dataclass(frozen=True, slots=True)
class ServiceStats:
    """Resource use of one service now: CPU in percent of one core, memory in bytes."""

    service: str
    cpu_percent: float
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Replica:
    """One of the processes that do a service's work.

    :param well: it gets its share of what the service is asked: who shares it out (or the engine) says so.
    :param served: connections it has been given so far, where that is known.
    """

    number: int
    state: State
    instance: str
    well: bool
    served: int = 0


@dataclass(frozen=True, slots=True)
class Replicas:
    """How often a service shall run, and who there is. :param fixed: why it cannot run more than once; else empty."""

    service: str
    wanted: int
    each: tuple[Replica, ...]
    fixed: str = ""

    @property
    def well(self) -> int:
        """How many of them do their work."""
        return sum(one.well for one in self.each)


class Exec(Protocol):
    """A command running inside a service, with streams. Leaving the context ends it if it still runs."""

    stdin: BinaryIO
    stdout: BinaryIO

    def wait(self, timeout: float) -> int:
        """Wait for the end; returns the exit code. Raises ``ServiceError`` when the time is up."""
        ...

    def stderr_tail(self) -> str:
        """The last lines the command wrote to its standard error."""
        ...

    def kill(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *exc: object) -> None: ...


class Runtime(Protocol):
    """Starts, stops and looks at services."""

    @property
    def kind(self) -> Literal["compose", "processes", "elsewhere"]:
        """Which implementation this is."""
        ...

    def services(self) -> tuple[str, ...]:
        """The services this runtime has, in catalogue order."""
        ...

    def up(self, *services: str) -> None:
        """Start what does not run; what runs is left alone. Does not wait for readiness: probes do."""
        ...

    def stop(self, *services: str) -> None:
        """Stop, with the catalogue's grace period; stopping what is stopped is fine."""
        ...

    def pause(self, *services: str) -> None:
        """Freeze: no instruction is executed until :meth:`unpause`."""
        ...

    def unpause(self, *services: str) -> None: ...

    def restart(self, *services: str) -> None:
        """Stop and start the same instance; the environment is *not* read again (as in compose)."""
        ...

    def recreate(self, *services: str) -> None:
        """Replace the instance by a new one from the current configuration and environment."""
        ...

    def down(self) -> None:
        """Stop and remove every instance of this project. Data stay."""
        ...

    def pull(self, *services: str) -> None:
        """Fetch the images of the current configuration (nothing to do for processes)."""
        ...

    def build(self, *services: str) -> None:
        """Build images with fresh bases (nothing to do for processes)."""
        ...

    def scale(self, service: str, replicas: int) -> None:
        """Run a service so many times from now on, also after a later ``down`` and ``up``.

        One that is added gets its share as soon as it is well, which is not waited for. One that goes gets nothing new
        first, and time for what it has.
        """
        ...

    def replicas(self, service: str) -> Replicas:
        """How often a service shall run, and how each replica is."""
        ...

    def limit(self, service: str, limits: Resources | None) -> None:
        """Remember for good what a service may use; in force from its next ``recreate`` on. ``None``: nothing said."""
        ...

    def require_limits(self, limits: Mapping[str, Resources]) -> None:
        """Raise ``ConfigurationError`` where :meth:`limit` could not make these hold, by service; changes nothing."""
        ...

    def host(self) -> Host:
        """What the machine has that runs the services."""
        ...

    def limits(self, service: str) -> Resources | None:
        """What a service may use, as last remembered by :meth:`limit`."""
        ...

    def exec(self, service: str, command: Sequence[str], *, env: Mapping[str, str] | None = None) -> Exec:
        """Run a command where the service runs, with its programs on the path and its environment."""
        ...

    def logs(self, service: str, lines: int = 50) -> str:
        """The last lines the service wrote, newest last."""
        ...

    def status(self) -> list[ServiceStatus]:
        """One entry for each service of :meth:`services`."""
        ...

    def stats(self) -> list[ServiceStats]: ...

    def image_digests(self) -> dict[str, str]:
        """What each service is made of: image digests, or program versions for processes."""
        ...
