"""Restore drills on Compose: throw-away containers of the platform's own images, and nothing else is touched."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from archon_dagster.backup.backup import BackupRequest, take_backup
from archon_dagster.context import OperationContext, Step, open_context
from archon_dagster.errors import Cancelled, ServiceError
from archon_dagster.platform.readiness import wait_until_ready
from archon_dagster.platform.runtime.compose_marks import OF, PROJECT
from archon_dagster.platform.settings import Settings, load_settings
from archon_dagster.repository.manifest import Manifest
from archon_dagster.repository.verification import CheckRecord
from archon_dagster.restore_drill import record
from archon_dagster.restore_drill.bench import alone, left
from archon_dagster.restore_drill.drill import DrillRequest, run_drill
from archon_dagster.sandbox.seed import seed
from archon_dagster.stores.base import STORES
from archon_dagster_tests.docker import servers
from archon_dagster_tests.docker.conftest import Compose, name_of, program
from archon_dagster_tests.docker.control_plane import CONTROL_IMAGE
from archon_dagster_tests.docker_command import docker

pytestmark = [pytest.mark.docker, pytest.mark.sandbox, pytest.mark.timeout(900)]

SERVICES = ("qdrant", "memgraph", "postgres", "archon-agents")
START = 240.0  # seconds, of a machine with other work
_SLEEPS = "import time\nwhile True: time.sleep(1)"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("control")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, home: Path) -> Iterator[Compose]:
    """A running platform with data in it."""
    servers.require_same_python()
    made = Compose(tmp_path_factory.mktemp("platform"), name_of("platform"))
    ports = {name: servers.free_port() for name in SERVICES}
    made.write(servers.services(ports), volumes=servers.VOLUMES)
    servers.write_settings(made, ports)
    with pytest.MonkeyPatch.context() as patch:
        settings = settings_of(patch, home, made)
        try:
            made.runtime.up()
            wait_until_ready(SERVICES, settings, made.runtime, START)
            seed(settings, made.runtime, limit=12, max_points=60)
            yield made
        finally:
            with alone(settings):
                pass  # what a test that failed has left
            made.remove()


@pytest.fixture(scope="module")
def backup(project: Compose, home: Path) -> Manifest:
    with pytest.MonkeyPatch.context() as patch:
        result = take_backup(open_context(settings_of(patch, home, project)), BackupRequest())
    assert result.good
    return result.manifest


@pytest.fixture
def context(
    project: Compose, home: Path, backup: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[OperationContext]:
    """And afterwards nothing is left of a drill, and all else is as it was: another project, a labelled volume too."""
    neighbour = Compose(tmp_path / "neighbour", name_of("neighbour"))
    volume = f"{neighbour.name}-labelled"
    neighbour.write({"one": program(_SLEEPS, volumes=["kept:/kept"], labels={OF: "another"})}, volumes={"kept": {}})
    docker("volume", "create", "--label", f"{OF}=another", "--label", f"{PROJECT}={volume}", volume)
    try:
        neighbour.runtime.up()
        before = everything(project.name, neighbour.name)
        assert len(before["volumes"]) == 5
        yield open_context(settings_of(monkeypatch, home, project))
        assert everything(project.name, neighbour.name) == before
        assert left(home) == []
    finally:
        neighbour.remove()
        docker("volume", "rm", volume)


def settings_of(patch: pytest.MonkeyPatch, home: Path, project: Compose) -> Settings:
    patch.setenv("ARCHON_HOME", str(home))
    patch.setenv("ARCHON_PROJECT_DIR", str(project.directory))
    return load_settings()


def everything(*names: str) -> dict[str, list[str]]:
    """Every container (with its state), volume and network of these projects, and of drills in them."""
    shown = {
        "containers": docker("ps", "-a", "--no-trunc", "--format", "{{.Names}} {{.ID}} {{.State}}"),
        "volumes": docker("volume", "ls", "--format", "{{.Name}}"),
        "networks": docker("network", "ls", "--no-trunc", "--format", "{{.Name}} {{.ID}}"),
    }
    return {kind: sorted(line for line in text.splitlines() if line.startswith(names)) for kind, text in shown.items()}


def containers_of_drills(project: Compose) -> list[dict[str, Any]]:
    found = docker("ps", "-aq", "--filter", f"label={OF}={project.name}").split()
    inspected: list[dict[str, Any]] = json.loads(docker("inspect", *found)) if found else []
    return inspected


def drills(context: OperationContext, backup: Manifest) -> list[CheckRecord]:
    return [check for check in context.repository.checks(backup.id) if check.name == record.CHECK]


def at_step(name: str, act: Callable[[], object]) -> Callable[[Any], None]:
    def heard(news: Any) -> None:
        if isinstance(news, Step) and news.name == name and news.seconds is None:
            act()

    return heard


def test_the_backup_is_restored_into_containers_of_its_own_and_is_identical(
    context: OperationContext, project: Compose, backup: Manifest
) -> None:
    before, seen = context.fingerprints(), list[dict[str, Any]]()
    other = replace(context, report=at_step("compare graph", lambda: seen.extend(containers_of_drills(project))))
    result = run_drill(other, DrillRequest())
    assert [(one.store, one.state) for one in result.stores] == [(name, "identical") for name in STORES]
    (check,) = drills(context, backup)
    assert (check.passed, check.seconds) == (True, result.rto)
    assert context.fingerprints() == before

    originals = {name: json.loads(docker("inspect", project.container(name)))[0] for name in SERVICES[:3]}
    assert {one["Config"]["Labels"]["com.docker.compose.service"] for one in seen} == set(originals)
    for one in seen:
        original = originals[one["Config"]["Labels"]["com.docker.compose.service"]]
        assert one["Image"] == original["Image"]
        assert one["Config"]["Labels"][PROJECT] == f"{project.name}-restore-drill-{result.id}"
        assert one["HostConfig"]["Memory"] == 4 << 30
        assert one["HostConfig"]["OomScoreAdj"] == 500
        assert one["HostConfig"]["RestartPolicy"]["Name"] in ("no", "")
        assert {bound[0]["HostIp"] for bound in one["NetworkSettings"]["Ports"].values() if bound} == {"127.0.0.1"}
        shared = {mount.get("Name") for mount in original["Mounts"] if mount["Type"] == "volume"}
        assert shared.isdisjoint(mount.get("Name") for mount in one["Mounts"])
        assert not any(mount["RW"] for mount in one["Mounts"] if mount["Type"] == "bind")
    volumes = set(docker("volume", "ls", "-q").splitlines())
    assert not [mount["Name"] for one in seen for mount in one["Mounts"] if mount.get("Name") in volumes]


@pytest.mark.long
@pytest.mark.parametrize("step", ["read the artifacts", "restore graph"])
def test_a_cancelled_drill_removes_its_containers_and_records_nothing(
    context: OperationContext, backup: Manifest, step: str
) -> None:
    before = len(drills(context, backup))
    with pytest.raises(Cancelled):
        run_drill(replace(context, report=at_step(step, context.cancel.set)), DrillRequest())
    context.cancel.clear()
    assert len(drills(context, backup)) == before


@pytest.mark.long
def test_a_difference_fails_the_backup(context: OperationContext, project: Compose, backup: Manifest) -> None:
    def write() -> None:
        (there,) = containers_of_drills(project)
        docker("exec", there["Id"], "psql", "-U", "postgres", "-d", "archon", "-c", "DELETE FROM archon_tasks")

    other = replace(context, report=at_step("compare relational", write))
    result = run_drill(other, DrillRequest(only=("relational",)))
    assert not result.passed
    assert "archon_tasks" in result.wrong
    assert not drills(context, backup)[-1].passed
    assert run_drill(context, DrillRequest(backup.id, ("relational",))).recorded


@pytest.mark.long
def test_an_image_that_is_not_there_says_nothing_against_the_backup(
    context: OperationContext, project: Compose, backup: Manifest
) -> None:
    before, written = len(drills(context, backup)), (project.directory / "compose.yaml").read_text()
    changed = json.loads(written)
    changed["services"]["qdrant"]["image"] = "127.0.0.1:9/none:1"
    changed["name"] = "never-started"
    (project.directory / "compose.yaml").write_text(json.dumps(changed))
    elsewhere = context.settings.model_copy(
        update={"compose_project": "never-started", "repository_setting": context.settings.repository}
    )
    try:
        with pytest.raises(ServiceError, match="pull"):
            run_drill(replace(context, settings=elsewhere), DrillRequest(only=("vectors",)))
    finally:
        (project.directory / "compose.yaml").write_text(written)
    assert len(drills(context, backup)) == before


@pytest.mark.long
def test_what_a_killed_drill_has_left_is_found_by_its_labels_and_removed(
    context: OperationContext, project: Compose
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "archon_dagster.cli", "drill", "open", "--only", "relational", "--only", "vectors"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    with process:
        assert process.stdout is not None
        try:
            assert any("Ctrl-C" in line for line in process.stdout)
        finally:
            process.kill()
    assert {one["State"]["Status"] for one in containers_of_drills(project)} == {"running"}
    (directory,) = left(context.settings.home)
    with alone(context.settings) as (_, removed):
        assert removed == (directory.name,)
    assert containers_of_drills(project) == []


@pytest.mark.long
def test_a_killed_drill_whose_directory_is_gone_is_found_all_the_same(
    context: OperationContext, project: Compose
) -> None:
    with alone(context.settings) as (owner, _):
        pass
    name = f"{project.name}-restore-drill-0123abcd"
    labels = [f"--label={OF}={project.name}", f"--label={PROJECT}={name}", f"--label=archon.throw-away.owner={owner}"]
    docker("volume", "create", *labels, f"{name}_qdrant-0")
    docker("network", "create", *labels, f"{name}_default")
    with alone(context.settings) as (_, removed):
        assert removed == (name,)


@pytest.mark.long
def test_from_a_container_the_servers_are_reached_on_a_network_of_their_own(
    context: OperationContext, project: Compose, home: Path, backup: Manifest
) -> None:
    socket = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://")
    variables = {
        "ARCHON_HOME": home, "ARCHON_PROJECT_DIR": project.directory, "ARCHON_SERVICE_HOST": "{service}",
        "QDRANT_URL": "http://qdrant:6333", "MEMGRAPH_URI": "bolt://memgraph:7687", "POSTGRES_HOST": "postgres",
        "POSTGRES_PORT": 5432, "PYTHONPATH": servers.CHECKOUT, "PYTHONDONTWRITEBYTECODE": 1,
    }  # fmt: skip
    mounts = [
        f"{socket}:/var/run/docker.sock", f"{servers.CHECKOUT}:{servers.CHECKOUT}:ro",
        f"{home}:{home}", f"{project.directory}:{project.directory}",
    ]  # fmt: skip
    said = docker(
        "run", "--rm", "--user", "0", "--network", f"{project.name}_default",
        *(word for mount in mounts for word in ("--volume", mount)),
        *(word for name, value in variables.items() for word in ("--env", f"{name}={value}")),
        "--entrypoint", "/opt/archon/bin/archon", CONTROL_IMAGE,
        "drill", "run", "--only", "vectors", "--only", "relational", "--direct", "--json", limit=600,
    )  # fmt: skip
    told = json.loads(said)
    assert [(one["store"], one["state"]) for one in told["stores"]] == [
        ("vectors", "identical"), ("relational", "identical"),
    ]  # fmt: skip
    assert any("cannot be seen from here" in note for note in told["notes"])
    assert drills(context, backup)[-1].passed
