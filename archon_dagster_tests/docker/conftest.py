"""Compose projects of small containers on whatever engine is there.

The image needs a shell and Python: ``ARCHON_TEST_IMAGE`` names one that the engine has (CI makes it, for no registry is
needed then); else a public one is pulled.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from archon_dagster.platform.runtime.compose import ComposeRuntime
from archon_dagster.platform.runtime.compose_project import ComposeProject

IMAGE = os.environ.get("ARCHON_TEST_IMAGE", "python:3.12-slim-bookworm")
LIMIT = 120.0  # seconds of any docker command in a test


def docker(*arguments: str, check: bool = True, limit: float = LIMIT, merged: bool = False) -> str:
    """What a docker command prints. :param merged: on both of its outputs."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False, timeout=limit)
    if check and done.returncode != 0:
        raise AssertionError(f"docker {' '.join(arguments)} failed: {done.stderr}")
    return (done.stdout + done.stderr if merged else done.stdout).strip()


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
    made: list[Compose] = []

    def make(services: dict[str, Any], **more: Any) -> Compose:
        project = Compose(tmp_path / f"project{len(made)}", name_of("small"))
        project.write(services, **more)
        made.append(project)
        return project

    yield make
    for project in made:
        project.remove()
