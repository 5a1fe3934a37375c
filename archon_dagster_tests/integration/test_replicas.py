"""A service of the processes runtime that runs more than once, over small web servers that say who they are."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import socket
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from archon_dagster.errors import ConfigurationError, ServiceError
from archon_dagster.platform.limits import Resources
from archon_dagster.platform.runtime.process_spec import PORT, ProcessSpec, Replication, write_spec
from archon_dagster.platform.runtime.processes import ProcessesRuntime
from archon_dagster.platform.runtime.protocol import ServiceStatus
from archon_dagster.platform.services import BY_NAME
from archon_dagster_tests.eventually import eventually

GRACE = 2.0
NAME = "archon-search"
CATALOGUE = {name: dataclasses.replace(one, stop_grace=GRACE, start_budget=8.0) for name, one in BY_NAME.items()}

# says who it is; ends politely, as uvicorn does: no new connections, and what is open is answered
SERVER = """\
import http.server, json, os, signal, sys, threading, time

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/slow":
            time.sleep(1.0)
        body = json.dumps({"status": "healthy", "who": os.environ.get("INSTANCE_ID", "alone")}).encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass

class Server(http.server.ThreadingHTTPServer):
    daemon_threads = False

server = Server(("127.0.0.1", int(sys.argv[1])), Handler)
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
print("serving", flush=True)
server.serve_forever(0.05)
server.server_close()
"""
BROKEN = "raise SystemExit('broken on purpose')"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


class Platform:
    """One service, with a port."""

    def __init__(self, home: Path):
        self.home, self.directory, self.port = home, home / "services" / NAME, free_port()
        self.describe(SERVER)

    def describe(self, program: str) -> None:
        """Say how its processes are run from their next start on."""
        command = [sys.executable, "-c", program]
        balancer = [sys.executable, "-P", "-m", "archon_dagster.sandbox.balancer", "--port", str(self.port),
                    "--directory", str(self.directory)]  # fmt: skip
        replication = Replication(command=[*command, PORT], balancer=balancer)
        write_spec(
            self.directory, ProcessSpec(command=[*command, str(self.port)], cwd=self.home, replication=replication)
        )

    @property
    def runtime(self) -> ProcessesRuntime:
        """A new one each time, as another process would see it."""
        return ProcessesRuntime(self.home / "services", CATALOGUE)

    @property
    def status(self) -> ServiceStatus:
        (one,) = self.runtime.status()
        return one

    def ask(self, path: str = "/health") -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
            return str(json.loads(answer.read())["who"])

    def answers(self) -> bool:
        try:
            return bool(self.ask())
        except OSError:
            return False

    def well(self, count: int) -> None:
        eventually(lambda: self.runtime.replicas(NAME).well == count)

    def who(self, asked: int = 12) -> set[str]:
        return {self.ask() for _ in range(asked)}

    def pid(self, number: int) -> int:
        return int(self.runtime.replicas(NAME).each[number - 1].instance)


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    made = Platform(tmp_path)
    made.runtime.up()
    eventually(made.answers)
    yield made
    made.runtime.down()


@pytest.fixture
def three(platform: Platform) -> Platform:
    platform.runtime.scale(NAME, 3)
    platform.well(3)
    return platform


class Asking:
    """Asks all the time, from another thread; keeps what went wrong."""

    def __init__(self, platform: Platform, path: str = "/health"):
        self._platform, self._path, self._over = platform, path, threading.Event()
        self.failures: list[str] = []
        self.turned_away: list[float] = []  # when
        self.asked = 0
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._over.is_set():
            self.asked += 1
            begin = time.monotonic()
            try:
                self._platform.ask(self._path)
            except OSError as error:
                cause = error.reason if isinstance(error, urllib.error.URLError) else error
                if isinstance(cause, ConnectionRefusedError | ConnectionResetError) and time.monotonic() < begin + 0.5:
                    self.turned_away.append(time.monotonic())  # at the door: nobody had begun to work on it
                else:
                    self.failures.append(repr(error))

    def __enter__(self) -> Asking:
        self._thread.start()
        eventually(lambda: self.asked > 1)
        return self

    def __exit__(self, *_: object) -> None:
        asked = self.asked
        eventually(lambda: self.asked > asked + 1)
        self._over.set()
        self._thread.join()


def test_a_service_that_was_never_scaled_has_no_balancer(platform: Platform) -> None:
    assert platform.ask() == "alone"
    assert not (platform.directory / "scale.json").exists()
    before = platform.status
    platform.runtime.scale(NAME, 1)
    assert platform.status == before


def test_each_replica_gets_its_share_and_knows_who_it_is(three: Platform) -> None:
    assert three.who() == {f"{NAME}-{number}" for number in (1, 2, 3)}
    assert (three.status.state, three.status.replicas) == ("running", 3)


def test_the_first_time_no_request_is_broken_off_while_the_port_changes_hands(platform: Platform) -> None:
    with Asking(platform) as asking, Asking(platform, "/slow") as slow:
        platform.runtime.scale(NAME, 2)
        platform.well(2)
    assert asking.failures + slow.failures == []
    away = sorted(asking.turned_away + slow.turned_away)
    assert not away or away[-1] - away[0] < 1.0
    assert platform.who() == {f"{NAME}-1", f"{NAME}-2"}


def test_up_and_down_again_lose_no_request(three: Platform) -> None:
    with Asking(three) as asking, Asking(three, "/slow") as slow:
        for count in (1, 2, 1):
            three.runtime.scale(NAME, count)
            three.well(count)
    assert asking.failures + slow.failures == []
    assert asking.turned_away + slow.turned_away == []
    assert three.who() == {f"{NAME}-1"}


def test_a_replica_that_dies_is_out_at_once_reported_and_started_again_by_up(three: Platform) -> None:
    killed = psutil.Process(three.pid(2))
    killed.kill()
    killed.wait(30)  # until it has closed its door: what it took in while it died is lost
    assert three.who() == {f"{NAME}-1", f"{NAME}-3"}
    assert (three.status.state, three.status.replicas) == ("running", 2)
    three.runtime.up()
    three.well(3)
    assert len(three.who()) == 3


def test_a_frozen_replica_gets_nothing_after_its_health_has_failed(three: Platform) -> None:
    os.kill(three.pid(1), signal.SIGSTOP)
    try:
        eventually(lambda: "is not well and gets nothing more" in three.runtime.logs(NAME))
        assert three.who() == {f"{NAME}-2", f"{NAME}-3"}
    finally:
        os.kill(three.pid(1), signal.SIGCONT)
    three.well(3)


def test_the_number_outlives_down_and_a_new_specification(three: Platform) -> None:
    three.runtime.down()
    assert three.status.state == "absent"
    three.describe(SERVER)
    three.runtime.up()
    three.well(3)
    assert len(three.who()) == 3


def test_a_balancer_that_dies_is_reported_and_started_again(three: Platform) -> None:
    os.kill(int(three.status.instance), signal.SIGKILL)
    eventually(lambda: three.status.state == "exited")
    three.runtime.up()
    three.well(3)
    assert len(three.who()) == 3


def test_pause_and_kill_and_stop_reach_every_process(three: Platform) -> None:
    processes = [psutil.Process(int(three.status.instance)), *(psutil.Process(three.pid(n)) for n in (1, 2, 3))]
    three.runtime.pause()
    assert {process.status() for process in processes} == {psutil.STATUS_STOPPED}
    assert three.status.state == "paused"
    three.runtime.unpause()
    three.well(3)
    three.runtime.kill(NAME)
    assert three.status.state == "exited"
    assert [one.pid for one in processes if one.is_running() and one.status() != psutil.STATUS_ZOMBIE] == []
    three.runtime.up()
    three.well(3)
    again = [psutil.Process(three.pid(n)) for n in (1, 2, 3)]
    three.runtime.stop()
    assert [one.pid for one in again if one.is_running() and one.status() != psutil.STATUS_ZOMBIE] == []


@pytest.mark.parametrize("verb", ["restart", "recreate"])
def test_all_of_them_are_replaced(three: Platform, verb: str) -> None:
    before = {three.status.instance, *(str(three.pid(n)) for n in (1, 2, 3))}
    getattr(three.runtime, verb)(NAME)
    three.well(3)
    assert not before & {three.status.instance, *(str(three.pid(n)) for n in (1, 2, 3))}
    assert len(three.who()) == 3


def test_replicas_that_are_never_well_leave_the_service_as_it_was(platform: Platform) -> None:
    before = platform.status
    platform.describe(BROKEN)
    with (
        Asking(platform) as asking,
        pytest.raises(ServiceError, match=r"no replica of archon-search is left[\s\S]*broken"),
    ):
        platform.runtime.scale(NAME, 2)
    assert (asking.failures, asking.turned_away) == ([], [])
    assert platform.status == before
    assert platform.runtime.replicas(NAME).wanted == 1
    assert [p for p in psutil.process_iter(["cmdline"]) if str(platform.directory) in (p.info["cmdline"] or [])] == []


def test_who_was_killed_while_he_scaled_for_the_first_time_is_cleared_away_by_the_next_start(
    platform: Platform,
) -> None:
    only = int(platform.status.instance)
    (platform.directory / "scale.json").write_text('{"replicas": 2}')
    assert platform.status.state == "running"
    platform.runtime.up()
    platform.well(2)
    assert not psutil.pid_exists(only) or psutil.Process(only).status() == psutil.STATUS_ZOMBIE
    assert platform.who() == {f"{NAME}-1", f"{NAME}-2"}


def test_a_stopped_service_only_remembers_its_number(platform: Platform) -> None:
    platform.runtime.stop()
    platform.runtime.scale(NAME, 2)
    assert platform.status.state == "exited"
    platform.runtime.up()
    platform.well(2)


def test_what_cannot_run_twice_is_refused(platform: Platform) -> None:
    write_spec(platform.home / "services" / "memgraph", ProcessSpec(command=["true"], cwd=platform.home))
    with pytest.raises(ServiceError, match="memgraph cannot run more than once"):
        platform.runtime.scale("memgraph", 2)
    with pytest.raises(ConfigurationError, match="0 times"):
        platform.runtime.scale(NAME, 0)
    assert "not scaled" in platform.runtime.replicas("memgraph").fixed


@pytest.mark.skipif(sys.platform != "linux", reason="limits are enforced only on Linux")
def test_every_replica_is_held_to_the_limits_from_its_next_start_on(three: Platform) -> None:
    limits = Resources(1.0, 2**30)
    three.runtime.limit(NAME, limits)
    assert three.runtime.limits(NAME) == limits
    three.runtime.recreate(NAME)
    three.well(3)
    for number in (1, 2, 3):
        process = psutil.Process(three.pid(number))
        assert len(process.cpu_affinity()) == 1  # type: ignore[arg-type]
        assert process.rlimit(psutil.RLIMIT_DATA) == (2**30, 2**30)
    three.runtime.limit(NAME, None)
    three.runtime.recreate(NAME)
    three.well(3)
    assert psutil.Process(three.pid(1)).rlimit(psutil.RLIMIT_DATA)[0] != 2**30
