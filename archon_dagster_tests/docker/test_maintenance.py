"""Security updates and old images on a real engine: two builds of an image, a good one and one that never is well."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from archon_dagster.context import OperationContext
from archon_dagster.errors import ServiceError
from archon_dagster.maintenance import images
from archon_dagster.maintenance.step import MaintenanceContext
from archon_dagster.maintenance.updates import update
from archon_dagster.platform.runtime.protocol import Runtime
from archon_dagster_tests.docker.conftest import IMAGE, Compose, docker
from archon_dagster_tests.docker.servers import _WRITER, free_port
from archon_dagster_tests.unit.platform_double import Platform

pytestmark = pytest.mark.docker

SERVICE = "archon-agents"
GOOD, BAD = _WRITER, "raise SystemExit('injected: it does not start')"


class Built:
    """A service whose image is built here, the stores beside it being folders."""

    def __init__(self, project: Compose, home: Path, port: int):
        self.project, self.tag = project, f"{project.name}:latest"
        platform = Platform(home)
        settings = platform.settings.model_copy(
            update={"compose_project": project.name, "agents_port": port, "quiesce": "none"}
        )
        self.operation: OperationContext = dataclasses.replace(
            platform.context, settings=settings, runtime=project.runtime
        )

    def build(self, program: str, version: str, of: str = "") -> str:
        """Build, without any registry, for this project or another one; the id."""
        project = of or self.project.name
        folder = self.project.directory / "image"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "program.py").write_text(program)
        label = f"LABEL com.docker.compose.project={project} version={version}"
        command = 'CMD ["python3", "-u", "/program.py"]'
        (folder / "Dockerfile").write_text(f"FROM {IMAGE}\nCOPY program.py /\n{label}\n{command}\n")
        tag = f"{project}:latest"
        docker("build", "--quiet", "--tag", tag, str(folder))
        return docker("image", "inspect", "--format", "{{.Id}}", tag)

    def running(self) -> str:
        return docker("inspect", "--format", "{{.Image}}", self.project.container(SERVICE))


@pytest.fixture
def built(projects: Callable[..., Compose], tmp_path: Path) -> Iterator[Built]:
    port = free_port()
    project = projects({})
    service: dict[str, Any] = {"image": f"{project.name}:latest", "ports": [f"127.0.0.1:{port}:8052"], "init": True}
    project.write({SERVICE: service})
    yield Built(project, tmp_path / "home", port)
    project.remove()
    left = docker("images", "-q", "--filter", f"label=com.docker.compose.project={project.name}").split()
    if left:
        docker("rmi", "--force", *dict.fromkeys(left))


def test_a_good_image_replaces_and_one_that_is_never_well_is_taken_back(built: Built) -> None:
    built.build(GOOD, "1")
    built.project.runtime.up(SERVICE)

    def fetch(program: str, version: str) -> Callable[[Runtime], None]:
        def fetched(_: Runtime) -> None:
            built.build(program, version)

        return fetched

    updated = update(built.operation, fetch=fetch(GOOD, "2"))
    updated.raise_for_failure()
    second = built.running()
    assert updated.changed[SERVICE][1] == second != updated.changed[SERVICE][0]

    back = update(built.operation, fetch=fetch(BAD, "3"))
    with pytest.raises(ServiceError, match="taken back: archon-agents is not ready"):
        back.raise_for_failure()
    assert built.running() == second
    assert docker("image", "inspect", "--format", "{{.Id}}", built.tag) == second

    done = images.prune(MaintenanceContext(built.operation))
    left = docker("images", "--no-trunc", "-q", "--filter", f"label=com.docker.compose.project={built.project.name}")
    assert set(left.split()) == {second}, done
    assert len(done.lines) == 2


def test_an_unused_volume_survives_the_images_step(built: Built) -> None:
    """As that of a service that is stopped just now; the runbook's ``docker volume prune`` takes it away."""
    name = built.project.name
    labels = [[], ["--label", f"com.docker.compose.project={name}", "--label", "project=archon"]]
    volumes = [docker("volume", "create", *label, f"{name}_unused{number}") for number, label in enumerate(labels)]
    volumes.append(docker("volume", "create"))  # without a name, as images make them
    try:
        first = built.build(GOOD, "1")
        second = built.build(GOOD, "2")  # the first has no name any more
        images.prune(MaintenanceContext(built.operation))
        left = docker("images", "--no-trunc", "-q", "--filter", f"label=com.docker.compose.project={name}").split()
        assert (first in left, second in left) == (False, True)
        assert set(volumes) <= set(docker("volume", "ls", "-q").split())
    finally:
        docker("volume", "rm", *volumes, check=False)


def test_what_others_have_stopped_or_left_without_a_name_survives_the_images_step(built: Built) -> None:
    """The runbook's ``docker system prune`` takes it away, whoever it belongs to."""
    other = f"{built.project.name}-other"
    container = docker("create", "--label", f"com.docker.compose.project={other}", IMAGE, "true")
    network = docker("network", "create", "--label", f"com.docker.compose.project={other}", other)
    first, second = [built.build(GOOD, version, of=other) for version in ("1", "2")]
    try:
        built.build(GOOD, "1")
        built.build(GOOD, "2")
        images.prune(MaintenanceContext(built.operation))
        assert container in docker("ps", "-aq", "--no-trunc").split()
        assert network in docker("network", "ls", "-q", "--no-trunc").split()
        assert {first, second} <= set(docker("images", "--no-trunc", "-q").split())
    finally:
        docker("rm", "--force", container, check=False)
        docker("network", "rm", network, check=False)
        docker("rmi", "--force", first, second, check=False)
