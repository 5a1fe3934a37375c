"""`archon up` as an operator runs it: what dies is noticed, what was running before goes on."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import psutil
import pytest

from archon_dagster.platform import automation
from archon_dagster.sandbox import lifecycle
from archon_dagster_tests.eventually import eventually
from archon_dagster_tests.processes import processes_under

pytestmark = [pytest.mark.sandbox, pytest.mark.long, pytest.mark.timeout(300)]

ARCHON = [sys.executable, "-u", "-m", "archon_dagster.cli"]


@dataclass
class Up:
    """A running ``archon up`` and what it has said."""

    home: Path
    log: Path
    process: subprocess.Popen[bytes]
    url: str = ""

    def said(self, text: str, times: int = 1) -> bool:
        return self.log.read_text().count(text) >= times

    def archon(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command typed in another shell."""
        environment = {**os.environ, "ARCHON_HOME": str(self.home)}
        return subprocess.run(
            [*ARCHON, *words], env=environment, capture_output=True, text=True, timeout=200, check=False
        )

    def program(self, module: str) -> psutil.Process:
        """One of Dagster's programs, not its tether."""

        def find() -> psutil.Process | None:
            for tether in psutil.Process(self.process.pid).children():
                for child in tether.children():
                    if module in child.cmdline():
                        return child
            return None

        found = eventually(find, 60)
        assert found is not None
        return found


@contextmanager
def running_up(home: Path, *options: str, port: int = 0) -> Iterator[Up]:
    home.mkdir(exist_ok=True)
    # what is broken here on purpose must stay so: a recovery would go first, and cancel the backup that is looked at
    automation.pause(home, timedelta(hours=1), "servers are frozen and killed on purpose", datetime.now(UTC))
    log = home.parent / f"{home.name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*ARCHON, "up", "--port", str(port), "--no-seed", *options],
            stdout=output, stderr=output, env={**os.environ, "ARCHON_HOME": str(home)},
        )  # fmt: skip
    up = Up(home, log, process)
    try:
        eventually(lambda: process.poll() is not None or up.said("Ctrl-C stops all of it"), 180)
        ready = re.search(r"^ready\s+(\S+)", log.read_text(), re.MULTILINE)
        assert ready is not None, log.read_text()
        up.url = ready[1]
        yield up
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(120)


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with running_up(tmp_path_factory.mktemp("up") / "home") as made:
        yield made


@dataclass
class Command:
    """A command that is still at work, and what it has said on standard error."""

    process: subprocess.Popen[bytes]
    errors: Path

    def said(self, text: str) -> bool:
        return text in self.errors.read_text()


@contextmanager
def begun(up: Up, tmp_path: Path, *words: str) -> Iterator[Command]:
    """A command whose run has been launched, and whose vector server is frozen so that it cannot end yet."""
    runtime = lifecycle.up(up.home).runtime
    runtime.pause("qdrant")
    errors = tmp_path / "errors"
    environment = {**os.environ, "ARCHON_HOME": str(up.home)}
    try:
        with errors.open("wb") as output, (tmp_path / "answer").open("wb") as answer:
            process = subprocess.Popen([*ARCHON, *words], env=environment, stdout=answer, stderr=output)
        command = Command(process, errors)
        eventually(lambda: command.said(f"run {up.url}/runs/"), 60)
        yield command
    finally:
        if any(one.service == "qdrant" and one.state == "paused" for one in runtime.status()):
            runtime.unpause("qdrant")
        process.wait(200)


def test_a_backup_goes_on_and_is_followed_when_its_webserver_is_killed(up: Up, tmp_path: Path) -> None:
    with begun(up, tmp_path, "backup", "--note", "beside a crash") as command:
        up.program("dagster_webserver").kill()
        eventually(lambda: command.said("the run goes on in its own process"), 90)
    assert command.process.returncode == 0, command.errors.read_text()
    assert command.said("✓ seal")
    assert "beside a crash" in up.archon("backups", "show", "latest", "--json").stdout
    eventually(lambda: up.said("the webserver works again"), 90)
    assert httpx.get(f"{up.url}/server_info", timeout=10).status_code == 200


def test_the_killed_webserver_is_told_and_the_run_still_decides_the_exit_code(up: Up, tmp_path: Path) -> None:
    before = up.log.read_text().count("the webserver works again")
    with begun(up, tmp_path, "backup", "--note", "to fail") as command:
        up.program("dagster_webserver").kill()
        eventually(lambda: command.said("the run goes on in its own process"), 90)
        lifecycle.kill(up.home, "qdrant")
        code = command.process.wait(200)
    said = command.errors.read_text()
    lifecycle.up(up.home)
    assert code == 6, said
    assert "Traceback" not in said
    eventually(lambda: up.said("the webserver works again", before + 1), 90)


def test_a_run_without_its_webserver_is_stopped_by_an_interrupt(up: Up, tmp_path: Path) -> None:
    before = up.log.read_text().count("the webserver works again")
    with begun(up, tmp_path, "backup") as command:
        server = up.program("dagster_webserver")
        os.kill(server.pid, signal.SIGKILL)
        eventually(lambda: command.said("the run goes on in its own process"), 90)
        command.process.send_signal(signal.SIGINT)
        code = command.process.wait(200)
    assert code == 130, command.errors.read_text()
    assert command.said("stopped on request")
    eventually(lambda: up.said("the webserver works again", before + 1), 90)


def test_a_second_up_on_the_same_home_is_refused(up: Up) -> None:
    second = up.archon("up", "--port", "0")
    assert second.returncode == 2
    assert "already" in second.stderr
    assert up.process.poll() is None


def test_a_home_in_use_is_refused_also_while_its_webserver_is_away(up: Up) -> None:
    noted = up.home / "webserver.json"
    kept = noted.read_text()
    noted.unlink()
    try:
        second = up.archon("up", "--port", "0")
    finally:
        noted.write_text(kept)
    assert second.returncode == 2
    assert "another `archon up`" in second.stderr


def test_a_killed_daemon_is_started_again(up: Up) -> None:
    first = up.program("dagster._daemon")
    first.kill()
    eventually(lambda: up.said("the daemon works again"), 60)
    assert up.program("dagster._daemon").pid != first.pid
    assert up.said("the daemon has ended: killed by SIGKILL")


def test_a_webserver_that_keeps_dying_is_given_up_and_everything_is_stopped(tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as other,
        running_up(tmp_path / "home", "--no-platform", port=(taken := other.getsockname()[1])) as up,
    ):
        assert up.said(f"port {taken} is taken: using ") and not up.url.endswith(f":{taken}")
        for restart in range(1, 4):
            up.program("dagster_webserver").kill()
            eventually(lambda restart=restart: up.said("the webserver works again", restart), 90)  # type: ignore[misc]
        up.program("dagster_webserver").kill()
        assert up.process.wait(120) == 6
    assert up.said("error: the webserver has ended: killed by SIGKILL")
    assert up.said("last log lines of the webserver")
    assert processes_under(up.home) == []  # also the code servers, which a killed webserver leaves behind


def test_a_sandbox_that_was_running_before_goes_on_afterwards(tmp_path: Path) -> None:
    home = tmp_path / "home"
    try:
        sandbox = lifecycle.up(home)
        before = sandbox.runtime.status()
        with running_up(home) as up:
            assert up.said("it was running before")
        assert up.process.returncode == 0
        assert up.said("the embedded platform goes on")
        assert sandbox.runtime.status() == before
    finally:
        lifecycle.down(home)


def test_a_sandbox_that_up_has_started_stops_with_it(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with running_up(home) as up:
        joined = up.archon("sandbox", "up")
        assert f"belongs to process {up.process.pid}" in joined.stdout
    assert processes_under(home) == []
