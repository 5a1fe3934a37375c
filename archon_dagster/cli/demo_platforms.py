"""What the demo starts and destroys: the embedded platform, or the stores of the compose file on real images."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from archon_dagster.errors import ConfigurationError
from archon_dagster.stores.base import StoreName

OnEvent = Callable[[str], None]

SERVICES: dict[StoreName, str] = {"vectors": "qdrant", "graph": "memgraph", "relational": "postgres"}
_PORTS = {"qdrant": "QDRANT_PORT", "memgraph": "MEMGRAPH_PORT", "postgres": "POSTGRES_PORT"}
_COMPOSE_FILES = Path(__file__).parents[2] / "docker" / "platform"
_DOWN_LIMIT = 120.0  # seconds


class DemoPlatform(Protocol):
    """A platform that nobody else uses."""

    def up(self, on_event: OnEvent) -> None:
        """Start it, and wait until it is ready."""
        ...

    def wipe(self, store: StoreName) -> None:
        """Destroy what a store holds; its server comes up empty."""
        ...

    def down(self) -> None:
        """Stop it; fine where it never was up."""
        ...


@dataclass(frozen=True)
class Embedded:
    """The sandbox."""

    home: Path

    def up(self, on_event: OnEvent) -> None:
        """See :class:`DemoPlatform`."""
        from archon_dagster.sandbox import lifecycle

        lifecycle.up(self.home, owner_pid=os.getpid(), on_event=on_event)

    def wipe(self, store: StoreName) -> None:
        """See :class:`DemoPlatform`."""
        from archon_dagster.sandbox import lifecycle

        lifecycle.wipe(self.home, store)

    def down(self) -> None:
        """See :class:`DemoPlatform`."""
        from archon_dagster.sandbox import lifecycle

        lifecycle.down(self.home)


@dataclass(frozen=True)
class OnCompose:
    """The stores of ``docker/platform/compose.yaml``, as a project of their own; it and its volumes go at the end.

    The platform's own services are left out: their images are built elsewhere.
    """

    home: Path

    @property
    def directory(self) -> Path:
        return self.home / "platform"

    @property
    def project(self) -> str:
        """The name of the compose project, which no other home has: its volumes are removed."""
        return f"archon-demo-{hashlib.sha256(str(self.home.resolve()).encode()).hexdigest()[:8]}"

    def up(self, on_event: OnEvent) -> None:
        """See :class:`DemoPlatform`; what is missing is pulled."""
        from archon_dagster.platform.readiness import wait_until_ready
        from archon_dagster.platform.runtime.open import open_runtime
        from archon_dagster.platform.settings import load_settings

        self.write_project()
        runtime = open_runtime(load_settings())
        on_event(f"compose project {self.project}: {', '.join(runtime.services())}")
        runtime.up()
        wait_until_ready(runtime.services(), load_settings(), runtime)

    def write_project(self) -> None:
        """The compose file with the stores alone, and the settings that lead to them."""
        from archon_dagster.platform.runtime.compose_project import ComposeProject

        if not (_COMPOSE_FILES / "compose.yaml").is_file():
            raise ConfigurationError(
                "the platform's compose file is not here", where=str(_COMPOSE_FILES), todo="run this from a checkout"
            )
        self.directory.mkdir(parents=True)
        shutil.copy(_COMPOSE_FILES / "compose.yaml", self.directory)
        self.write_settings(_images())
        whole = ComposeProject(self.directory, self.project).config()
        services = {name: whole["services"][name] for name in SERVICES.values()}
        self.write_services(services, {name: whole["volumes"][name] for name in _volumes(services)})

    def write_services(self, services: dict[str, Any], volumes: dict[str, Any]) -> None:
        """Replace the compose file by one with just these, written as compose shows them: a dollar is doubled."""
        text = json.dumps({"services": services, "volumes": volumes}, indent=1)  # JSON is YAML
        (self.directory / "compose.yaml").write_text(text)

    def write_settings(self, more: dict[str, str]) -> None:
        """The ``.env``: free ports on loopback, and a password of its own."""
        from archon_dagster.sandbox.ports import any_free

        ports: dict[str, int] = {}
        for service in SERVICES.values():
            ports[service] = any_free(ports.values())
        values = {
            "COMPOSE_PROJECT_NAME": self.project,
            "ARCHON_RUNTIME": "compose",
            "ARCHON_ENVIRONMENT": "development",
            "QDRANT_URL": f"http://127.0.0.1:{ports['qdrant']}",
            "MEMGRAPH_URI": f"bolt://127.0.0.1:{ports['memgraph']}",
            "POSTGRES_PASSWORD": secrets.token_urlsafe(18),
            **{variable: str(ports[service]) for service, variable in _PORTS.items()},
            **more,
        }
        file = self.directory / ".env"
        file.touch(mode=0o600)
        file.write_text("".join(f"{name}={value}\n" for name, value in values.items()))

    def wipe(self, store: StoreName) -> None:
        """See :class:`DemoPlatform`; the volumes of the store's server are removed, which are the demo's own."""
        from archon_dagster.platform.readiness import wait_until_ready
        from archon_dagster.platform.runtime import compose_engine as engines
        from archon_dagster.platform.runtime.open import open_runtime
        from archon_dagster.platform.settings import load_settings

        if store not in SERVICES:
            shutil.rmtree(self.directory / "config", ignore_errors=True)
            return
        service, runtime = SERVICES[store], open_runtime(load_settings())
        runtime.stop(service)
        with engines.engine(f"{store} is destroyed") as client:
            for container in engines.containers(client, self.project, service):
                mounted = [mount["Name"] for mount in container.attrs["Mounts"] if mount["Type"] == "volume"]
                engines.remove(container)
                for name in mounted:
                    client.volumes.get(name).remove()
        runtime.up(service)
        wait_until_ready([service], load_settings(), runtime)

    def down(self) -> None:
        """See :class:`DemoPlatform`."""
        from archon_dagster.platform.runtime.compose_project import ComposeProject, is_project

        if is_project(self.directory):
            ComposeProject(self.directory, self.project).run(
                "down", "--volumes", "--remove-orphans", "--timeout", "10", limit=_DOWN_LIMIT
            )


def _images() -> dict[str, str]:
    """Other images than the pinned ones, where the caller names them."""
    names = ("QDRANT_IMAGE", "MEMGRAPH_IMAGE", "POSTGRES_IMAGE")
    return {name: value for name in names if (value := os.environ.get(name))}


def _volumes(services: dict[str, Any]) -> list[str]:
    mounts = [mount for service in services.values() for mount in service.get("volumes", [])]
    return sorted({mount["source"] for mount in mounts if mount["type"] == "volume"})
