"""The search service of the platform's own compose file, scaled behind its balancer on a real engine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest

from archon_dagster.definitions import defs
from archon_dagster.errors import ConfigurationError, ServiceError
from archon_dagster.platform.limits import Resources
from archon_dagster.platform.runtime import compose_variables
from archon_dagster.platform.settings import Settings, load_settings
from archon_dagster.resources import Operations
from archon_dagster.scaling import apply as profiles
from archon_dagster.scaling import scale as scaling
from archon_dagster.scaling.context import ScalingContext
from archon_dagster.scaling.sensors import search_autoscaler
from archon_dagster_tests.bystanders import untouched
from archon_dagster_tests.docker import platform_file
from archon_dagster_tests.docker.conftest import Compose, name_of
from archon_dagster_tests.docker.servers import free_port
from archon_dagster_tests.docker_command import IMAGE, LIMIT, docker
from archon_dagster_tests.eventually import eventually

pytestmark = [pytest.mark.docker, pytest.mark.timeout(600)]

SEARCH = "archon-search"
CHECK = "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8055/health', timeout=5)"


@dataclass(frozen=True)
class Platform:
    """The search service of the platform's compose file, its image being a small program."""

    project: Compose
    port: int
    home: Path

    @property
    def settings(self) -> Settings:
        return load_settings(ARCHON_HOME=self.home, ARCHON_PROJECT_DIR=self.project.directory,
                             SEARCH_SERVICE_PORT=self.port, COMPOSE_PROJECT_NAME=self.project.name)  # fmt: skip

    @property
    def context(self) -> ScalingContext:
        return ScalingContext(self.settings, self.project.runtime)

    def types(self, *words: str) -> subprocess.CompletedProcess[str]:
        """`archon` as a user of this platform types it."""
        environment = {
            **os.environ, "ARCHON_HOME": str(self.home), "ARCHON_PROJECT_DIR": str(self.project.directory),
            "SEARCH_SERVICE_PORT": str(self.port), "COMPOSE_PROJECT_NAME": self.project.name,
        }  # fmt: skip
        command = [sys.executable, "-m", "archon_dagster.cli", *words]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LIMIT, check=False)

    def ask(self, path: str = "/health") -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=20) as answer:
            return str(json.loads(answer.read())["who"])

    def who(self) -> set[str]:
        return {self.ask() for _ in range(20)}

    def answers(self) -> bool:
        """The engine takes connections for a balancer that does not listen yet, and resets them."""
        try:
            return bool(self.ask())
        except OSError:
            return False

    def containers(self) -> int:
        return len(self.project.runtime.replicas(SEARCH).each)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """It runs, and somebody else's things beside it are compared when all has been done to it."""
    directory = tmp_path_factory.mktemp("scaling")
    (directory / "broken").mkdir()
    project, port = Compose(directory, name_of("scaling")), free_port()
    check = {"test": ["CMD", "python3", "-c", CHECK], "interval": "1s", "start_period": "1s"}
    search = platform_file.small(8055, directory / "broken", **check)
    platform_file.write(project, {SEARCH: search}, SEARCH_IMAGE=IMAGE, SEARCH_SERVICE_PORT=port, SEARCH_CPUS=1,
                        SEARCH_MEMORY="256m")  # fmt: skip
    made = Platform(project, port, tmp_path_factory.mktemp("home"))
    try:
        with untouched(tmp_path_factory.mktemp("neighbour") / "project", project.name):
            project.runtime.up(SEARCH)
            eventually(made.answers, within=30.0)
            yield made
    finally:
        project.remove()


@pytest.fixture
def platform(running: Platform) -> Iterator[Platform]:
    """With one replica, well."""
    before = (running.project.directory / ".env").read_text()
    yield running
    for order in ("now", "busy"):
        (running.project.directory / "broken" / order).unlink(missing_ok=True)
    (running.project.directory / ".env").write_text(before)
    running.project.runtime.scale(SEARCH, 1)
    running.project.runtime.up(SEARCH)
    eventually(running.answers, within=30.0)


class Asking(threading.Thread):
    """Asks all the time; keeps what went wrong."""

    def __init__(self, platform: Platform, path: str):
        super().__init__()
        self.platform, self.path, self.over = platform, path, threading.Event()
        self.failures: list[str] = []
        self.asked = 0

    def run(self) -> None:
        while not self.over.is_set():
            try:
                self.platform.ask(self.path)
            except OSError as error:
                self.failures.append(repr(error))
            self.asked += 1
            self.over.wait(0.05)

    def __enter__(self) -> Asking:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        asked = self.asked
        eventually(lambda: self.asked > asked + 1)
        self.over.set()
        self.join()


def test_replicas_come_and_go_behind_the_balancer_and_no_request_is_lost(platform: Platform) -> None:
    with Asking(platform, "/health") as quick, Asking(platform, "/slow") as slow:
        assert scaling.scale(platform.context, 3).after.well == 3
        eventually(lambda: len(platform.who()) == 3, within=30.0)
        assert scaling.scale(platform.context, 1).after.well == 1
    assert quick.failures + slow.failures == []
    assert len(platform.who()) == 1
    assert "search-balancer" not in platform.project.runtime.services()


def test_what_the_balancer_says_and_is_made_of_is_told_with_its_service(platform: Platform) -> None:
    runtime, balancer = platform.project.runtime, platform.project.container("search-balancer")
    assert runtime.image_digests()["search-balancer"] == docker("inspect", "--format", "{{.Image}}", balancer)
    said = docker("logs", "--tail", "1", balancer, merged=True)
    assert said and said in runtime.logs(SEARCH)


def test_the_number_outlives_down_and_what_an_operator_types(platform: Platform) -> None:
    scaling.scale(platform.context, 2)
    runtime = platform.project.runtime
    runtime.down()
    assert platform.containers() == 0
    runtime.up(SEARCH)
    assert platform.containers() == 2
    command = ["docker", "compose", "--project-directory", str(platform.project.directory), "up", "-d", "--no-deps"]
    for more in ([], ["--force-recreate"]):
        typed = [*command, *more, SEARCH]
        subprocess.run(typed, check=True, capture_output=True, timeout=LIMIT, cwd=platform.project.directory)
        assert platform.containers() == 2
    assert "# kept\n" in (platform.project.directory / ".env").read_text()


@pytest.mark.parametrize("verb", ["recreate", "up"])
def test_another_number_in_the_file_is_what_runs_from_the_next_start_on(platform: Platform, verb: str) -> None:
    scaling.scale(platform.context, 3)
    compose_variables.write(platform.project.directory / ".env", {"SEARCH_REPLICAS": "1"})
    runtime = platform.project.runtime
    if verb == "up":
        runtime.up(SEARCH)
        assert platform.containers() == 3  # what runs is left alone
        runtime.stop(SEARCH)
    getattr(runtime, verb)(SEARCH)
    assert platform.containers() == 1


def test_a_replica_that_is_killed_is_left_out_and_made_again(platform: Platform) -> None:
    scaling.scale(platform.context, 2)
    dead = platform.project.runtime.replicas(SEARCH).each[1].instance
    docker("kill", dead)
    eventually(lambda: platform.who() == platform.who() and len(platform.who()) == 1, within=30.0)
    (status,) = (one for one in platform.project.runtime.status() if one.service == SEARCH)
    assert (status.state, status.replicas) == ("running", 1)
    assert scaling.scale(platform.context, 2).replaced == 1
    eventually(lambda: len(platform.who()) == 2, within=30.0)


@pytest.mark.long
@pytest.mark.parametrize("direct", [(), ("--direct",)], ids=["dagster", "direct"])
def test_a_number_and_limits_are_typed_and_what_fails_is_taken_back(
    platform: Platform, direct: tuple[str, ...]
) -> None:
    done = platform.types("scale", "search", "2", *direct)
    assert (done.returncode, platform.containers()) == (0, 2), done.stderr
    (platform.project.directory / "broken" / "now").touch()
    failed = platform.types("scale", "search", "3", *direct)
    assert (failed.returncode, platform.containers()) == (6, 2)
    assert "runs 2 times again, and is well" in failed.stderr
    (platform.project.directory / "broken" / "now").unlink()
    wanted = ("cpus=0.5", "memory=128M", "reserved_cpus=0.1", "reserved_memory=64M")
    small = [word for limit in wanted for word in ("--set", f"{SEARCH}.{limit}")]
    limited = platform.types("resources", "apply", "custom", *small, *direct)
    assert limited.returncode == 0, limited.stderr
    assert platform.project.runtime.limits(SEARCH) == Resources(0.5, 128 * 2**20, 0.1, 64 * 2**20)
    for wrong in (("scale", "search", "99"), ("resources", "apply", "huge"), ("resources", "apply", "custom")):
        assert platform.types(*wrong, *direct).returncode == 2, wrong
    assert platform.containers() == 2


def test_replicas_that_do_not_start_bring_back_the_number_before(platform: Platform) -> None:
    (platform.project.directory / "broken" / "now").touch()
    with pytest.raises(
        ServiceError, match=r"was not scaled[\s\S]*it does not start[\s\S]*runs 1 times again, and is well"
    ):
        scaling.scale(platform.context, 3)
    assert platform.containers() == 1
    assert "SEARCH_REPLICAS=1\n" in (platform.project.directory / ".env").read_text()


@pytest.mark.long
def test_the_autoscaler_follows_the_processor_up_and_down(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "ARCHON_HOME": str(platform.home), "ARCHON_PROJECT_DIR": str(platform.project.directory),
        "ARCHON_AUTOSCALE_BY": "cpu", "ARCHON_AUTOSCALE_HIGH": "40", "ARCHON_AUTOSCALE_LOW": "15",
        "ARCHON_AUTOSCALE_MOST": "2", "ARCHON_AUTOSCALE_RISING": "2", "ARCHON_AUTOSCALE_FALLING": "2",
        "ARCHON_AUTOSCALE_COOL_DOWN": "0", "ARCHON_AUTOSCALE_DRY_RUN": "false",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    job, busy = defs.resolve_job_def("scale_search"), platform.project.directory / "broken" / "busy"

    def look() -> dg.RunRequest | dg.SkipReason:
        told = search_autoscaler(dg.build_sensor_context(instance=instance), operations=Operations())
        assert isinstance(told, dg.RunRequest | dg.SkipReason)
        return told

    def scaled() -> int:
        told = [look() for _ in range(2)]  # two readings in a row, each of some seconds
        assert isinstance(told[0], dg.SkipReason)
        assert isinstance(told[1], dg.RunRequest), told[1]
        assert job.execute_in_process(told[1].run_config, instance=instance).success
        return platform.containers()

    with dg.DagsterInstance.ephemeral() as instance:
        busy.touch()
        assert scaled() == 2
        assert all(isinstance(look(), dg.SkipReason) for _ in range(2))  # it may not go further
        busy.unlink()
        assert scaled() == 1


def test_a_service_whose_balancer_is_gone_is_seen_to_be_down_and_started_again(platform: Platform) -> None:
    docker("rm", "--force", platform.project.container("search-balancer"))
    (status,) = (one for one in platform.project.runtime.status() if one.service == SEARCH)
    assert status.state == "exited"
    platform.project.runtime.up(SEARCH)
    eventually(platform.answers, within=30.0)
    assert len(platform.who()) == 1


def test_a_profile_is_a_limit_of_the_engine_that_stays(platform: Platform) -> None:
    small = {SEARCH: {"cpus": "0.5", "memory": "128M", "reserved_cpus": "0.1", "reserved_memory": "64M"}}
    came = profiles.apply(platform.context, "custom", small)
    assert came.changes[0].before == Resources(1.0, 256 * 2**20, 0.01, 6 * 2**20)

    def given() -> tuple[int, int, int]:
        (told,) = json.loads(docker("inspect", platform.project.container(SEARCH)))
        host = told["HostConfig"]
        return host["NanoCpus"], host["Memory"], host["MemoryReservation"]

    assert given() == (500_000_000, 128 * 2**20, 64 * 2**20)
    platform.project.runtime.down()
    platform.project.runtime.up(SEARCH)
    assert given() == (500_000_000, 128 * 2**20, 64 * 2**20)
    with pytest.raises(ServiceError, match="was taken back"):
        profiles.apply(platform.context, "custom", {SEARCH: small[SEARCH] | {"memory": "6M", "reserved_memory": "6M"}})
    assert given() == (500_000_000, 128 * 2**20, 64 * 2**20)


def test_a_profile_that_one_service_would_not_follow_replaces_none(platform: Platform) -> None:
    file, env = platform.project.directory / "small.yaml", platform.project.directory / ".env"
    before, services, container = file.read_text(), json.loads(file.read_text()), platform.project.container(SEARCH)
    own = {"deploy": {"resources": {"limits": {"cpus": "1", "memory": "256m"}}}}  # whatever the variables say
    file.write_text(json.dumps({"services": services["services"] | {"archon-mcp": own}}))
    wanted, kept = {"cpus": "0.5", "memory": "128M", "reserved_memory": "64M"}, env.read_bytes()
    try:
        for what in (profiles.plan, profiles.apply):
            with pytest.raises(ConfigurationError, match="of archon-mcp; nothing was touched"):
                what(platform.context, "custom", {SEARCH: wanted, "archon-mcp": wanted})
    finally:
        file.write_text(before)
    assert (platform.project.container(SEARCH), env.read_bytes()) == (container, kept)


def test_a_host_that_is_too_small_and_a_service_with_a_port_of_its_own_are_refused(platform: Platform) -> None:
    huge = {SEARCH: {"cpus": "1", "memory": "4096G", "reserved_memory": "2048G"}}
    with pytest.raises(ConfigurationError, match="cannot carry"):
        profiles.apply(platform.context, "custom", huge)
    own = {"services": {SEARCH: {"ports": [f"127.0.0.1:{free_port()}:8055"]}}}
    file = platform.project.directory / "small.yaml"
    before = file.read_text()
    services = json.loads(before)["services"]
    file.write_text(json.dumps({"services": {SEARCH: services[SEARCH] | own["services"][SEARCH]}}))
    try:
        with pytest.raises(ConfigurationError, match="publishes a port of it"):
            scaling.scale(platform.context, 2)
    finally:
        file.write_text(before)
    assert platform.containers() == 1
