"""The services of a compose project and their containers, looked at: the half of the runtime that changes nothing.

Which services there are comes from compose (:mod:`compose_project`), what their containers do from the engine
(:mod:`compose_engine`). A balancer is no service of its own: it is part of the one whose port it has, as the label
:data:`compose_engine.BALANCES` says.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from archon_dagster.errors import ConfigurationError
from archon_dagster.platform.limits import Host, Resources
from archon_dagster.platform.runtime import compose_engine as engines
from archon_dagster.platform.runtime import compose_variables
from archon_dagster.platform.runtime.compose_engine import Container, engine
from archon_dagster.platform.runtime.compose_project import ComposeProject
from archon_dagster.platform.runtime.phases import chosen
from archon_dagster.platform.runtime.protocol import Replicas, ServiceStats, ServiceStatus
from archon_dagster.platform.services import Service

_CONFIG_FOR = 5.0  # seconds the list of services is believed; compose takes a tenth of a second to make it


class ComposeServices:
    """What there is.

    :param project: the compose project.
    :param catalogue: the order of the services, by name.
    """

    def __init__(self, project: ComposeProject, catalogue: Mapping[str, Service]):
        self._project, self._catalogue = project, catalogue
        self._services: tuple[str, ...] = ()
        self._balancers: dict[str, str] = {}
        self._wanted: dict[str, int] = {}
        self._read_at = float("-inf")

    def services(self) -> tuple[str, ...]:
        """The services of the project (of its active profiles), in catalogue order.

        While compose does not accept the project, those that have containers: frozen writers must not stay frozen
        because somebody is editing a file.
        """
        if time.monotonic() - self._read_at >= _CONFIG_FOR:
            self._services, self._read_at = self._in_order(self._configured()), time.monotonic()
        return self._services

    def _chosen(self, services: Sequence[str]) -> tuple[str, ...]:
        """The named ones in their order, all where none is named; :class:`ConfigurationError` for one not here."""
        where = f"compose project {self._project.name} in {self._project.directory}"
        return chosen(services, self.services(), where, "COMPOSE_PROFILES in its .env adds more")

    def _in_order(self, names: set[str]) -> tuple[str, ...]:
        """These names as the catalogue has them, then the others."""
        return (*(name for name in self._catalogue if name in names), *sorted(names.difference(self._catalogue)))

    def _balancer(self, name: str) -> str | None:
        """What balances a service, if anything does."""
        return self._balancers.get(name)

    def _parts(self, name: str) -> tuple[str, ...]:
        """A service, and what balances it."""
        balancer = self._balancer(name)
        return (name, balancer) if balancer else (name,)

    def _configured(self) -> set[str]:
        try:
            config = self._project.config()
            found = {name: one.get("labels") or {} for name, one in (config.get("services") or {}).items()}
            self._wanted = {name: compose_variables.wanted(config, name) for name in found}
        except ConfigurationError:
            found = self._made()
            if not found:
                raise
        balanced = {name: labels[engines.BALANCES] for name, labels in found.items() if engines.BALANCES in labels}
        self._balancers = {service: name for name, service in balanced.items()}
        return set(found) - set(balanced)

    def _made(self) -> dict[str, dict[str, str]]:
        """Whatever has a container, and its labels."""
        with engine("the services could not be looked at") as client:
            return {one.labels[engines.SERVICE]: one.labels for one in engines.containers(client, self._project.name)}

    def _of(self, client: Any, name: str) -> list[Container]:
        """The containers of a service, or of a balancer."""
        return engines.containers(client, self._project.name, name)

    def status(self) -> list[ServiceStatus]:
        """One entry for each service; one whose balancer does not run does not either."""
        found = self._instances()
        return [self._status(name, found) for name in self.services()]

    def _status(self, name: str, found: dict[str, list[Container]]) -> ServiceStatus:
        one, balancer = engines.status_of(name, found.get(name, [])), self._balancer(name)
        if balancer and one.state == "running" and not any(map(engines.is_up, found.get(balancer, []))):
            return replace(one, state="exited")
        return one

    def stats(self) -> list[ServiceStats]:
        """CPU and memory of each service that runs; the engine measures for a second."""
        found = self._instances()
        names = [name for name in self.services() if name in found]
        with ThreadPoolExecutor(max_workers=max(1, len(names))) as pool:
            measured = pool.map(self._stats, names)
            return [one for one in measured if one is not None]

    def _stats(self, service: str) -> ServiceStats | None:
        with engine(f"{service} could not be measured") as client:
            return engines.stats_of(service, [one for name in self._parts(service) for one in self._of(client, name)])

    def _instances(self) -> dict[str, list[Container]]:
        names = self.services()
        with engine("the services could not be looked at") as client:
            found: dict[str, list[Container]] = {}
            for one in engines.containers(client, self._project.name):
                found.setdefault(one.labels[engines.SERVICE], []).append(one)
        return {name: found[name] for name in (*names, *self._balancers.values()) if name in found}

    def image_digests(self) -> dict[str, str]:
        """The digest of the image each container of a service or a balancer was made from; one built here has an id."""
        found = self._instances()
        with engine("the images could not be looked at") as client:
            return {name: engines.image_of(client, instances[0]) for name, instances in found.items()}

    def logs(self, service: str, lines: int = 50) -> str:
        """The last lines of a service's balancer, then of each replica, newest last."""
        (name,) = self._chosen((service,))
        with engine(f"the log of {name} could not be read") as client:
            instances = [one for part in reversed(self._parts(name)) for one in self._of(client, part)]
            return "".join(one.logs(tail=lines).decode(errors="replace") for one in instances)

    def replicas(self, service: str) -> Replicas:
        """How often a service shall run, and how each container is: as its health check says, where it has one."""
        (name,) = self._chosen((service,))
        with engine(f"{name} could not be looked at") as client:
            each = tuple(engines.replica_of(one) for one in self._of(client, name))
        wanted = compose_variables.wanted(self._project.config(), name)
        return Replicas(name, wanted, each, compose_variables.fixed(self._project, name))

    def require_limits(self, limits: Mapping[str, Resources]) -> None:
        """Each service's variables have to be read by the compose file."""
        compose_variables.require_read(self._project, {self._chosen((name,))[0]: one for name, one in limits.items()})

    def host(self) -> Host:
        """The machine of the engine."""
        with engine("the host could not be asked what it has") as client:
            return engines.host_of(client)
