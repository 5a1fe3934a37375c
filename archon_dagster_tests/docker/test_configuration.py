"""A change of the configuration of a compose project: what compose resolves from the ``.env``, replaced and taken back.

Small services of which the bridge reads the file as a whole (``env_file``), the others what the compose file takes from
it, one of them behind a balancer.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from archon_dagster.configuration.apply import ApplyRequest, Change, apply, plan, undo
from archon_dagster.configuration.context import ConfigurationContext
from archon_dagster.configuration.history import History
from archon_dagster.configuration.journal import JournalFile
from archon_dagster.configuration.status import standing
from archon_dagster.errors import ConfigurationError, ServiceError
from archon_dagster.platform.readiness import wait_until_ready
from archon_dagster.platform.settings import Settings, settings_of
from archon_dagster_tests.docker.conftest import Compose, name_of
from archon_dagster_tests.docker.servers import free_port
from archon_dagster_tests.docker_command import IMAGE, docker
from archon_dagster_tests.unit.configuration import platform as small_services
from archon_dagster_tests.unit.configuration.platform import NAMES, PORTS
from archon_dagster_tests.unit.configuration.sample import with_

pytestmark = [pytest.mark.docker, pytest.mark.long, pytest.mark.timeout(300)]

BALANCER = "search-balancer"
READERS = ("archon-intelligence", "archon-search")  # of BATCH_SIZE
KILLED = """\
import os, signal, sys, threading
from pathlib import Path
from archon_dagster.configuration.apply import ApplyRequest, apply
from archon_dagster.configuration.context import open_configuration
from archon_dagster.context import Step
from archon_dagster.platform.settings import load_settings
file, step, when, later = Path(sys.argv[1]), *sys.argv[2:4], float(sys.argv[4])
def report(news):
    if isinstance(news, Step) and news.name == step and (news.seconds is None) == (when == "begin"):
        threading.Timer(later, os.kill, (os.getpid(), signal.SIGKILL)).start()
        threading.Event().wait(0 if later else 60)
apply(open_configuration(load_settings(), threading.Event(), report), ApplyRequest(file, "APPLY", offline=True))
"""


class Small:
    """The project in a home of its own."""

    def __init__(self, home: Path):
        self.home, self.ports = home, {PORTS[name]: free_port() for name in NAMES}
        self.project = Compose(home / "platform", name_of("configuration"))
        self.env_file = self.project.directory / ".env"
        self.project.write({name: self._service(name) for name in NAMES} | {BALANCER: self._balancer()})
        self.first = self.file()
        self.env_file.write_bytes(self.first)

    def _service(self, name: str) -> dict[str, object]:
        program = Path(small_services.__file__).read_text().replace("$", "$$")
        read = {key: f"${{{key}}}" for key in ("LOG_LEVEL", "BATCH_SIZE")}
        return {
            "image": IMAGE, "init": True, "network_mode": "host",
            "command": ["python3", "-c", program, name, f"${{{PORTS[name]}}}"],
            **({"env_file": [".env"], "labels": {"site": "${ARCHON_SITE:-one}"}} if name == NAMES[0]
               else {"environment": read}),
        }  # fmt: skip

    def _balancer(self) -> dict[str, object]:
        wait = "${ARCHON_BALANCER_SECONDS:-6000}"
        return {
            "image": IMAGE,
            "init": True,
            "labels": {"archon.balances": "archon-search"},
            "scale": "${ARCHON_BALANCERS:-1}",
            "command": ["sleep", wait],
        }

    def file(self, *lines: str) -> bytes:
        ports = [f"{variable}={port}" for variable, port in self.ports.items()]
        return with_(*ports, f"COMPOSE_PROJECT_NAME={self.project.name}", "ARCHON_RUNTIME=compose", *lines)

    @property
    def settings(self) -> Settings:
        return settings_of(self.home, ARCHON_START_PATIENCE=0.2)

    @property
    def context(self) -> ConfigurationContext:
        return ConfigurationContext(self.settings, self.project.runtime, lambda: self.settings)

    def apply(self, *lines: str) -> Change:
        return apply(self.context, ApplyRequest(self.written(*lines), "APPLY", offline=True))

    def written(self, *lines: str) -> Path:
        file = self.home / "new.env"
        file.write_bytes(self.file(*lines))
        return file

    def containers(self) -> dict[str, str]:
        return {name: self.project.container(name) for name in (*NAMES, BALANCER)}

    def reads(self, variable: str) -> dict[str, str | None]:
        """What the container of each service was made with."""
        found = {name: json.loads(docker("inspect", "--format", "{{json .Config.Env}}", self.project.container(name)))
                 for name in NAMES}  # fmt: skip
        return {name: dict(one.split("=", 1) for one in said).get(variable) for name, said in found.items()}

    def killed(self, file: Path, step: str, when: str, later: float = 0.0) -> None:
        command = [sys.executable, "-c", KILLED, str(file), step, when, str(later)]
        environment = os.environ | {"ARCHON_HOME": str(self.home), "ARCHON_START_PATIENCE": "0.2"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Small]:
    small = Small(tmp_path_factory.mktemp("configuration"))
    try:
        small.project.runtime.up()
        yield small
    finally:
        small.project.remove()


@pytest.fixture
def small(running: Small) -> Iterator[Small]:
    """Everything is well with the first file."""
    wait_until_ready(NAMES, running.settings, running.project.runtime)
    yield running
    JournalFile(running.home).end()
    if running.env_file.read_bytes() != running.first:
        running.env_file.write_bytes(running.first)
        running.project.runtime.recreate()


def replaced(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {name for name in before if before[name] != after[name]}


def test_the_services_that_read_it_have_new_containers_with_the_new_values(small: Small) -> None:
    before = small.containers()
    assert small.apply("BATCH_SIZE=10").replaced == READERS
    # the balancer goes with the service that it is part of
    assert replaced(before, small.containers()) == {*READERS, BALANCER}
    assert small.reads("BATCH_SIZE") == dict.fromkeys(NAMES, "10") | {"archon-bridge": "25"}
    assert small.apply("BATCH_SIZE=10", "LOG_LEVEL=DEBUG").replaced == NAMES
    assert set(small.reads("LOG_LEVEL").values()) == {"DEBUG"}
    assert small.reads("BATCH_SIZE")["archon-bridge"] == "10"  # its env_file is read as a whole
    undo(small.context, "APPLY")
    assert set(small.reads("LOG_LEVEL").values()) == {"INFO"}
    assert small.env_file.read_bytes() == small.file("BATCH_SIZE=10")


def test_a_restart_reads_nothing_again(small: Small) -> None:
    small.env_file.write_bytes(small.file("BATCH_SIZE=10"))
    small.project.runtime.restart("archon-search")
    assert small.reads("BATCH_SIZE")["archon-search"] == "25"


@pytest.mark.parametrize(
    ("line", "service", "also"),
    [("ARCHON_SITE=two", "archon-bridge", set()), ("ARCHON_BALANCER_SECONDS=7000", "archon-search", {BALANCER})],
)
def test_what_only_the_compose_file_reads_replaces_the_service_that_is_defined_by_it(
    small: Small, line: str, service: str, also: set[str]
) -> None:
    before = small.containers()
    assert plan(small.context, small.written(line), offline=True).replaced == (service,)
    assert small.containers() == before
    assert small.apply(line).replaced == (service,)
    assert replaced(before, small.containers()) == {service, *also}


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("ARCHON_BALANCERS=many", "Docker Compose does not accept the project"),
        ("COMPOSE_PROJECT_NAME=another", "on new and empty volumes"),
    ],
)
def test_what_compose_would_not_take_or_make_anew_is_refused_before_anything_is_touched(
    small: Small, line: str, told: str
) -> None:
    before = small.containers()
    with pytest.raises(ConfigurationError, match=told):
        small.apply(line)
    assert (small.containers(), small.env_file.read_bytes()) == (before, small.first)
    assert standing(small.settings).interrupted is None


def test_a_service_that_does_not_start_with_it_gets_the_saved_file_again(small: Small) -> None:
    with pytest.raises(ServiceError, match=r"not kept[\s\S]*thirteen is too many[\s\S]*byte for byte"):
        small.apply("BATCH_SIZE=13")
    assert small.env_file.read_bytes() == small.first
    assert set(small.reads("BATCH_SIZE").values()) == {"25"}
    wait_until_ready(NAMES, small.settings, small.project.runtime, 0.1)
    assert History(small.home).all()[0].result == "returned"


@pytest.mark.parametrize(
    ("step", "when", "later"),
    [
        ("save the current file", "end", 0.0),
        ("write the new file", "end", 0.5),  # while compose is at work, which goes on without its caller
        ("archon-intelligence", "end", 0.0),
    ],
)
def test_killed_at_any_step_the_way_back_is_open(small: Small, step: str, when: str, later: float) -> None:
    small.killed(small.written("BATCH_SIZE=10"), step, when, later)
    now = standing(small.settings)
    assert now.interrupted is not None
    assert now.says.endswith("is in place, as a whole")
    undo(small.context, "APPLY")
    assert small.env_file.read_bytes() == small.first
    assert set(small.reads("BATCH_SIZE").values()) == {"25"}
    assert standing(small.settings).interrupted is None
    wait_until_ready(NAMES, small.settings, small.project.runtime, 0.1)
