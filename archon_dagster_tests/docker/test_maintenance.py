"""Security updates and old images on a real engine: two builds of an image, a good one and one that never is well."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from archon_dagster.context import OperationContext
from archon_dagster.errors import ServiceError
from archon_dagster.maintenance import images, logs
from archon_dagster.maintenance.step import MaintenanceContext
from archon_dagster.maintenance.updates import go_back, update
from archon_dagster.platform.runtime.protocol import Runtime
from archon_dagster_tests.docker.conftest import Compose, program
from archon_dagster_tests.docker.servers import _WRITER, free_port
from archon_dagster_tests.docker_command import IMAGE, docker
from archon_dagster_tests.engine_calls import CHANGING, recording
from archon_dagster_tests.unit.platform_double import Platform

pytestmark = pytest.mark.docker

SERVICE = "archon-agents"
GOOD, BAD = _WRITER, "raise SystemExit('injected: it does not start')"


class Built:
    """A service whose image is built here, the stores beside it being folders."""

    def __init__(self, project: Compose, home: Path, port: int, with_volume: dict[str, Any] | None = None):
        self.project, self.tag, self.service = project, f"{project.name}:latest", with_volume or {}
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

    def fetching(self, program: str, version: str) -> Callable[[Runtime], None]:
        """A fetch of an update that finds this image."""

        def fetch(_: Runtime) -> None:
            self.build(program, version)

        return fetch

    def running(self) -> str:
        return docker("inspect", "--format", "{{.Image}}", self.project.container(SERVICE))

    def shell(self, *words: str) -> subprocess.CompletedProcess[str]:
        """`archon` as a user of this platform types it."""
        settings = self.operation.settings
        environment = {
            **os.environ, "ARCHON_HOME": str(settings.home), "ARCHON_REPOSITORY": settings.repository,
            "ARCHON_PROJECT_DIR": str(self.project.directory), "ARCHON_RUNTIME": "compose",
            "COMPOSE_PROJECT_NAME": self.project.name, "AGENTS_SERVICE_PORT": str(settings.agents_port),
        }  # fmt: skip
        command = [sys.executable, "-m", "archon_dagster.cli", *words]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def built(projects: Callable[..., Compose], tmp_path: Path) -> Iterator[Built]:
    port = free_port()
    project = projects({})
    service: dict[str, Any] = {"image": f"{project.name}:latest", "ports": [f"127.0.0.1:{port}:8052"], "init": True}
    project.write({SERVICE: service})
    yield Built(project, tmp_path / "home", port, {**service, "volumes": ["kept:/kept"]})
    project.remove()
    left = docker("images", "-q", "--filter", f"label=com.docker.compose.project={project.name}").split()
    if left:
        docker("rmi", "--force", *dict.fromkeys(left))


def test_a_good_image_replaces_and_one_that_is_never_well_is_taken_back(built: Built) -> None:
    built.build(GOOD, "1")
    built.project.runtime.up(SERVICE)

    updated = update(built.operation, fetch=built.fetching(GOOD, "2"))
    updated.raise_for_failure()
    second = built.running()
    assert updated.changed[SERVICE][1] == second != updated.changed[SERVICE][0]

    back = update(built.operation, fetch=built.fetching(BAD, "3"))
    with pytest.raises(ServiceError, match="taken back: archon-agents is not ready"):
        back.raise_for_failure()
    assert built.running() == second
    assert docker("image", "inspect", "--format", "{{.Id}}", built.tag) == second

    done = images.prune(MaintenanceContext(built.operation))
    left = docker("images", "--no-trunc", "-q", "--filter", f"label=com.docker.compose.project={built.project.name}")
    assert set(left.split()) == {second}, done
    assert len(done.lines) == 2


def test_the_way_back_is_a_command_that_says_what_it_has_put_back(built: Built) -> None:
    built.build(GOOD, "1")
    built.project.runtime.up(SERVICE)
    first = built.running()
    update(built.operation, fetch=built.fetching(GOOD, "2")).raise_for_failure()
    second = built.running()
    assert second != first
    unconfirmed = built.shell("security-updates", "--return")
    assert unconfirmed.returncode == 2
    assert "archon security-updates --return --confirm UPDATE" in unconfirmed.stderr
    assert built.running() == second
    for put_back in ([SERVICE], []):
        done = built.shell("security-updates", "--return", "--confirm", "UPDATE", "--json")
        assert (done.returncode, json.loads(done.stdout)) == (0, {"put_back": put_back}), done.stderr
        assert built.running() == first


def test_only_the_containers_whose_logs_have_no_end_are_named(projects: Callable[..., Compose], tmp_path: Path) -> None:
    """Docker rotates them where the compose file says so; nothing of ours touches the engine's files."""
    bounded = {"driver": "json-file", "options": {"max-size": "10m", "max-file": "5"}}
    project = projects(
        {"web": program(GOOD, logging=bounded), "worker": program(GOOD, logging={"driver": "json-file"})}
    )
    project.runtime.up()
    done = logs.rotate(MaintenanceContext(Built(project, tmp_path / "home", 0).operation))
    (line,) = done.lines
    assert "worker" in line and "logging.options.max-size" in line


def test_a_new_balancer_replaces_the_service_that_it_is_part_of_and_is_put_back_with_it(
    projects: Callable[..., Compose], tmp_path: Path
) -> None:
    port, project = free_port(), projects({})
    balancer = f"{project.name}-balancer"
    project.write({
        SERVICE: program(GOOD, ports=[f"127.0.0.1:{port}:8052"], init=True),
        "balancer": {"image": f"{balancer}:latest", "init": True, "labels": {"archon.balances": SERVICE}},
    })  # fmt: skip
    built = Built(project, tmp_path / "home", port)

    def fetch(_: Runtime) -> None:
        built.build(GOOD, "2", of=balancer)

    def running() -> str:
        return docker("inspect", "--format", "{{.Image}}", project.container("balancer"))

    try:
        first = built.build(GOOD, "1", of=balancer)
        project.runtime.up()
        before = project.container(SERVICE)
        updated = update(built.operation, fetch=fetch)
        updated.raise_for_failure()
        assert updated.changed == {"balancer": (first, running())}
        assert updated.unchanged == (SERVICE,)
        assert project.container(SERVICE) != before
        assert go_back(built.operation) == (SERVICE,)
        assert running() == first
    finally:
        project.remove()
        left = docker("images", "-q", "--filter", f"label=com.docker.compose.project={balancer}").split()
        docker("rmi", "--force", *dict.fromkeys(left), check=False)


OTHERS = {"POST images/create", "POST session", "POST grpc", "POST networks/NAME/connect",
          "POST networks/NAME/disconnect", *(call for call in CHANGING if "restore-drill" in call)}  # fmt: skip
"""Calls that need a registry, the other builder, or a restore drill."""


def test_the_calls_of_the_engine_are_those_that_its_proxy_lets_through(
    built: Built, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every verb of the runtime, an update, its way back, and the removal of its image, all through the proxy."""
    socket = re.fullmatch(r"unix://(.+)", os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock"))
    assert socket is not None, "the engine is reached by its socket in these tests"
    built.project.write({SERVICE: built.service}, volumes={"kept": {}})
    with recording(Path(socket[1])) as recorder, monkeypatch.context() as patch:
        patch.setenv("DOCKER_HOST", recorder.url)
        runtime = built.project.runtime
        built.build(GOOD, "1")
        runtime.up(SERVICE)
        for verb in (runtime.pause, runtime.unpause, runtime.stop, runtime.restart, runtime.recreate):
            verb(SERVICE)
        with runtime.exec(SERVICE, ["cat"]) as command:
            command.stdin.write(b"through")
            command.stdin.close()
            assert command.stdout.read() == b"through"
            assert command.wait(60.0) == 0
        assert runtime.logs(SERVICE) is not None
        assert [one.service for one in runtime.stats()] == [SERVICE]
        assert runtime.host().cpus > 0
        assert set(runtime.image_digests()) == {SERVICE}

        def fetch(_: Runtime) -> None:
            built.build(BAD, "2")

        assert update(built.operation, fetch=fetch).returned == (SERVICE,)
        images.prune(MaintenanceContext(built.operation))
        runtime.down()
    assert recorder.refused == []
    assert recorder.changing == set(CHANGING) - OTHERS


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


def test_of_images_that_carry_no_label_of_the_project_exactly_the_replaced_ones_go(built: Built) -> None:
    """As what is pulled: only the record of the updates knows that it was of this platform."""
    maker = f"{built.project.name}-maker"

    def fetch(version: str) -> Callable[[Runtime], None]:
        def fetched(_: Runtime) -> None:
            docker("tag", built.build(GOOD, version, of=maker), built.tag)
            docker("rmi", f"{maker}:latest")  # only the name: it has the other one now

        return fetched

    def there() -> set[str]:
        return set(docker("images", "--no-trunc", "-q").split())

    try:
        stranger = built.build(GOOD, "stranger", of=maker)
        fetch("1")(built.project.runtime)
        built.project.runtime.up(SERVICE)
        first = built.running()
        update(built.operation, fetch=fetch("2")).raise_for_failure()
        second = built.running()
        images.prune(MaintenanceContext(built.operation))
        assert {stranger, first, second} <= there()
        update(built.operation, fetch=fetch("3")).raise_for_failure()
        images.prune(MaintenanceContext(built.operation))
        assert there() & {stranger, first, second, built.running()} == {stranger, second, built.running()}
    finally:
        built.project.remove()
        left = docker("images", "-q", "--filter", f"label=com.docker.compose.project={maker}").split()
        docker("rmi", "--force", *dict.fromkeys(left), check=False)
