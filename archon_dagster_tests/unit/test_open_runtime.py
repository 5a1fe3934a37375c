"""Which runtime the settings ask for, and what is said where it is not to be had."""

from __future__ import annotations

from pathlib import Path

import pytest

from archon_dagster.errors import ConfigurationError
from archon_dagster.platform.probes import address
from archon_dagster.platform.runtime.compose_project import ComposeProject, environment, is_project
from archon_dagster.platform.runtime.open import open_runtime
from archon_dagster.platform.services import BY_NAME
from archon_dagster.platform.settings import Settings, load_settings


def settings(tmp_path: Path, **more: object) -> Settings:
    return load_settings(ARCHON_HOME=tmp_path, **more)


def a_docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program of that name on the path; nothing is asked of it."""
    program = tmp_path / "bin" / "docker"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))


@pytest.mark.parametrize("kind", ["processes", "elsewhere"])
def test_the_kind_that_is_set_is_opened(tmp_path: Path, kind: str) -> None:
    assert open_runtime(settings(tmp_path, ARCHON_RUNTIME=kind)).kind == kind


def test_without_a_compose_file_there_is_no_platform_and_the_ways_on_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"(?s)no platform here.*ARCHON_PROJECT_DIR.*sandbox up.*elsewhere"):
        open_runtime(settings(tmp_path))


@pytest.mark.parametrize("name", ["compose.yaml", "docker-compose.yml"])
def test_a_project_directory_is_opened_without_asking_the_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "platform").mkdir()
    (tmp_path / "platform" / name).write_text("services: {}\n")
    a_docker(tmp_path, monkeypatch)
    assert open_runtime(settings(tmp_path)).kind == "compose"


def test_a_compose_file_of_a_parent_directory_is_not_the_platforms(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text("services: {}\n")
    (tmp_path / "platform").mkdir()
    assert not is_project(tmp_path / "platform")
    with pytest.raises(ConfigurationError, match="no compose file"):
        ComposeProject(tmp_path / "platform", "archon").config()


def test_compose_files_may_be_named_in_the_env(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("COMPOSE_FILE=one.yaml:two.yaml\n")
    assert is_project(tmp_path)


def test_a_machine_without_docker_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "platform").mkdir()
    (tmp_path / "platform" / "compose.yaml").write_text("services: {}\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match="docker command line is not installed"):
        open_runtime(settings(tmp_path))


def test_compose_is_the_plugin_of_docker_and_not_the_old_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "compose.yaml").write_text("services: {}\n")
    a_docker(tmp_path, monkeypatch)
    (tmp_path / "bin" / "docker").write_text('#!/bin/sh\nprintf \'{"called": "%s"}\' "$*"\n')
    called = ComposeProject(tmp_path, "archon").config()["called"]
    assert called.startswith("compose ")
    assert called.endswith(f"--project-directory {tmp_path} --project-name archon config --format json")


def test_compose_gets_only_what_leads_to_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTGRES_PASSWORD", "of the control plane")
    monkeypatch.setenv("COMPOSE_PROJECT_NAME", "of the control plane")
    monkeypatch.setenv("DOCKER_HOST", "tcp://engine:2375")
    assert "PATH" in environment()
    assert environment()["DOCKER_HOST"] == "tcp://engine:2375"
    assert not {"POSTGRES_PASSWORD", "COMPOSE_PROJECT_NAME"} & set(environment())


def test_inside_the_platforms_network_services_are_reached_by_their_names(tmp_path: Path) -> None:
    bridge = BY_NAME["archon-bridge"]
    assert address(bridge, settings(tmp_path)) == "http://127.0.0.1:8054"
    assert address(bridge, settings(tmp_path, ARCHON_SERVICE_HOST="{service}")) == "http://archon-bridge:8054"
