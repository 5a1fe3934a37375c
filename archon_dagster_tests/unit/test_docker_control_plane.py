"""The control plane's compose file and Dagster configuration fit each other and the catalogue; no engine is needed."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from pathlib import Path
from string import Template
from typing import Any

import pytest
import yaml

from archon_dagster.platform.services import CATALOGUE
from archon_dagster.recovery.jobs import CLEAN_UP
from archon_dagster.restore.jobs import PUT_BACK_LIMIT

DOCKER = Path(__file__).parents[2] / "docker"
WHOLE: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text())
SERVICES: dict[str, Any] = WHOLE["services"]
ENVIRONMENT: dict[str, str] = WHOLE["x-image"]["environment"]
OF_OUR_IMAGE = ("init", "code", "webserver", "viewer", "daemon", "engine")


def template() -> str:
    return (DOCKER / "dagster.yaml").read_text()


def launcher() -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load(template())["run_launcher"]["config"]
    return config


def test_only_the_proxy_publishes_a_port_and_only_here() -> None:
    published = {name: one["ports"] for name, one in SERVICES.items() if "ports" in one}
    assert published == {"proxy": ["${ARCHON_LISTEN:-127.0.0.1:8443}:8443"]}
    assert WHOLE["networks"]["control"]["internal"]


def test_there_is_one_daemon_and_nothing_starts_before_the_storage_is_made() -> None:
    assert SERVICES["daemon"]["deploy"]["replicas"] == 1
    for name in ("code", "webserver", "viewer", "daemon"):
        assert SERVICES[name]["depends_on"] == {"init": {"condition": "service_completed_successfully"}}


@pytest.mark.parametrize("name", [*OF_OUR_IMAGE, "proxy", "storage"])
def test_a_program_that_is_reached_is_contained(name: str) -> None:
    one = SERVICES[name]
    assert one["read_only"]
    assert one["cap_drop"] == ["ALL"]
    assert one["security_opt"] == ["no-new-privileges:true"]
    assert one["logging"]["options"]["max-size"]
    assert name == "engine" or one["user"] == "${ARCHON_UID:-1000}:${ARCHON_GID:-1000}"


def test_nothing_runs_as_root_but_the_engines_proxy() -> None:
    """Also what somebody adds later."""
    assert [name for name, one in SERVICES.items() if one.get("user", "0").partition(":")[0] in ("0", "root")] == [
        "engine"
    ]
    assert [name for name, one in SERVICES.items() if not one.get("read_only")] == []
    assert [name for name, one in SERVICES.items() if one.get("cap_drop") != ["ALL"]] == []


def test_the_storage_writes_where_it_may() -> None:
    """A directory of its own in the volume, which is the image's; sockets and temporary files in memory."""
    storage = SERVICES["storage"]
    (volume,) = storage["volumes"]
    assert storage["environment"]["PGDATA"].startswith(volume.partition(":")[2] + "/")
    assert {one.partition(":")[0] for one in storage["tmpfs"]} == {"/tmp", "/var/run/postgresql"}


def test_the_engine_is_reached_through_its_proxy_only() -> None:
    assert [name for name, one in SERVICES.items() if "docker.sock" in str(one.get("volumes"))] == ["engine"]
    assert ENVIRONMENT["DOCKER_HOST"] == "tcp://engine:2375"


def test_every_variable_of_the_template_and_of_a_run_is_set() -> None:
    assert set(re.findall(r"\$\{(\w+)\}", template())) <= set(ENVIRONMENT)
    assert set(launcher()["env_vars"]) <= set(ENVIRONMENT)
    assert set(re.findall(r"\$\{(\w+)\}", template())) <= set(launcher()["env_vars"])


def test_no_password_is_a_variable() -> None:
    assert not [name for name in ENVIRONMENT if "PASSWORD" in name or "KEY" in name]
    assert not [name for name in launcher()["env_vars"] if "PASSWORD" in name]


def test_a_run_is_contained_as_the_services_are_and_goes_away() -> None:
    kwargs = launcher()["container_kwargs"]
    assert kwargs["auto_remove"]
    assert kwargs["read_only"]
    assert kwargs["cap_drop"] == ["ALL"]
    inside = [volume.split(":")[1] for volume in kwargs["volumes"]]
    assert inside == [
        "/var/lib/archon", "/backups", "${ARCHON_PROJECT_DIR}", "/run/secrets",
        "/platform/qdrant", "/platform/memgraph",
    ]  # fmt: skip


def test_who_is_terminated_has_the_time_to_put_everything_back() -> None:
    """The engine kills what has not ended by then, and a restore would be left half-way."""
    given = launcher()["container_kwargs"]["stop_timeout"]
    assert given >= max(PUT_BACK_LIMIT, CLEAN_UP)
    assert given == yaml.safe_load(template())["run_monitoring"]["cancel_timeout_seconds"]


def test_the_code_server_listens_to_the_control_network_alone() -> None:
    """It has no login; on the platform's network it only asks."""
    code = SERVICES["code"]
    (name,) = code["networks"]["control"]["aliases"]
    assert code["networks"]["platform"] == {}
    assert code["command"][:5] == ["dagster", "code-server", "start", "-h", name]
    (server,) = yaml.safe_load((DOCKER / "workspace.yaml").read_text())["load_from"]
    assert server["grpc_server"]["host"] == name


def test_ports_inside_the_platforms_network_are_the_catalogues() -> None:
    for service in CATALOGUE:
        if service.address_setting in ENVIRONMENT:
            assert re.search(rf"(\b|:){service.port}$", ENVIRONMENT[service.address_setting] or str(service.port))
    ours = {s.address_setting for s in CATALOGUE if not s.external and s.address_setting.endswith("_PORT")}
    assert ours <= set(ENVIRONMENT)


def test_the_rendered_configuration_is_dagsters() -> None:
    text = Template(template()).substitute(ENVIRONMENT)
    assert yaml.safe_load(text)["run_launcher"]["config"]["networks"] == [
        ENVIRONMENT["ARCHON_CONTROL_NETWORK"], ENVIRONMENT["ARCHON_PLATFORM_NETWORK"],
    ]  # fmt: skip


def test_public_images_are_pinned() -> None:
    images = [one["image"] for one in SERVICES.values()] + list(SERVICES["init"]["build"]["args"].values())
    for image in images:
        default = image.partition(":-")[2].rstrip("}")
        if default and "/" not in default and not default.startswith("archon-") and not default.isdigit():
            assert re.search(r":\d+\.\d+", default), default


def test_the_entrypoint_reads_secrets_and_becomes_the_program(tmp_path: Path) -> None:
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "SOME_PASSWORD").write_text("hush\n")
    (secrets / "users.cfg").write_text("not a variable\n")
    code = (DOCKER / "entrypoint.py").read_text()
    code = code.replace("/run/secrets", str(secrets)).replace("/etc/archon/dagster.yaml", str(DOCKER / "dagster.yaml"))
    show = "import os; print(os.getpid(), os.environ['SOME_PASSWORD'], 'users.cfg' in os.environ)"
    environment = os.environ | ENVIRONMENT | {"DAGSTER_HOME": str(tmp_path / "home")}
    with subprocess.Popen([sys.executable, "-c", code, sys.executable, "-c", show], env=environment,
                          stdout=subprocess.PIPE, text=True) as process:  # fmt: skip
        said, _ = process.communicate(timeout=30)
    assert said == f"{process.pid} hush False\n"


@pytest.mark.parametrize(
    ("qdrant", "memgraph", "mounted"),
    [("", "", []), ("archon_qdrant_data", "", ["archon_qdrant_data:/platform/qdrant"]),
     ("", "archon_memgraph_data", ["archon_memgraph_data:/platform/memgraph:ro"])],
)  # fmt: skip
def test_the_volumes_of_stores_are_mounted_where_they_are_named(
    qdrant: str, memgraph: str, mounted: list[str], tmp_path: Path
) -> None:
    code = (DOCKER / "entrypoint.py").read_text().replace("/etc/archon/dagster.yaml", str(DOCKER / "dagster.yaml"))
    named = {"ARCHON_QDRANT_VOLUME": qdrant, "ARCHON_MEMGRAPH_VOLUME": memgraph, "DAGSTER_HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code, "true"], env=os.environ | ENVIRONMENT | named, check=True, timeout=30)
    made = yaml.safe_load((tmp_path / "dagster.yaml").read_text())["run_launcher"]["config"]["container_kwargs"]
    assert [one for one in made["volumes"] if ":/platform/" in one] == mounted
    assert len(made["volumes"]) == 4 + len(mounted)


def test_where_a_stores_files_are_follows_from_its_volume() -> None:
    assert ENVIRONMENT["ARCHON_QDRANT_STORAGE"].endswith("${ARCHON_QDRANT_VOLUME:+/platform/qdrant}}")
    assert ENVIRONMENT["ARCHON_MEMGRAPH_DATA"].endswith("${ARCHON_MEMGRAPH_VOLUME:+/platform/memgraph}}")


def test_prepare_keeps_what_is_there_and_nobody_else_can_read_it(tmp_path: Path) -> None:
    project, docker = tmp_path / "platform", tmp_path / "docker"
    project.mkdir()
    docker.mkdir()
    (docker / "prepare").write_bytes((DOCKER / "prepare").read_bytes())
    if os.getuid() == 0:
        os.chown(project, 1000, 1000)
    command = ["sh", str(docker / "prepare"), str(project)]
    first = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    assert "operator / " in first.stdout
    made = {path: path.read_bytes() for path in docker.rglob("*") if path.is_file()}
    assert subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout == ""
    assert {path: path.read_bytes() for path in docker.rglob("*") if path.is_file()} == made
    for path in (docker / ".env", *(docker / "secrets").rglob("*")):
        assert (path.stat().st_uid, path.stat().st_gid) == (project.stat().st_uid, project.stat().st_gid)
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path
    password = re.search(r"operator / (\S+)", first.stdout)
    assert password is not None
    assert not any(password[1].encode() in text for text in made.values())


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a directory to somebody else")
@pytest.mark.parametrize(("user", "group"), [(0, 0), (0, 1000), (1000, 0)])
def test_a_control_plane_that_would_run_as_root_is_not_prepared(tmp_path: Path, user: int, group: int) -> None:
    project, docker = tmp_path / "platform", tmp_path / "docker"
    project.mkdir()
    os.chown(project, user, group)
    docker.mkdir()
    (docker / "prepare").write_bytes((DOCKER / "prepare").read_bytes())
    command = ["sh", str(docker / "prepare"), str(project)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "chown" in done.stderr
    assert [path.name for path in docker.iterdir()] == ["prepare"]
