"""Throw-away servers on Docker Compose: containers of this platform's own images, in a project of their own.

Everything that is made carries the labels of :mod:`~archon_dagster.platform.runtime.compose_marks`. From the host the
servers are reached on ports of 127.0.0.1 that the engine chooses. Where this program runs in a container itself
(``ARCHON_SERVICE_HOST`` says ``{service}``), its container joins their network, and they lose their names there first:
``qdrant`` must go on to mean the platform's.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from docker.errors import ImageNotFound, NotFound

from archon_dagster.errors import ConfigurationError, ServiceError
from archon_dagster.platform.probes import address
from archon_dagster.platform.readiness import wait_until_ready
from archon_dagster.platform.runtime import compose_copy
from archon_dagster.platform.runtime import compose_engine as engines
from archon_dagster.platform.runtime.compose import ComposeRuntime
from archon_dagster.platform.runtime.compose_engine import Container, engine
from archon_dagster.platform.runtime.compose_marks import Mark, remove
from archon_dagster.platform.runtime.compose_project import ComposeProject
from archon_dagster.platform.runtime.process_spec import write_private
from archon_dagster.platform.runtime.throwaway import Started
from archon_dagster.platform.services import BY_NAME, CATALOGUE
from archon_dagster.platform.settings import Settings

_PULL_LIMIT = 1800.0  # seconds
_START_BUDGET = 300.0  # seconds: the platform is at work beside them, and nobody waits for them
_SERVERS = tuple(service for service in CATALOGUE if service.store)


class ComposeThrowAway:
    """See :class:`~archon_dagster.platform.runtime.throwaway.ThrowAway`.

    :param platform: the settings of the platform whose images are used. :param directory: for the project's files.
    """

    def __init__(self, platform: Settings, directory: Path, mark: Mark):
        self._platform, self._directory, self._mark = platform, directory, mark
        self._original = ComposeProject(platform.project_dir, platform.compose_project)
        self._own = ComposeProject(directory / "project", mark.project)
        self._inside = "{service}" in platform.service_host

    def services(self) -> tuple[str, ...]:
        """The servers of stores that the platform's project has; one that is reached elsewhere has no image here."""
        have = self._original.config().get("services") or {}
        elsewhere = {"postgres"} if self._platform.postgres_dsn is not None else set()
        return tuple(one.name for one in _SERVERS if one.name in have and one.name not in elsewhere)

    def disk(self) -> Path | None:
        """The engine's data directory, if it is on this machine and may be looked at."""
        with engine("the engine could not be asked where its data are") as client:
            root = Path(str(client.info().get("DockerRootDir") or "/nonexistent"))
        try:
            return root if not self._inside and root.is_dir() else None
        except OSError:
            return None

    def start(self, services: Sequence[str], check: Callable[[], None]) -> Started:
        """See the protocol."""
        self._write(services)
        runtime = ComposeRuntime(self._own, self._directory / "locks")
        runtime.up(*services)
        check()
        settings = self._settings(self._places(services))
        wait_until_ready(services, settings, runtime, _START_BUDGET, on_poll=lambda *_: check())
        return Started(settings, runtime, {name: address(BY_NAME[name], settings) for name in services})

    def remove(self) -> None:
        """See the protocol."""
        remove(self._mark.platform, [self._mark.project])

    def _write(self, services: Sequence[str]) -> None:
        config = self._original.config()
        with engine("the platform's images could not be looked at") as client:
            copies = {name: self._copy(client, config, name) for name in services}
        made = compose_copy.project(self._mark.project, config, copies, self._mark.labels, self._platform.drill_memory)
        self._own.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(self._own.directory / "compose.yaml", json.dumps(made, indent=1))  # JSON is YAML

    def _copy(self, client: Any, config: dict[str, Any], name: str) -> compose_copy.Copy:
        image = _image(client, config, self._original.name, name)
        try:
            found = client.images.get(image)
        except ImageNotFound:
            self._original.run("pull", name, limit=_PULL_LIMIT)
            found = client.images.get(image)
        declares = found.attrs["Config"].get("Volumes") or {}
        port = compose_copy.container_port(config, name, self._port(name), BY_NAME[name].port)
        return compose_copy.Copy(image, tuple(declares), None if self._inside else port)

    def _port(self, name: str) -> int:
        """Where the platform's own server is reached."""
        where = address(BY_NAME[name], self._platform).rpartition(":")[2].partition("/")[0]
        return int(where) if where.isdigit() else BY_NAME[name].port

    def _places(self, services: Sequence[str]) -> dict[str, tuple[str, int]]:
        """Host and port of every server."""
        with engine("the throw-away servers could not be reached") as client:
            found = {name: engines.containers(client, self._own.name, name)[0] for name in services}
            if not self._inside:
                return {name: _published(one, self._mark.project) for name, one in found.items()}
            network = client.networks.get(f"{self._own.name}_default")
            for one in found.values():  # without the alias that compose has given it
                network.disconnect(one.id)
                network.connect(one.id)
            network.connect(_myself(client).id)
            return {name: (_address(one, network.name), self._port(name)) for name, one in found.items()}

    def _settings(self, places: dict[str, tuple[str, int]]) -> Settings:
        nobody = ("127.0.0.1", 9)  # what was not started must not be found by the platform's address
        at = {one.name: places.get(one.name, nobody) for one in _SERVERS}
        (host, port), qdrant, memgraph = at["postgres"], at["qdrant"], at["memgraph"]
        return self._platform.model_copy(
            update={
                "home": self._directory, "project_dir_setting": self._own.directory,
                "repository_setting": self._platform.repository, "compose_project": self._own.name,
                "qdrant_url": f"http://{qdrant[0]}:{qdrant[1]}", "memgraph_uri": f"bolt://{memgraph[0]}:{memgraph[1]}",
                "postgres_host": host, "postgres_port": port, "postgres_dsn": None,
            }
        )  # fmt: skip


def _image(client: Any, config: dict[str, Any], platform: str, name: str) -> str:
    """The image that the platform runs on now; where it does not run, the one it would be started from."""
    reference = str(config["services"][name].get("image") or "")
    running = engines.containers(client, platform, name)
    if not running:
        if reference:
            return reference
        raise ConfigurationError(
            f"{name} is built by the compose file and was never started here: there is no image of it",
            where=f"compose project {platform}", todo="start the platform once: archon start",
        )  # fmt: skip
    image = str(running[0].attrs["Image"])
    try:
        if reference and client.images.get(reference).id == image:
            return reference
    except ImageNotFound:
        return image
    digests = client.images.get(image).attrs.get("RepoDigests") or []
    return str(digests[0]) if digests else image


def _published(container: Container, project: str) -> tuple[str, int]:
    ports = [bound for bound in container.attrs["NetworkSettings"]["Ports"].values() if bound]
    if not ports:
        raise ServiceError(
            f"the engine has published no port of {container.name}: it runs no more",
            where=f"compose project {project}", todo=f"its last words: {_said(container)}",
        )  # fmt: skip
    return str(ports[0][0]["HostIp"]), int(ports[0][0]["HostPort"])


def _said(container: Container) -> str:
    return str(container.logs(tail=5).decode(errors="replace")).strip() or "none"


def _address(container: Container, network: str) -> str:
    container.reload()
    return str(container.attrs["NetworkSettings"]["Networks"][network]["IPAddress"])


def _myself(client: Any) -> Container:
    """The container this program runs in: the engine gives it the beginning of its id for a host name."""
    name = socket.gethostname()
    with suppress(NotFound):
        found = client.containers.get(name)
        if found.id.startswith(name):
            return found
    raise ConfigurationError(
        "ARCHON_SERVICE_HOST says that this program runs in a container, and the engine knows none of that name",
        where=f"host name {name}",
        todo="give its service no `hostname`; on a host let ARCHON_SERVICE_HOST be where ports are published",
    )
