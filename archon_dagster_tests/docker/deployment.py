"""A platform and its control plane, made by typing sections 1 and 2 of ``docs/docker.md``, without a registry.

All that differs from the page is here: :func:`_instead`, what is typed in the place of what; :func:`_platform_settings`
and :func:`_control_settings`, what is written into the two ``.env`` files (names and ports that nobody else has, images
that are here); and the two ``stand-ins.yaml``, what those images have to be told.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import ssl
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from archon_dagster.platform.runtime import compose_variables
from archon_dagster.sandbox import graph
from archon_dagster_tests.bystanders import untouched
from archon_dagster_tests.docker import servers, stand_ins
from archon_dagster_tests.docker.conftest import Compose, name_of
from archon_dagster_tests.docker.control_plane import CONTROL_IMAGE, START, ControlPlane
from archon_dagster_tests.docker.page import Operator, commands
from archon_dagster_tests.docker_command import IMAGE, PROXY_IMAGE, docker
from archon_dagster_tests.eventually import eventually

USER = 1000  # the image's, who is the operator too
_FORGET = "!reset"  # how compose is told that the first file's word does not count
_NOT_HERE = ("archon-bridge", "archon-intelligence", "archon-search", "search-balancer", "archon-mcp")


def _instead(platform: Compose) -> dict[str, str]:
    return {
        "sudo ": "",
        "$(id -u):$(id -g)": f"{USER}:{USER}",
        "/opt/archon": str(platform.directory),
        "-f docker/compose.yaml": "-f docker/compose.yaml -f docker/stand-ins.yaml",
        "--build": "--no-build",  # from the same Dockerfile, before: .ci/docker
    }


@contextmanager
def running(directory: Path) -> Iterator[ControlPlane]:
    """Both run, with somebody else's things beside them that stay as they are; removed with their data afterwards."""
    clone = directory / "clone"
    platform = Compose(directory / "platform", name_of("operated"))
    control = Compose(clone / "docker", name_of("control"))
    ours = shutil.ignore_patterns("wheels", "secrets", ".env")
    shutil.copytree(servers.CHECKOUT / "docker", control.directory, ignore=ours)
    operator = Operator(clone, _instead(platform))
    with ExitStack() as undo:
        _start_platform(operator, platform, undo)
        undo.enter_context(untouched(directory / "neighbour", platform.name))
        plane = _start_control(operator, control, platform, directory, undo)
        yield plane


def _start_platform(operator: Operator, platform: Compose, undo: ExitStack) -> None:
    *copying, starting = commands("1. The platform")
    undo.callback(_remove_platform, platform)
    operator.types(*copying)
    _platform_settings(platform)
    for path in platform.directory.rglob("*"):
        os.lchown(path, USER, USER)  # as if that user had typed it
    operator.types(starting)
    platform.runtime.up()  # and the one service that has an image


def _platform_settings(platform: Compose) -> None:
    made = stand_ins.never_pulled({**servers.services({}), "archon-agents": stand_ins.agents_service(platform)})
    made["archon-agents"]["depends_on"] = _FORGET  # what it needs is not here
    made["qdrant"]["ulimits"] = _FORGET  # more files than an engine in a container may allow
    absent = {name: {"profiles": ["not-here"]} for name in _NOT_HERE}
    file = json.dumps({"services": {**made, **absent}, "volumes": {"programs": {}}})
    (platform.directory / "stand-ins.yaml").write_text(file.replace(f'"{_FORGET}"', f"{_FORGET} {{}}"))
    ports = ("QDRANT_PORT", "MEMGRAPH_PORT", "POSTGRES_PORT", "AGENTS_SERVICE_PORT")
    images = ("QDRANT_IMAGE", "MEMGRAPH_IMAGE", "POSTGRES_IMAGE")
    compose_variables.write(platform.directory / ".env", {
        **{name: str(servers.free_port()) for name in ports}, **dict.fromkeys(images, IMAGE),
        "COMPOSE_FILE": "compose.yaml:stand-ins.yaml", "COMPOSE_PROFILES": "agents",
        "COMPOSE_PROJECT_NAME": platform.name, "POSTGRES_PASSWORD": "only-here", "MEMGRAPH_USER": graph.USER,
        "MEMGRAPH_PASSWORD": servers.PASSWORD, "ARCHON_ENVIRONMENT": "development",
    })  # fmt: skip


def _remove_platform(platform: Compose) -> None:
    with ExitStack() as undo:
        undo.callback(_remove_images, platform)
        undo.callback(docker, "volume", "rm", "--force", f"{platform.name}_programs")
        undo.callback(platform.remove)


def _remove_images(platform: Compose) -> None:
    built = docker("images", "-q", "--filter", f"label=com.docker.compose.project={platform.name}").split()
    if built:
        docker("rmi", "--force", *dict.fromkeys(built))


def _start_control(
    operator: Operator, control: Compose, platform: Compose, directory: Path, undo: ExitStack
) -> ControlPlane:
    preparing, starting = commands("2. The control plane")
    storage = f"{control.name}-storage"
    stand_ins.build_storage(storage, directory / "storage", USER)
    undo.callback(docker, "rmi", storage)
    undo.callback(_remove_control, control)
    logins = dict(re.findall(r"(operator|viewer) / (\S+)", operator.types(preparing)))
    port = servers.free_port()
    _control_settings(control, platform, port)
    trust = ssl.create_default_context(cafile=str(control.directory / "secrets" / "tls.crt"))
    url = f"https://localhost:{port}"
    plane = ControlPlane(control, platform, operator, url, ("operator", logins["operator"]),
                         ("viewer", logins["viewer"]), trust)  # fmt: skip
    undo.push(lambda kind, *_: _show(control) if kind else None)
    operator.types(starting)
    eventually(plane.loaded, START)
    return plane


def _control_settings(control: Compose, platform: Compose, port: int) -> None:
    socket = re.fullmatch(r"unix://(.+)", os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock"))
    assert socket is not None, "the engine is reached by its socket in these tests"
    # what is asked every few seconds is asked often enough that a test need not wait for minutes
    often: dict[str, Any] = {"healthcheck": {"interval": "5s", "timeout": "3s", "retries": 2}}
    services = dict.fromkeys(("proxy", "webserver", "viewer", "metrics"), often)
    (control.directory / "stand-ins.yaml").write_text(
        json.dumps({"services": {**services, "storage": stand_ins.storage_override()}})
    )
    compose_variables.write(control.directory / ".env", {
        "COMPOSE_PROJECT_NAME": control.name,
        "ARCHON_CONTROL_PROJECT": control.name, "ARCHON_CONTROL_IMAGE": CONTROL_IMAGE, "HAPROXY_IMAGE": PROXY_IMAGE,
        "ARCHON_PLATFORM_PROJECT": platform.name, "ARCHON_PLATFORM_NETWORK": f"{platform.name}_default",
        "ARCHON_BACKUPS": f"{control.name}_backups", "ARCHON_LISTEN": f"127.0.0.1:{port}",
        "ARCHON_STORAGE_IMAGE": f"{control.name}-storage", "ARCHON_QDRANT_VOLUME": f"{platform.name}_qdrant_data",
        "ARCHON_QDRANT_STORAGE": "/platform/qdrant/storage", "DOCKER_SOCKET": socket[1],
        "ARCHON_ENVIRONMENT": "development",
    })  # fmt: skip


def _remove_control(control: Compose) -> None:
    with ExitStack() as undo:
        undo.callback(
            docker, "volume", "rm", "--force", *(f"{control.name}_{name}" for name in ("storage", "state", "backups"))
        )
        undo.callback(control.remove)
        eventually(lambda: _no_run(control), 60.0)


def _no_run(control: Compose) -> bool:
    """Whether no run's container is left, which are told to go. The engine refuses that to one that is just going."""
    of_runs = ("ps", "-aq", "--filter", f"network={control.name}", "--filter", "label=dagster/run_id")
    if runs := docker(*of_runs).split():
        docker("rm", "--force", *runs, check=False)
    return docker(*of_runs) == ""


def _show(control: Compose) -> None:
    """What its services have said, beside the failure."""
    where = ("--project-directory", str(control.directory), "--project-name", control.name)
    sys.stderr.write(docker("compose", *where, "logs", "--tail", "40", check=False))
