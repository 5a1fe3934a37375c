"""Compose projects of small containers on whatever engine is there."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from archon_dagster.platform.runtime.compose import ComposeRuntime
from archon_dagster.platform.runtime.compose_project import ComposeProject
from archon_dagster_tests.docker_command import IMAGE, docker


@dataclass(frozen=True)
class Compose:
    """A compose project in a directory of its own, and the runtime over it."""

    directory: Path
    name: str

    @property
    def runtime(self) -> ComposeRuntime:
        """A new one each time: as another process would see the project."""
        return ComposeRuntime(ComposeProject(self.directory, self.name), self.directory / "locks")

    def write(self, services: dict[str, Any], **more: Any) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / "compose.yaml").write_text(json.dumps({"services": services, **more}))  # JSON is YAML

    def container(self, service: str) -> str:
        """The id of the service's only container."""
        label = f"label=com.docker.compose.project={self.name}"
        (found,) = docker(
            "ps", "-aq", "--no-trunc", "--filter", label, "--filter", f"label=com.docker.compose.service={service}"
        ).splitlines()
        return found

    def health(self) -> dict[str, str]:
        """What the engine's own checks say of each service that has one: starting, healthy or unhealthy."""
        running = docker("ps", "-q", "--filter", f"label=com.docker.compose.project={self.name}").split()
        found = {one["Config"]["Labels"]["com.docker.compose.service"]: one["State"].get("Health")
                 for one in json.loads(docker("inspect", *running))}  # fmt: skip
        return {service: health["Status"] for service, health in found.items() if health}

    def signal(self, service: str, name: str) -> None:
        """Send a signal to every process of a service; STOP reaches the first one from outside only."""
        container = self.container(service)
        docker("kill", "--signal", name, container)
        docker("exec", container, "sh", "-c", f"kill -{name} -1")

    @contextmanager
    def frozen(self, *services: str) -> Iterator[None]:
        """They answer nothing for the block."""
        with ExitStack() as undo:
            for service in services:
                undo.callback(self.signal, service, "CONT")
                self.signal(service, "STOP")
            yield

    def remove(self) -> None:
        command = ["--project-directory", str(self.directory), "--project-name", self.name, "--profile", "*"]
        docker("compose", *command, "down", "--volumes", "--remove-orphans", "--timeout", "1")


def program(text: str, **more: Any) -> dict[str, Any]:
    """A service that runs a Python program."""
    return {"image": IMAGE, "command": ["python3", "-u", "-c", text], **more}


def name_of(what: str) -> str:
    """A project name that nobody else on this engine has."""
    return f"archon-test-{what}-{secrets.token_hex(4)}"


@pytest.fixture
def projects(tmp_path: Path) -> Iterator[Any]:
    """Makes projects; each is removed afterwards, also if another one cannot be."""
    with ExitStack() as made:
        numbers = count()

        def make(services: dict[str, Any], **more: Any) -> Compose:
            project = Compose(tmp_path / f"project{next(numbers)}", name_of("small"))
            project.write(services, **more)
            made.callback(project.remove)
            return project

        yield make
