"""The sandbox's processes: the platform's own services, and beside them what a real platform has elsewhere.

The control plane's runtime has the first only: it probes Ollama and Supabase and never starts or stops them. The
sandbox has both.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from archon_dagster.platform.runtime.processes import ProcessesRuntime
from archon_dagster.platform.runtime.protocol import ServiceStats, ServiceStatus
from archon_dagster.sandbox.layout import EXTERNALS, Layout


@dataclass(frozen=True)
class Runtimes:
    """Both runtimes of one sandbox; the platform's own services come first."""

    layout: Layout

    @property
    def platform(self) -> ProcessesRuntime:
        return ProcessesRuntime(self.layout.services)

    @property
    def externals(self) -> ProcessesRuntime:
        return ProcessesRuntime(self.layout.externals)

    def of(self, service: str) -> ProcessesRuntime:
        """The one that has a service."""
        return self.externals if service in EXTERNALS else self.platform

    def services(self) -> tuple[str, ...]:
        return (*self.platform.services(), *self.externals.services())

    def status(self) -> list[ServiceStatus]:
        return [*self.platform.status(), *self.externals.status()]

    def stats(self) -> list[ServiceStats]:
        return [*self.platform.stats(), *self.externals.stats()]

    def versions(self) -> dict[str, str]:
        """What each service is made of."""
        return self.platform.image_digests() | self.externals.image_digests()

    def stop(self, services: Iterable[str]) -> None:
        """Stop some services, those first that need the others."""
        chosen = set(services)
        for runtime in (self.platform, self.externals):
            if mine := [name for name in runtime.services() if name in chosen]:
                runtime.stop(*mine)

    def remove(self) -> None:
        """Stop everything and take it away; a failure is raised after both have been tried."""
        try:
            self.platform.remove()
        finally:
            self.externals.remove()
