"""The servers that are broken: local processes, or the same programs as containers (:mod:`drills.containers`)."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from archon_dagster.platform.runtime.process_instance import read_instance
from archon_dagster.platform.runtime.processes import ProcessesRuntime
from archon_dagster.platform.runtime.protocol import Runtime
from archon_dagster.sandbox import lifecycle
from archon_dagster.sandbox.layout import layout_of


class Servers(Protocol):
    """What a drill does to servers behind the back of whoever operates them."""

    @property
    def home(self) -> Path:
        """Of the sandbox that has their data and their orders."""
        ...

    @property
    def runtime(self) -> Runtime: ...

    def kill(self, service: str, number: int = signal.SIGKILL) -> None:
        """Send a signal without further ado; SIGKILL hits everything of the service."""
        ...

    def wipe(self, store: str) -> None:
        """Its server comes up with an empty disk."""
        ...

    def incarnation(self, service: str) -> str:
        """Another word after each start of the service; empty where it never was started."""
        ...


@dataclass(frozen=True)
class ProcessServers:
    """The sandbox itself."""

    home: Path

    @property
    def runtime(self) -> ProcessesRuntime:
        return ProcessesRuntime(layout_of(self.home).services)

    def kill(self, service: str, number: int = signal.SIGKILL) -> None:
        """See :class:`Servers`."""
        self.runtime.kill(service, number)

    def wipe(self, store: str) -> None:
        """See :class:`Servers`."""
        lifecycle.wipe(self.home, store)

    def incarnation(self, service: str) -> str:
        """See :class:`Servers`."""
        instance = read_instance(layout_of(self.home).directory(service))
        return instance.mark if instance is not None else ""
