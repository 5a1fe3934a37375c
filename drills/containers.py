"""The sandbox's servers as the containers of a compose project: each the same program on the same files and ports.

The sandbox makes data, passwords and ports, then its processes are stopped and containers take their place, in the
host's network, with its home and this installation mounted. Nothing is pulled: any image with a shell and the same
minor version of Python will do (``ARCHON_TEST_IMAGE``). What a platform has elsewhere stays a process.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import sys
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archon_dagster.errors import ServiceError
from archon_dagster.platform.readiness import wait_until_ready
from archon_dagster.platform.runtime import compose_engine as engines
from archon_dagster.platform.runtime.compose import ComposeRuntime
from archon_dagster.platform.runtime.compose_project import ComposeProject
from archon_dagster.platform.runtime.process_spec import ProcessSpec, read_spec, write_private
from archon_dagster.platform.settings import settings_of
from archon_dagster.sandbox import lifecycle
from archon_dagster.sandbox.layout import SERVICE_OF_STORE, Layout, layout_of

IMAGE = os.environ.get("ARCHON_TEST_IMAGE", "python:3.12-slim-bookworm")
_CHECKOUT, _SITE = Path(__file__).parents[1], Path(sysconfig.get_path("purelib"))
_UNNEEDED = ("PATH", "HOME")  # of the host


@dataclass(frozen=True)
class ContainerServers:
    """The containers of one project.

    :param home: of the sandbox that made the data. :param control: of the control plane that operates them.
    """

    home: Path
    control: Path
    project: ComposeProject

    @property
    def runtime(self) -> ComposeRuntime:
        return ComposeRuntime(self.project, self.control / "locks")

    def kill(self, service: str, number: int = signal.SIGKILL) -> None:
        """See :class:`drills.servers.Servers`; the signal goes to the first process, which is the server."""
        self._touch(service, lambda one: one.kill(signal=number))

    def remove(self, service: str) -> None:
        """As ``docker rm --force``."""
        self._touch(service, lambda one: one.remove(force=True))

    def freeze(self, service: str) -> None:
        """As ``docker pause``."""
        self._touch(service, lambda one: one.pause())

    def wipe(self, store: str) -> None:
        """See :class:`drills.servers.Servers`."""
        service, data = SERVICE_OF_STORE[store], layout_of(self.home).data(store)
        self.runtime.stop(service)
        for path in data.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        for name in ("embedded", "server"):
            (data / name).mkdir(mode=0o700, exist_ok=True)
        self.runtime.up(service)

    def incarnation(self, service: str) -> str:
        """See :class:`drills.servers.Servers`."""
        (one,) = [status for status in self.runtime.status() if status.service == service]
        return f"{one.instance} {one.started}"

    def _touch(self, service: str, what: Callable[[Any], None]) -> None:
        with engines.engine(f"{service} is broken for a drill") as client:
            found = engines.containers(client, self.project.name, service)
            if not found:
                raise ServiceError(f"{service} has no container", where=self.project.name)
            what(found[0])


@contextmanager
def running_containers(home: Path) -> Iterator[ContainerServers]:
    """A whole platform of containers for the block, ready and empty; everything is removed afterwards.

    ``<home>/servers`` is the sandbox's, ``<home>/project`` the compose project, ``<home>/control`` the control plane's
    home, with settings that lead to the project.
    """
    made, control, directory = home / "servers", home / "control", home / "project"
    name = f"archon-drill-{secrets.token_hex(4)}"
    servers = ContainerServers(made, control, ComposeProject(directory, name))
    sandbox = lifecycle.up(made, owner_pid=os.getpid())
    try:
        names, environment = sandbox.services, sandbox.environment
        sandbox.runtime.down()
        directory.mkdir()
        control.mkdir()
        _write_project(directory, layout_of(made), names)
        shown = {**environment, "ARCHON_RUNTIME": "compose", "COMPOSE_PROJECT_NAME": name}
        _write_variables(directory / ".env", shown)
        _write_variables(
            control / ".env",
            {"ARCHON_RUNTIME": "compose", "ARCHON_PROJECT_DIR": str(directory), "COMPOSE_PROJECT_NAME": name},
        )
        servers.runtime.up()
        wait_until_ready(names, settings_of(control), servers.runtime)
        yield servers
    finally:
        if directory.exists():
            servers.runtime.down()
            servers.project.run("down", "--timeout", "1", limit=60.0)
        lifecycle.down(made)


def _write_project(directory: Path, layout: Layout, names: tuple[str, ...]) -> None:
    services = {name: _service(read_spec(layout.directory(name)).resolved(), layout.home) for name in names}
    (directory / "compose.yaml").write_text(json.dumps({"services": services}, indent=1))  # JSON is YAML


def _service(spec: ProcessSpec, home: Path) -> dict[str, Any]:
    program = ["python3" if spec.command[0] == sys.executable else spec.command[0], *spec.command[1:]]
    path = os.pathsep.join([*map(str, spec.path), "/usr/local/bin", "/usr/bin", "/bin"])
    variables = {key: value for key, value in {**spec.env, **spec.exec_env}.items() if key not in _UNNEEDED}
    python = {"PYTHONPATH": f"{_CHECKOUT}:{_SITE}", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"}
    mounts = {str(_CHECKOUT): "ro", str(_SITE): "ro", str(home): "rw"}
    service: dict[str, Any] = {
        "image": IMAGE, "command": [_escaped(word) for word in program], "network_mode": "host",
        "environment": {key: _escaped(value) for key, value in {"PATH": path, **python, **variables}.items()},
        "working_dir": str(spec.cwd), "volumes": [f"{where}:{where}:{mode}" for where, mode in mounts.items()],
        "stop_signal": signal.Signals(spec.stop_signal).name,
    }  # fmt: skip
    if spec.user is not None:
        service["user"] = f"{spec.user[0]}:{spec.user[1]}"
    if program[0] == "unshare":  # which the default profile forbids
        service["security_opt"] = ["seccomp=unconfined", "apparmor=unconfined"]
    return service


def _escaped(text: str) -> str:
    """Compose replaces variables in every value."""
    return text.replace("$", "$$")


def _write_variables(file: Path, variables: dict[str, str]) -> None:
    write_private(file, "".join(f"{key}='{value}'\n" for key, value in sorted(variables.items())))
