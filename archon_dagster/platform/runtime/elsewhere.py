"""Servers that somebody else runs: reached by their addresses, never started, paused or stopped from here.

Backups are then taken beside running writers (the manifest says so), a restore stops nobody, and PostgreSQL needs
``POSTGRES_DSN``, because there is no service to run its programs in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NoReturn

from archon_dagster.errors import ConfigurationError
from archon_dagster.platform.limits import Host, Resources
from archon_dagster.platform.runtime.protocol import Exec, Replicas, ServiceStats, ServiceStatus


class ElsewhereRuntime:
    """A runtime without services."""

    kind: Literal["elsewhere"] = "elsewhere"

    def services(self) -> tuple[str, ...]:
        return ()

    def status(self) -> list[ServiceStatus]:
        return []

    def stats(self) -> list[ServiceStats]:
        return []

    def image_digests(self) -> dict[str, str]:
        return {}

    def up(self, *services: str) -> None:
        self._none(services)

    def stop(self, *services: str) -> None:
        self._none(services)

    def pause(self, *services: str) -> None:
        self._none(services)

    def unpause(self, *services: str) -> None:
        self._none(services)

    def restart(self, *services: str) -> None:
        self._none(services)

    def recreate(self, *services: str) -> None:
        self._none(services)

    def pull(self, *services: str) -> None:
        self._none(services)

    def build(self, *services: str) -> None:
        self._none(services)

    def down(self) -> None:
        """Nothing here is ours to stop."""

    def scale(self, service: str, replicas: int) -> None:
        self._none((service,))

    def replicas(self, service: str) -> Replicas:
        _refuse((service,))

    def limit(self, service: str, limits: Resources | None) -> None:
        self._none((service,))

    def require_limits(self, limits: Mapping[str, Resources]) -> None:
        self._none(tuple(limits))

    def host(self) -> Host:
        _refuse(("the host",))

    def limits(self, service: str) -> Resources | None:
        _refuse((service,))

    def exec(self, service: str, command: Sequence[str], *, env: Mapping[str, str] | None = None) -> Exec:
        _refuse((service,))

    def logs(self, service: str, lines: int = 50) -> str:
        _refuse((service,))

    def _none(self, services: Sequence[str]) -> None:
        if services:
            _refuse(services)


def _refuse(services: Sequence[str]) -> NoReturn:
    raise ConfigurationError(
        f"{', '.join(services)}: this control plane does not run services (ARCHON_RUNTIME=elsewhere)",
        todo="set POSTGRES_DSN for the database; start and stop services where they run",
    )
