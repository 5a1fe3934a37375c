"""The servers that are broken: local processes, or the same programs as containers (:mod:`drills.containers`)."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from archon_dagster.errors import ConfigurationError
from archon_dagster.platform.runtime.protocol import Runtime
from archon_dagster.sandbox import lifecycle
from archon_dagster.sandbox.starting import Sandbox
from drills import containers
from drills.containers import Containers, ContainerSandbox


class Breakable(Runtime, Protocol):
    """A runtime that can also send a signal without further ado."""

    def kill(self, service: str, number: int = signal.SIGKILL) -> None: ...


@dataclass(frozen=True)
class Servers:
    """What a drill does to the servers of a home behind the back of whoever operates them.

    :param kind: ``processes`` or ``compose``.
    """

    home: Path
    kind: str = "processes"

    @property
    def runtime(self) -> Breakable:
        return ContainerSandbox(self.home).runtime if self.kind == "compose" else Sandbox(self.home).runtime

    @property
    def containers(self) -> Containers:
        """:class:`ConfigurationError` where there are none."""
        if self.kind != "compose":
            raise ConfigurationError("there are no containers here", todo="drill with --runtime compose")
        return ContainerSandbox(self.home).runtime

    def kill(self, service: str, number: int = signal.SIGKILL) -> None:
        """SIGKILL hits everything of the service."""
        self.runtime.kill(service, number)

    def wipe(self, store: str) -> None:
        """Its server comes up with an empty disk."""
        (containers if self.kind == "compose" else lifecycle).wipe(self.home, store)

    def down(self) -> None:
        """Stop everything."""
        (containers if self.kind == "compose" else lifecycle).down(self.home)

    def incarnation(self, service: str) -> str:
        """Another word after each start of the service."""
        (one,) = [status for status in self.runtime.status() if status.service == service]
        return f"{one.instance} {one.started}"
