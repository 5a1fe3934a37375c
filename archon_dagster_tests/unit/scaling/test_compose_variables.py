"""The variables of a compose project's ``.env``: set where they are read, every other byte left as it is."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from dotenv import dotenv_values

from archon_dagster.errors import ConfigurationError
from archon_dagster.platform.limits import Resources
from archon_dagster.platform.runtime import compose_variables
from archon_dagster.platform.runtime.compose_project import ComposeProject, client_installed

KEPT = """\
# the platform
A=1
export B='two words'

LONG="first
SEARCH_REPLICAS=9
last"
"""
LIMITS = Resources(1.5, 3 * 2**30, 0.25, 512 * 2**20)


@pytest.fixture
def env(tmp_path: Path) -> Path:
    return tmp_path / ".env"


def test_what_is_there_stays_and_what_is_new_comes_last(env: Path) -> None:
    env.write_text(KEPT)
    compose_variables.write(env, {"SEARCH_REPLICAS": "3"})
    assert env.read_text() == f"{KEPT}SEARCH_REPLICAS=3\n"
    assert env.stat().st_mode & 0o777 == 0o600


def test_a_variable_is_replaced_where_it_stands_and_taken_away_again(env: Path) -> None:
    env.write_text(f"# how often\n\nexport SEARCH_REPLICAS = 2  # two\n{KEPT}")
    compose_variables.write(env, {"SEARCH_REPLICAS": "3"})
    assert env.read_text() == f"# how often\n\nSEARCH_REPLICAS=3\n{KEPT}"
    compose_variables.write(env, {"SEARCH_REPLICAS": None})
    assert env.read_text() == f"# how often\n\n{KEPT}"


def test_a_last_line_without_an_end_gets_one(env: Path) -> None:
    env.write_text("A=1")
    compose_variables.write(env, {"X_REPLICAS": "2"})
    assert dotenv_values(env) == {"A": "1", "X_REPLICAS": "2"}


def test_there_need_not_be_a_file(env: Path) -> None:
    compose_variables.write(env, {"SEARCH_REPLICAS": "2"})
    assert env.read_text() == "SEARCH_REPLICAS=2\n"


def test_limits_are_read_back_as_they_were_written(env: Path) -> None:
    project = ComposeProject(env.parent, "archon")
    assert compose_variables.limits_of(project, "archon-search") is None
    compose_variables.write(env, compose_variables.as_variables("archon-search", LIMITS))
    assert compose_variables.limits_of(project, "archon-search") == LIMITS
    assert compose_variables.limits_of(project, "qdrant") is None
    assert dotenv_values(env) == {
        "SEARCH_CPUS": "1.5", "SEARCH_MEMORY": "3G", "SEARCH_CPUS_RESERVED": "0.25", "SEARCH_MEMORY_RESERVED": "512M",
    }  # fmt: skip
    compose_variables.write(env, compose_variables.as_variables("archon-search", None))
    assert env.read_text() == ""


@pytest.mark.parametrize("cpus", ["", "''", '""'])
def test_an_empty_value_says_nothing(env: Path, cpus: str) -> None:
    env.write_text(f"SEARCH_CPUS={cpus}\nSEARCH_MEMORY=2g\n")
    assert compose_variables.limits_of(ComposeProject(env.parent, "archon"), "archon-search") is None


def test_a_reference_is_what_it_refers_to(env: Path) -> None:
    env.write_text("SIZE=3\nSEARCH_CPUS=${CORES:-1.5}\nSEARCH_MEMORY=${SIZE}g\nSEARCH_CPUS_RESERVED=${NONE}\n")
    found = compose_variables.limits_of(ComposeProject(env.parent, "archon"), "archon-search")
    assert found == Resources(1.5, 3 * 2**30, 0.01, 6 * 2**20)


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("SEARCH_CPUS=many\nSEARCH_MEMORY=2g", "SEARCH_CPUS is 'many', which is no number of CPUs"),
        ("SEARCH_CPUS=1\nSEARCH_MEMORY=lots", "SEARCH_MEMORY is 'lots', which is no size of memory"),
        ("SEARCH_CPUS=nan\nSEARCH_MEMORY=2g", "within a limit of nan: SEARCH_CPUS=nan, SEARCH_MEMORY=2g"),
        ("SEARCH_CPUS=1\nSEARCH_MEMORY=1g\nSEARCH_CPUS_RESERVED=2", "CPUs cannot be reserved.*SEARCH_CPUS_RESERVED=2"),
    ],
)
def test_a_value_that_is_none_is_named_with_its_file(env: Path, lines: str, told: str) -> None:
    env.write_text(lines)
    with pytest.raises(ConfigurationError, match=rf"{told}[^\n]*\({env}\)"):
        compose_variables.limits_of(ComposeProject(env.parent, "archon"), "archon-search")


def test_a_file_that_is_no_text_is_left_alone(env: Path) -> None:
    env.write_bytes(b"A=\xff\n")
    with pytest.raises(ConfigurationError, match="nothing was touched"):
        compose_variables.write(env, {"SEARCH_REPLICAS": "2"})
    assert env.read_bytes() == b"A=\xff\n"


def test_a_link_is_not_replaced_by_a_file(env: Path) -> None:
    real = env.with_name("real.env")
    real.write_text("A=1\n")
    env.symlink_to(real)
    with pytest.raises(ConfigurationError, match="is a link"):
        compose_variables.write(env, {"SEARCH_REPLICAS": "2"})
    assert env.is_symlink()
    assert real.read_text() == "A=1\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file away")
def test_it_stays_the_file_of_whom_it_belongs_to(env: Path) -> None:
    env.write_text("A=1\n")
    os.chown(env, 1234, 4321)
    compose_variables.write(env, {"SEARCH_REPLICAS": "2"})
    status = env.stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (1234, 4321, 0o600)


CONFIGS = [
    ({"container_name": "search", "deploy": {"replicas": 7}}, "container_name search"),
    ({"ports": [{"target": 8055, "published": "8055"}], "deploy": {"replicas": 7}}, "publishes a port"),
    ({}, r"does not read SEARCH_REPLICAS.*\$\{SEARCH_REPLICAS:-1\}"),
    ({"deploy": {"replicas": 7}, "ports": [{"target": 8055}]}, ""),
    ({"scale": 7}, ""),
]


@pytest.mark.parametrize(("said", "why"), CONFIGS)
def test_why_a_service_cannot_run_more_than_once_is_known_before_it_is_tried(
    said: dict[str, object], why: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import re

    asked: list[dict[str, str]] = []

    def config(_: ComposeProject, **variables: str) -> dict[str, object]:
        asked.append(variables)
        return {"services": {"archon-search": said}}

    monkeypatch.setattr(ComposeProject, "config", config)
    found = compose_variables.fixed(ComposeProject(tmp_path, "archon"), "archon-search")
    assert re.search(why, found) if why else found == ""
    assert asked == [{"SEARCH_REPLICAS": "7"}]


@pytest.mark.parametrize(("config", "count"), [
    ({"services": {"s": {"deploy": {"replicas": 3}}}}, 3), ({"services": {"s": {"scale": 2}}}, 2),
    ({"services": {"s": {}}}, 1), ({"services": {}}, 1), ({"services": {"s": {"deploy": {"replicas": None}}}}, 1),
])  # fmt: skip
def test_how_often_it_runs_is_what_compose_says(config: dict[str, object], count: int) -> None:
    assert compose_variables.wanted(config, "s") == count


needs_compose = pytest.mark.skipif(not client_installed(), reason="there is no docker command line here")


def project_of(directory: Path, **search: object) -> ComposeProject:
    return project_of_services(directory, {"archon-search": {"image": "archon-search", **search}})


def project_of_services(directory: Path, services: dict[str, dict[str, object]]) -> ComposeProject:
    """A project that compose itself resolves; it needs no engine for that."""
    (directory / "compose.yaml").write_text(json.dumps({"services": services}))
    return ComposeProject(directory, "archon")


def reads(service: str, *parts: str) -> dict[str, object]:
    """Where compose reads what a service may use. :param parts: ``limits``, ``reservations``."""
    names = dict(zip(("limits", "reservations"), (LIMITED[:2], LIMITED[2:]), strict=True))
    own = service.removeprefix("archon-").upper()
    read = {part: {what: f"${{{own}_{name}:-{default}}}" for what, name, default in names[part]} for part in parts}
    return {"image": service, "deploy": {"resources": read}}


LIMITED = (
    ("cpus", "CPUS", "2"), ("memory", "MEMORY", "2g"),
    ("cpus", "CPUS_RESERVED", "0.1"), ("memory", "MEMORY_RESERVED", "128m"),
)  # fmt: skip


@needs_compose
def test_every_service_whose_limits_or_reservations_are_not_read_is_named_at_once(env: Path) -> None:
    names, both = ("qdrant", "archon-bridge", "archon-search"), ("limits", "reservations")
    wanted = dict.fromkeys(names, LIMITS)
    project = project_of_services(env.parent, {name: reads(name, *both) for name in names})
    compose_variables.require_read(project, wanted)
    services = {"qdrant": reads("qdrant", *both), "archon-bridge": {"image": "archon-bridge"},
                "archon-search": reads("archon-search", "limits")}  # fmt: skip
    project = project_of_services(env.parent, services)
    told = r"reservations of archon-bridge, archon-search; nothing was touched[\s\S]*\$\{BRIDGE_CPUS_RESERVED:-"
    with pytest.raises(ConfigurationError, match=told):
        compose_variables.require_read(project, wanted)
    assert not env.exists()


@needs_compose
@pytest.mark.parametrize(("running", "said", "count"), [(3, "", 1), (3, "2", 2), (1, "3", 3), (0, "", 1), (0, "2", 2)])
def test_what_is_replaced_runs_as_often_as_the_project_says(env: Path, running: int, said: str, count: int) -> None:
    project = project_of(env.parent, deploy={"replicas": "${SEARCH_REPLICAS:-1}"})
    env.write_text(f"SEARCH_REPLICAS={said}\n")
    assert compose_variables.count(project, "archon-search", running) == count


@needs_compose
def test_what_was_scaled_by_hand_runs_as_often_as_before_where_the_project_cannot_say_it(tmp_path: Path) -> None:
    project = project_of(tmp_path)
    assert compose_variables.count(project, "archon-search", 3) == 3
    assert compose_variables.count(project, "archon-search", 0) == 1
