"""A whole small platform in containers: backup, restore and start as on the sandbox, and nothing else is touched."""

from __future__ import annotations

import os
import re
import subprocess
import threading
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import pytest
import yaml

from archon_dagster.backup.backup import BackupRequest, take_backup
from archon_dagster.context import OperationContext, open_context
from archon_dagster.platform.readiness import wait_until_ready
from archon_dagster.platform.settings import load_settings
from archon_dagster.restore.restore import RestoreRequest, restore_backup
from archon_dagster.sandbox.seed import seed
from archon_dagster.startup.start import start_services
from archon_dagster_tests.docker import servers
from archon_dagster_tests.docker.conftest import Compose, name_of
from archon_dagster_tests.docker_command import docker
from archon_dagster_tests.eventually import eventually
from archon_dagster_tests.recovering import Watched, verbs

pytestmark = [pytest.mark.docker, pytest.mark.sandbox, pytest.mark.timeout(600)]

SMALL = {"limit": 12, "max_points": 60}
STORES = ("qdrant", "memgraph", "postgres")
SERVICES = (*STORES, "archon-agents")
FAST = {"interval": "2s", "timeout": "2s", "retries": 2}


def health_check(service: str) -> dict[str, Any]:
    """That of the platform's compose file."""
    written = yaml.safe_load((servers.CHECKOUT / "docker" / "platform" / "compose.yaml").read_text())
    found: dict[str, Any] = written["services"][service]["healthcheck"]
    return found


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compose]:
    """A running platform, for the whole module."""
    servers.require_same_python()
    made = Compose(tmp_path_factory.mktemp("platform"), name_of("platform"))
    ports = {name: servers.free_port() for name in SERVICES}
    services = servers.services(ports)
    for name in STORES:
        services[name] |= {"healthcheck": {**health_check(name), **FAST}, "init": True}
    made.write(services, volumes=servers.VOLUMES)
    servers.write_settings(made, ports)
    home = tmp_path_factory.mktemp("control")
    with patch.dict("os.environ", {"ARCHON_HOME": str(home), "ARCHON_PROJECT_DIR": str(made.directory)}):
        try:
            made.runtime.up()
            settings = load_settings()
            wait_until_ready(SERVICES, settings, made.runtime)
            seed(settings, made.runtime, **SMALL)  # type: ignore[arg-type]
            yield made
        finally:
            made.remove()


@pytest.fixture
def context(
    project: Compose, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> OperationContext:
    monkeypatch.setenv("ARCHON_HOME", str(tmp_path_factory.mktemp("control")))
    monkeypatch.setenv("ARCHON_PROJECT_DIR", str(project.directory))
    monkeypatch.setenv("ARCHON_RECOVERY", "restart")
    made = open_context(load_settings())
    start_all(made)
    return made


def start_all(context: OperationContext) -> None:
    started = start_services((), context.settings, context.runtime, threading.Event())
    assert [one.service for one in started.services if not one.ready] == []


def test_what_was_destroyed_is_restored_as_it_was_and_the_writer_was_held_still(context: OperationContext) -> None:
    before = context.fingerprints()
    backup = take_backup(context, BackupRequest())
    assert backup.manifest.window.paused == ("archon-agents",)
    with context.runtime.exec("postgres", ["psql", "-qX", "-c", "DROP SCHEMA public CASCADE; CREATE SCHEMA public"],
                              env={"PGUSER": "postgres"}) as command:  # fmt: skip
        command.stdin.close()
        assert command.wait(60.0) == 0
    assert context.fingerprints() != before
    restore_backup(context, RestoreRequest(backup.manifest.id, "RESTORE"))
    assert context.fingerprints() == before
    assert {one.state for one in context.runtime.status()} == {"running"}


@pytest.mark.parametrize("service", STORES)
def test_the_healthcheck_of_the_platforms_compose_file_tells_a_server_from_none(
    context: OperationContext, project: Compose, service: str
) -> None:
    check = [part.replace("$$", "$") for part in health_check(service)["test"][1:]]
    check = [re.sub(r"\$\{\w+:-(\w+)\}", r"\1", part) for part in check]

    def answer_in(container: str) -> int:
        path = f"PATH={servers.postgres.programs()}:/usr/bin:/bin"
        command = ["docker", "exec", "--env", path, project.container(container), *check]
        return subprocess.run(command, check=False, capture_output=True, timeout=60).returncode

    assert answer_in(service) == 0
    others = {"qdrant": "memgraph", "memgraph": "postgres", "postgres": "memgraph"}
    assert answer_in(others[service]) != 0


def test_the_engine_calls_a_store_healthy_and_a_frozen_one_not(context: OperationContext, project: Compose) -> None:
    eventually(lambda: project.health() == dict.fromkeys(STORES, "healthy"), 60.0)
    with project.frozen(*STORES):
        eventually(lambda: project.health() == dict.fromkeys(STORES, "unhealthy"), 60.0)
    eventually(lambda: project.health() == dict.fromkeys(STORES, "healthy"), 60.0)
    start_all(context)


def test_a_removed_store_keeps_its_data_and_is_started_again(context: OperationContext, project: Compose) -> None:
    before = context.fingerprints()
    docker("rm", "--force", project.container("qdrant"), project.container("postgres"))
    eventually(lambda: {one.state for one in context.runtime.status()} == {"absent", "running"})
    start_all(context)
    assert context.fingerprints() == before


def test_a_frozen_platform_goes_on_when_it_is_started(context: OperationContext) -> None:
    context.runtime.pause("archon-agents", "qdrant")
    start_all(context)
    assert {one.state for one in context.runtime.status()} == {"running"}


def test_a_stopped_platform_starts_in_order_with_its_data(context: OperationContext) -> None:
    before = context.fingerprints()
    context.runtime.down()
    assert {one.state for one in context.runtime.status()} == {"absent"}
    start_all(context)
    assert context.fingerprints() == before


@pytest.mark.long
def test_a_service_whose_network_is_gone_is_made_anew(context: OperationContext, project: Compose) -> None:
    """It runs, healthy for itself, and nobody reaches it: a restart of the same container does not help."""
    watched = Watched(context.settings, context.runtime)
    watched.look()
    before, container = context.fingerprints(), project.container("qdrant")
    network = f"{project.name}_default"
    (incident, *_) = watched.recovers(lambda: docker("network", "disconnect", "--force", network, container))
    assert (incident.state, incident.kind) == ("recovered", "single_service"), incident.events
    assert verbs(incident) == ["evidence", "restart", "recreate"]
    assert project.container("qdrant") != container
    assert context.fingerprints() == before


@pytest.mark.long
def test_a_removed_network_is_made_again_with_who_was_on_it(context: OperationContext, project: Compose) -> None:
    watched = Watched(context.settings, context.runtime)
    watched.look()
    before, network = context.fingerprints(), f"{project.name}_default"

    def remove() -> None:
        for service in SERVICES:
            docker("network", "disconnect", "--force", network, project.container(service))
        docker("network", "rm", network)

    incidents = watched.recovers(remove)
    assert {one.state for one in incidents} == {"recovered"}, [one.events for one in incidents]
    assert docker("network", "ls", "-q", "--filter", f"name=^{network}$")
    assert set(watched.states().values()) == {"running"}
    assert context.fingerprints() == before


def test_a_restart_of_the_engine_is_recovered_from(context: OperationContext) -> None:
    """Last of all, for it ends every container. Nothing restarts them behind the recovery's back: it starts them."""
    restart = os.environ.get("ARCHON_TEST_ENGINE_RESTART")
    if not restart:
        pytest.skip("this engine is not ours to restart: ARCHON_TEST_ENGINE_RESTART names no command")
    watched = Watched(context.settings, context.runtime)
    watched.look()
    before = context.fingerprints()
    subprocess.run(restart, shell=True, check=True, timeout=180, capture_output=True)
    assert set(watched.states().values()) == {"exited"}
    (incident, *_) = watched.recovers(lambda: None)
    assert (incident.state, incident.kind) == ("recovered", "complete_failure"), incident.events
    assert verbs(incident) == ["evidence", "start_all"]
    assert set(watched.states().values()) == {"running"}
    assert context.fingerprints() == before
