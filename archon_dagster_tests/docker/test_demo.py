"""`archon demo --runtime compose`: the same demo on containers; the images are the sandbox's servers here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from archon_dagster.cli import demo_platforms
from archon_dagster.cli.demo_platforms import OnCompose
from archon_dagster.cli.main import app
from archon_dagster.sandbox import graph
from archon_dagster_tests.docker import servers
from archon_dagster_tests.docker_command import docker

pytestmark = [pytest.mark.docker, pytest.mark.sandbox, pytest.mark.long, pytest.mark.timeout(600)]


def test_the_project_is_the_stores_of_the_platforms_file_on_loopback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QDRANT_IMAGE", "example/qdrant:1")
    made = OnCompose(tmp_path)
    made.write_project()
    from archon_dagster.platform.runtime.compose_project import ComposeProject

    services = ComposeProject(made.directory, made.project).config()["services"]
    assert set(services) == {"qdrant", "memgraph", "postgres"}
    assert services["qdrant"]["image"] == "example/qdrant:1"
    assert {port["host_ip"] for one in services.values() for port in one["ports"]} == {"127.0.0.1"}
    assert oct((made.directory / ".env").stat().st_mode & 0o777) == "0o600"
    check = services["qdrant"]["healthcheck"]["test"]
    assert '"$$code"' in check[-1]  # compose shows a dollar doubled; the shell gets one


class WithSandboxServers(OnCompose):
    """Nothing can be pulled here: the same stores from the base image."""

    def write_project(self) -> None:
        self.directory.mkdir(parents=True)
        more = {"MEMGRAPH_USER": graph.USER, "MEMGRAPH_PASSWORD": servers.PASSWORD, "POSTGRES_DB": "archon"}
        self.write_settings(more)
        variables = dict(line.split("=", 1) for line in (self.directory / ".env").read_text().splitlines())
        ports = {name: int(variables[key]) for name, key in demo_platforms._PORTS.items()}
        made: dict[str, Any] = servers.services(ports)
        del made["archon-agents"]
        self.write_services(made, servers.VOLUMES)


def test_it_ends_identical_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    servers.require_same_python()
    monkeypatch.setenv("ARCHON_HOME", str(tmp_path))
    monkeypatch.setattr("archon_dagster.cli.demo.OnCompose", WithSandboxServers)
    done = CliRunner().invoke(app, ["demo", "--runtime", "compose"])
    assert done.exit_code == 0, done.output
    assert done.output.rstrip().endswith("DEMO restored=identical")
    label = f"label=com.docker.compose.project={OnCompose(tmp_path / 'demo').project}"
    assert docker("ps", "-aq", "--filter", label) == ""
    assert docker("volume", "ls", "-q", "--filter", label) == ""
    assert not (tmp_path / "demo").exists()
