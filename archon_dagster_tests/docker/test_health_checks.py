"""The health checks of the platform's compose file, as the engine makes them: of all its services but the stores.

Those of the stores are made in ``test_platform.py``, beside real servers.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from archon_dagster.platform.services import CATALOGUE
from archon_dagster_tests.docker import platform_file, servers
from archon_dagster_tests.docker.conftest import Compose, name_of
from archon_dagster_tests.docker_command import IMAGE
from archon_dagster_tests.eventually import eventually

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]

OURS = [service for service in CATALOGUE if service.name.startswith("archon-")]
STORES = {service.name for service in CATALOGUE if service.store}
NAMES = {*(service.name for service in OURS), "search-balancer"}
READ = {"archon-bridge", "archon-intelligence", "archon-search", "archon-agents"}  # a degraded one answers 200
FAST = {"interval": "1s", "timeout": "3s", "retries": 2}
WITHIN = 60.0  # seconds for what takes eight on an idle machine


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compose]:
    """All of them, with the interpreters that their images have."""
    directory = tmp_path_factory.mktemp("checks")
    made, mounts = Compose(directory, name_of("checks")), interpreters(directory)
    (directory / "broken").mkdir()
    small = {one.name: platform_file.small(one.port, directory / "broken", *mounts, **FAST) for one in OURS}
    images = {f"{one.name.removeprefix('archon-').upper()}_IMAGE": IMAGE for one in OURS}
    ports = {one.address_setting: servers.free_port() for one in OURS}
    services = {**small, "search-balancer": {"healthcheck": FAST}}
    platform_file.write(made, services, COMPOSE_PROFILES="agents,frontend", **images, **ports)
    try:
        made.runtime.up(*small)
        yield made
    finally:
        made.remove()


def interpreters(directory: Path) -> list[str]:
    """``python``, and the ``node`` of the browser tests with its library: a frontend's image has it, or wget."""
    python = directory / "python"
    python.write_text('#!/bin/sh\nexec python3 "$@"\n')
    python.chmod(0o755)
    node = servers.SITE / "playwright" / "driver" / "node"
    linked = subprocess.run(["ldd", node], capture_output=True, text=True, check=True, timeout=30).stdout
    libraries = re.findall(r"=> (\S+/libatomic\S+)", linked)
    return [f"{python}:/usr/local/bin/python:ro", f"{node}:/usr/local/bin/node:ro",
            *(f"{library}:{library}:ro" for library in libraries)]  # fmt: skip


def eventually_all(project: Compose, state: str, names: set[str] = NAMES) -> None:
    """These are in that state and the others are healthy; else a comparison that shows who is not."""
    wanted = dict.fromkeys(NAMES, "healthy") | dict.fromkeys(names, state)
    try:
        eventually(lambda: project.health() == wanted, WITHIN)
    except AssertionError:
        assert project.health() == wanted


def test_every_service_of_the_file_is_here_or_with_the_stores() -> None:
    written = yaml.safe_load((platform_file.FOLDER / "compose.yaml").read_text())["services"]
    assert set(written) == NAMES | STORES


def test_whoever_answers_is_healthy_and_whoever_is_frozen_is_not(project: Compose) -> None:
    eventually_all(project, "healthy")
    with project.frozen(*NAMES):
        eventually_all(project, "unhealthy")
    eventually_all(project, "healthy")


def test_a_degraded_service_is_not_healthy_though_it_answers_200(project: Compose) -> None:
    order = project.directory / "broken" / "degraded"
    eventually_all(project, "healthy")
    order.touch()
    try:
        eventually_all(project, "unhealthy", READ)
    finally:
        order.unlink()
    eventually_all(project, "healthy")
