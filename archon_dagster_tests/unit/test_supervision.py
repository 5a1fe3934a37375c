"""A program that dies is started again, and given up when it keeps dying."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from archon_dagster.cli import supervision
from archon_dagster.cli.supervision import Program, keep_running
from archon_dagster.errors import ServiceError
from archon_dagster_tests.eventually import eventually

LIVES = "import sys, threading; print('I am here', flush=True); threading.Event().wait()"
DIES = "import sys; print('no disk', flush=True); sys.exit(3)"


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "PAUSE", 0.01)
    monkeypatch.setattr(supervision, "LOOK_EVERY", 0.01)


def program(folder: Path, code: str) -> Program:
    return Program("worker", folder / "worker.log", ["-c", code, str(folder)], lambda _: None)


def look_until_told(one: Program) -> list[str]:
    """Look until there was something to tell."""
    told: list[str] = []

    def look() -> list[str]:
        one.look(told.append)
        return told

    return eventually(look)


def worker(folder: Path) -> psutil.Process | None:
    """The program itself, not its tether."""
    for process in psutil.process_iter():
        try:
            command = process.cmdline()
        except psutil.Error:
            continue
        if str(folder) in command and "archon_dagster.cli.tether" not in command:
            return process
    return None


def wait_for_worker(folder: Path) -> psutil.Process:
    found = eventually(lambda: worker(folder))
    assert found is not None
    return found


def test_one_that_was_killed_is_started_again_and_its_last_words_are_told(tmp_path: Path) -> None:
    with program(tmp_path, LIVES) as one:
        eventually(lambda: "I am here" in one.log.read_text())
        first = wait_for_worker(tmp_path)
        first.kill()
        told = look_until_told(one)
        assert wait_for_worker(tmp_path).pid != first.pid
    assert "killed by SIGKILL" in told[0]
    assert "I am here" in told[0]
    assert "1 of 3" in told[0]
    eventually(lambda: worker(tmp_path) is None)


def test_one_that_keeps_dying_is_given_up_with_its_last_words(tmp_path: Path) -> None:
    told: list[str] = []
    with (
        program(tmp_path, DIES) as one,
        pytest.raises(ServiceError, match=r"exit code 3[\s\S]*3 times[\s\S]*no disk"),
    ):
        keep_running([one], told.append)
    assert sum("starting it again" in line for line in told) == supervision.RESTARTS


def test_restarts_long_ago_do_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "WINDOW", 0.0)
    told: list[str] = []

    def tell(line: str) -> None:
        told.append(line)
        if len(told) > 10:
            raise KeyboardInterrupt

    with program(tmp_path, DIES) as one, pytest.raises(KeyboardInterrupt):
        keep_running([one], tell)


def test_one_that_has_lost_its_tether_does_not_run_beside_its_successor(tmp_path: Path) -> None:
    with program(tmp_path, LIVES) as one:
        orphan = wait_for_worker(tmp_path)
        one.wait_until_ready()
        parent = orphan.parent()
        assert parent is not None
        parent.kill()
        look_until_told(one)
        eventually(lambda: not orphan.is_running() or orphan.status() == psutil.STATUS_ZOMBIE)


@pytest.fixture
def tether() -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "archon_dagster.cli.tether", sys.executable, "-c", LIVES]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"I am here\n"
        yield process


def test_a_tether_passes_on_the_signal_its_program_died_of(tether: subprocess.Popen[bytes]) -> None:
    (child,) = psutil.Process(tether.pid).children()
    child.kill()
    assert tether.wait(30) == 128 + signal.SIGKILL
    assert tether.stderr is not None
    assert tether.stderr.read() == b""


def test_a_tethered_program_ends_when_its_parent_lets_go(tether: subprocess.Popen[bytes]) -> None:
    (child,) = psutil.Process(tether.pid).children()
    assert tether.stdin is not None
    tether.stdin.close()
    tether.wait(30)
    assert not child.is_running()
