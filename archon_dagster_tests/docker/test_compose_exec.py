"""Commands run in a container: their streams, their end, and what is never seen of them."""

from __future__ import annotations

import hashlib
import os
import subprocess
import threading
from collections.abc import Callable

import pytest

from archon_dagster.errors import ServiceError
from archon_dagster.platform.runtime.protocol import Runtime
from archon_dagster_tests.docker.conftest import Compose, program
from archon_dagster_tests.docker_command import docker
from archon_dagster_tests.eventually import eventually

pytestmark = pytest.mark.docker

Make = Callable[..., Compose]
SLEEPER = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit()); signal.alarm(600); signal.pause()"
MEBIBYTE = 1 << 20


@pytest.fixture
def runtime(projects: Make) -> Runtime:
    runtime: Runtime = projects({"postgres": program(SLEEPER, environment={"OWN": "own"})}).runtime
    runtime.up()
    return runtime


def commands(runtime: Runtime) -> str:
    """What runs in the service's container."""
    return docker("top", runtime.status()[0].instance, "-eo", "pid,args")


def test_streams_flow_both_ways_and_the_exit_code_arrives(runtime: Runtime) -> None:
    sent = os.urandom(32 * MEBIBYTE)
    with runtime.exec("postgres", ["sh", "-c", "cat; exit 7"]) as command:

        def send() -> None:
            command.stdin.write(sent)
            command.stdin.close()  # the command sees the end and goes on to answer

        writer = threading.Thread(target=send)
        writer.start()
        got = hashlib.sha256()
        while block := command.stdout.read(MEBIBYTE):
            got.update(block)
        writer.join()
        assert command.wait(30.0) == 7
    assert got.digest() == hashlib.sha256(sent).digest()


def test_a_command_has_the_services_environment_and_its_own(runtime: Runtime) -> None:
    with runtime.exec("postgres", ["sh", "-c", "echo $OWN $PGPASSWORD"], env={"PGPASSWORD": "hush hush"}) as command:
        assert command.stdout.read() == b"own hush hush\n"
        assert command.wait(30.0) == 0


def test_no_value_of_a_variable_is_on_a_command_line(runtime: Runtime) -> None:
    with runtime.exec("postgres", ["cat"], env={"PGPASSWORD": "hush-hush-hush"}) as command:
        command.stdin.write(b"x")
        command.stdin.flush()
        assert command.stdout.read(1) == b"x"
        everybody = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert "--env PGPASSWORD" in everybody
    assert "hush-hush-hush" not in everybody


def test_what_a_command_says_on_its_error_stream_is_kept_apart(runtime: Runtime) -> None:
    with runtime.exec("postgres", ["sh", "-c", "echo out; echo err >&2"]) as command:
        assert command.stdout.read() == b"out\n"
        assert command.wait(30.0) == 0
        assert command.stderr_tail() == "err\n"


def test_leaving_the_block_ends_the_command_in_the_container_and_what_it_started(runtime: Runtime) -> None:
    with runtime.exec("postgres", ["sh", "-c", "sleep 4711 & sleep 4712 & echo here; wait"]) as command:
        assert command.stdout.readline() == b"here\n"
        assert "sleep 4711" in commands(runtime)
    eventually(lambda: "sleep 471" not in commands(runtime))
    assert runtime.status()[0].state == "running"


def test_a_command_that_takes_too_long_is_said_and_ended(runtime: Runtime) -> None:
    with (
        pytest.raises(ServiceError, match="did not end within"),
        runtime.exec("postgres", ["sleep", "4713"]) as command,
    ):
        command.wait(0.5)
    eventually(lambda: "sleep 4713" not in commands(runtime))


def test_a_program_that_is_not_there_ends_with_the_shells_code_and_word(runtime: Runtime) -> None:
    with runtime.exec("postgres", ["pg_dumb", "--all"]) as command:
        assert command.wait(30.0) == 127
        assert "pg_dumb" in command.stderr_tail()


def test_a_service_that_does_not_run_takes_no_command(runtime: Runtime) -> None:
    runtime.pause("postgres")
    with pytest.raises(ServiceError, match="postgres is paused, not running"):
        runtime.exec("postgres", ["true"])
    runtime.unpause("postgres")
    runtime.stop("postgres")
    with pytest.raises(ServiceError, match="postgres is exited, not running"):
        runtime.exec("postgres", ["true"])


def test_a_command_whose_container_dies_ends(runtime: Runtime) -> None:
    with runtime.exec("postgres", ["sh", "-c", "echo here; sleep 4714"]) as command:
        assert command.stdout.readline() == b"here\n"
        docker("kill", runtime.status()[0].instance)
        assert command.wait(30.0) != 0
