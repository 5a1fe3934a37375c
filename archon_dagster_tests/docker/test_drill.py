"""The recovery drill on containers: the failures that nothing else can have."""

from __future__ import annotations

from pathlib import Path

import pytest

from archon_dagster.platform.settings import settings_of
from archon_dagster_tests.docker import servers
from archon_dagster_tests.docker_command import docker
from archon_dagster_tests.integration.test_drill import drill
from drills.faults import OF_CONTAINERS

pytestmark = [pytest.mark.docker, pytest.mark.sandbox, pytest.mark.long, pytest.mark.timeout(900)]


def test_a_removed_and_a_paused_container_are_recovered_from(tmp_path: Path) -> None:
    servers.require_same_python()
    only = [word for fault in OF_CONTAINERS for word in ("--only", fault.name)]
    done = drill(tmp_path / "home", "recovery", "--runtime", "compose", *only)
    *_, last = done.stdout.splitlines()
    assert last == "DRILL recovered=2/2 data=identical within_objective=2/2", done.stdout
    assert done.returncode == 0
    assert all(fault.title in done.stdout and fault.kind in done.stdout for fault in OF_CONTAINERS)
    label = f"label=com.docker.compose.project={settings_of(tmp_path / 'home').compose_project}"
    assert docker("ps", "-aq", "--filter", label) == ""
