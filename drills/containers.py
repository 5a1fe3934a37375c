"""The sandbox's servers as the containers of a compose project: each the same program on the same files and ports.

The verbs are those of :mod:`archon_dagster.sandbox.lifecycle`. The sandbox makes data, passwords and ports, then its
processes are stopped and containers take their place, in the host's network, with the home and this installation
mounted; the sandbox's platform directory becomes the project's. Nothing is pulled: any image with a shell and the same
minor version of Python will do (``ARCHON_TEST_IMAGE``). What a platform has elsewhere stays a process.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import sys
import sysconfig
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archon_dagster.errors import ServiceError
from archon_dagster.platform.readiness import wait_until_ready
from archon_dagster.platform.runtime import compose_engine as engines
from archon_dagster.platform.runtime.compose import ComposeRuntime
from archon_dagster.platform.runtime.compose_project import ComposeProject
from archon_dagster.platform.runtime.compose_variables import variable
from archon_dagster.platform.runtime.process_spec import ProcessSpec, read_spec, write_private
from archon_dagster.sandbox import environment as env
from archon_dagster.sandbox import lifecycle, postgres
from archon_dagster.sandbox.layout import EXTERNALS, SERVICE_OF_STORE, Layout, layout_of
from archon_dagster.sandbox.starting import Sandbox

IMAGE = os.environ.get("ARCHON_TEST_IMAGE", "python:3.12-slim-bookworm")
_CHECKOUT, _SITE = Path(__file__).parents[1], Path(sysconfig.get_path("purelib"))
_DOWN_LIMIT = 60.0  # seconds for what is left of a project


class Containers(ComposeRuntime):
    """The compose runtime, and what is done to containers behind its back."""

    def kill(self, service: str, number: int = signal.SIGKILL) -> None:
        """Send a signal to the first process of the container, which is the server; SIGKILL is awaited."""

        def send(container: Any) -> None:
            container.kill(signal=number)
            if number == signal.SIGKILL:
                container.wait(timeout=_DOWN_LIMIT)

        self.touch(service, send)

    def touch(self, service: str, what: Callable[[Any], None]) -> None:
        """Do something to the service's container."""
        with engines.engine(f"{service} is broken on purpose") as client:
            found = engines.containers(client, self._project.name, service)
            if not found:
                raise ServiceError(f"{service} has no container", where=self._project.name)
            what(found[0])


@dataclass(frozen=True)
class ContainerSandbox(Sandbox):
    """A sandbox whose platform runs in containers."""

    @property
    def environment(self) -> dict[str, str]:
        return _variables(self.home)

    @property
    def runtime(self) -> Containers:  # type: ignore[override]
        return _runtime(self.home)


def up(home: Path, *, owner_pid: int | None = None) -> ContainerSandbox:
    """Make the platform where there is none, start what does not run, and wait until everything is ready."""
    layout = layout_of(home)
    sandbox = ContainerSandbox(layout.home)
    if not _file(layout).exists():
        made = lifecycle.up(home, owner_pid=owner_pid)
        names = made.services
        made.runtime.down()
        _write_project(layout, names)
        _write_variables(layout)
    for name in EXTERNALS:
        made_elsewhere = {one.service: one.state for one in sandbox.externals.status()}
        if made_elsewhere.get(name) not in ("running", "paused"):
            sandbox.externals.up(name)
    before = [one.service for one in sandbox.runtime.status() if one.state != "absent"]
    try:
        sandbox.runtime.up()
        _wait(sandbox, *sandbox.services, *EXTERNALS)
    except BaseException:
        if not before:  # a start that has failed leaves nothing running, as that of processes does
            down(home)
        raise
    return sandbox


def down(home: Path) -> None:
    """Remove the containers and stop what runs beside them; data stay."""
    layout = layout_of(home)
    if _file(layout).exists():
        _runtime(home).down()
        ComposeProject(layout.platform, _name(layout)).run("down", "--timeout", "1", limit=_DOWN_LIMIT)
    lifecycle.down(home)


def kill(home: Path, service: str) -> None:
    """Kill a service as a crash would, and leave it dead."""
    lifecycle.kill(home, service) if service in EXTERNALS else _runtime(home).kill(service)


def start(home: Path, service: str) -> ContainerSandbox:
    """Start one service and wait until it is ready."""
    sandbox = ContainerSandbox(home)
    (sandbox.externals if service in EXTERNALS else sandbox.runtime).up(service)
    _wait(sandbox, service)
    return sandbox


def wipe(home: Path, store: str) -> ContainerSandbox:
    """Destroy what a store holds and start its server again, empty."""
    layout, sandbox = layout_of(home), ContainerSandbox(home)
    if store == "configuration":
        shutil.rmtree(layout.platform / "config", ignore_errors=True)
        return sandbox
    service, data = SERVICE_OF_STORE[store], layout.data(store)
    sandbox.runtime.stop(service)
    kept = [path.name for path in data.iterdir()] if store != "relational" else []
    shutil.rmtree(data)
    for name in kept:  # the server's own directory is where it works
        (data / name).mkdir(mode=0o700, parents=True)
    if store == "relational":
        password = sandbox.environment["POSTGRES_PASSWORD"]
        postgres.initialise(data, password, postgres.unprivileged(data))
    return start(home, service)


def _wait(sandbox: Sandbox, *names: str) -> None:
    for runtime, mine in (
        (sandbox.runtime, [name for name in names if name not in EXTERNALS]),
        (sandbox.externals, [name for name in names if name in EXTERNALS]),
    ):
        if mine:
            wait_until_ready(mine, sandbox.settings, runtime)


def _runtime(home: Path) -> Containers:
    layout = layout_of(home)
    return Containers(ComposeProject(layout.platform, _name(layout)), layout.home / "locks")


def _name(layout: Layout) -> str:
    """A project name that no other home has."""
    return f"archon-drill-{hashlib.sha256(str(layout.home).encode()).hexdigest()[:8]}"


def _file(layout: Layout) -> Path:
    return layout.platform / "compose.yaml"


def _variables(home: Path) -> dict[str, str]:
    layout = layout_of(home)
    return {
        **env.public(env.read(layout)),
        **env.files(layout, env.read(layout)),
        "ARCHON_RUNTIME": "compose",
        "COMPOSE_PROJECT_NAME": _name(layout),
    }


def _write_variables(layout: Layout) -> None:
    lines = (f"{key}='{value}'\n" for key, value in sorted(_variables(layout.home).items()))
    write_private(layout.env_file, "".join(lines))


def _write_project(layout: Layout, names: tuple[str, ...]) -> None:
    services = {name: _service(name, read_spec(layout.directory(name)), layout.home) for name in names}
    _file(layout).write_text(json.dumps({"services": services}, indent=1))  # JSON is YAML


def _service(name: str, spec: ProcessSpec, home: Path) -> dict[str, Any]:
    program = ["python3" if spec.command[0] == sys.executable else spec.command[0], *spec.command[1:]]
    path = os.pathsep.join([*map(str, spec.path), "/usr/local/bin", "/usr/bin", "/bin"])
    python = {"PYTHONPATH": f"{_CHECKOUT}:{_SITE}", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"}
    mounts = {str(_CHECKOUT): "ro", str(_SITE): "ro", str(home): "rw"}
    service: dict[str, Any] = {
        "image": IMAGE, "command": [_escaped(word) for word in program], "network_mode": "host",
        "environment": _all_escaped({"PATH": path, **python, **spec.env, **spec.exec_env}),
        "env_file": [str(file) for file in spec.env_files],
        "working_dir": str(spec.cwd), "volumes": [f"{where}:{where}:{mode}" for where, mode in mounts.items()],
        "stop_signal": signal.Signals(spec.stop_signal).name, "pull_policy": "never",
        "deploy": {"resources": {"limits": {what: f"${{{variable(name, what.upper())}:-0}}"
                                            for what in ("cpus", "memory")}}},
    }  # fmt: skip
    if spec.user is not None:
        service["user"] = f"{spec.user[0]}:{spec.user[1]}"
    if program[0] == "unshare":  # which the default profile forbids
        service["security_opt"] = ["seccomp=unconfined", "apparmor=unconfined"]
    return service


def _all_escaped(variables: Mapping[str, str]) -> dict[str, str]:
    return {key: _escaped(value) for key, value in variables.items()}


def _escaped(text: str) -> str:
    """Compose replaces variables in every value."""
    return text.replace("$", "$$")
