"""`archon health` as a command: its exit codes, and `--watch` on a terminal and into a pipe, until Ctrl-C."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any

import pytest

from archon_dagster_tests.eventually import eventually
from archon_dagster_tests.processes import processes_under
from archon_dagster_tests.small_services import SmallPlatform

COMMAND = [sys.executable, "-m", "archon_dagster.cli", "health"]
BRIDGE, AGENTS = "archon-bridge", "archon-agents"  # the platform is down without the first, and not without the second
FAST = {"ARCHON_HEALTH_INTERVAL": "1", "ARCHON_HEALTH_REPROBE": "0.1"}
LIMIT = 60  # seconds for a change to be shown, and for the command to end
# begins the command with its standard input as the controlling terminal, so that Ctrl-C there is a signal
ON_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
)
HIDE, SHOW, CTRL_C = "\x1b[?25l", "\x1b[?25h", b"\x03"


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[SmallPlatform]:
    platform = SmallPlatform(tmp_path / "home", [BRIDGE, AGENTS])
    platform.runtime.up()
    eventually(lambda: look(platform)[0] == 0, LIMIT)
    yield platform
    platform.runtime.down()


def environment(platform: SmallPlatform) -> dict[str, str]:
    return {**os.environ, **platform.environment, **FAST}


def look(platform: SmallPlatform) -> tuple[int, dict[str, Any]]:
    """Exit code and answer of one look."""
    done = subprocess.run(
        [*COMMAND, "--json"], env=environment(platform), capture_output=True, text=True, timeout=LIMIT, check=False
    )
    assert "Traceback" not in done.stderr
    return done.returncode, json.loads(done.stdout)


def states(found: dict[str, Any]) -> dict[str, str]:
    return {name: service["state"] for name, service in found["services"].items()}


def test_a_service_that_works_in_part_is_exit_code_1(platform: SmallPlatform) -> None:
    platform.tell(BRIDGE, "degraded")
    code, found = look(platform)
    assert (code, found["exit_code"], found["platform"]) == (1, 1, "degraded")
    assert states(found) == {BRIDGE: "degraded", AGENTS: "healthy"}


def test_a_dead_service_the_platform_can_do_without_is_exit_code_1(platform: SmallPlatform) -> None:
    platform.runtime.kill(AGENTS)
    code, found = look(platform)
    assert (code, found["platform"]) == (1, "degraded")
    assert states(found) == {BRIDGE: "healthy", AGENTS: "unhealthy"}


def test_a_dead_service_the_platform_needs_is_exit_code_2_until_it_is_back(platform: SmallPlatform) -> None:
    platform.runtime.kill(BRIDGE)
    code, found = look(platform)
    assert (code, found["exit_code"], found["platform"]) == (2, 2, "down")
    assert states(found)[BRIDGE] == "unhealthy"
    platform.runtime.up(BRIDGE)
    eventually(lambda: look(platform)[0] == 0, LIMIT)


class Heard:
    """What a command writes, as it comes."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self._bytes = stream, bytearray()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        try:
            while part := os.read(self._stream.fileno(), 65536):
                self._bytes += part
        except OSError as error:  # what a terminal says when nobody has it open any more
            self._bytes += b"" if error.errno == 5 else str(error).encode()

    @property
    def text(self) -> str:
        return bytes(self._bytes).decode(errors="replace")

    def says(self, words: str, after: int) -> bool:
        """Whether it has written these words after so many characters."""
        return words in plain(self.text[after:])

    def end(self) -> str:
        self._reader.join(LIMIT)
        assert not self._reader.is_alive(), "somebody still has its output open"
        return self.text


@contextmanager
def ended(command: subprocess.Popen[bytes]) -> Iterator[None]:
    """Whatever a test finds, its command does not outlive it."""
    try:
        yield
    finally:
        if command.poll() is None:
            command.kill()
        command.wait(LIMIT)


def test_on_a_terminal_it_shows_a_change_and_ctrl_c_leaves_the_terminal_as_it_was(platform: SmallPlatform) -> None:
    ours, theirs = os.openpty()
    with os.fdopen(ours, "r+b", buffering=0) as screen, os.fdopen(theirs, "r+b", buffering=0) as terminal:
        before = termios.tcgetattr(terminal)
        watch = subprocess.Popen(
            [sys.executable, "-c", ON_TERMINAL, *COMMAND, "--watch"],
            env={**environment(platform), "TERM": "xterm-256color", "COLUMNS": "120", "LINES": "40"},
            stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True,
        )  # fmt: skip
        with ended(watch):
            heard = Heard(screen)
            for told, verdict in (("healthy", "healthy"), ("degraded", "degraded"), ("healthy", "healthy")):
                already = len(heard.text)
                platform.tell(BRIDGE, told)
                eventually(partial(heard.says, f"platform: {verdict}", already), LIMIT)
            screen.write(CTRL_C)
            assert watch.wait(LIMIT) == 130, heard.text
        after = termios.tcgetattr(terminal)
        terminal.close()
        said = heard.end()
    assert after == before
    assert said.rindex(SHOW) > said.rindex(HIDE), "the cursor is still hidden"
    assert plain(said).endswith("\r\ninterrupted\r\n") and said.endswith("\n"), said[-200:]
    assert "[?1049h" not in said and "Traceback" not in said
    assert [one for one in processes_under(platform.home) if "health" in one] == []


def plain(text: str) -> str:
    """Without colours and movements of the cursor."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_into_a_pipe_it_writes_whole_documents_until_it_is_stopped(
    platform: SmallPlatform, number: signal.Signals
) -> None:
    watch = subprocess.Popen(
        [*COMMAND, "--watch", "--json"],
        env=environment(platform), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert watch.stdout is not None and watch.stderr is not None
    with ended(watch), watch.stdout, watch.stderr:
        heard, complaints = Heard(watch.stdout), Heard(watch.stderr)
        eventually(lambda: seen(heard.text)[-1:] == ["healthy"], LIMIT)
        platform.runtime.kill(BRIDGE)
        eventually(lambda: seen(heard.text)[-1:] == ["down"], LIMIT)
        platform.runtime.up(BRIDGE)
        eventually(lambda: seen(heard.text)[-1:] == ["healthy"], LIMIT)
        watch.send_signal(number)
        assert watch.wait(LIMIT) == 130
        assert complaints.end() == "interrupted\n"
        assert heard.end().endswith("}\n")


def seen(text: str) -> list[str]:
    """The platform's state in each whole document."""
    found, at, decoder = list[str](), 0, json.JSONDecoder()
    while (at := text.find("{", at)) >= 0:
        try:
            document, at = decoder.raw_decode(text, at)
        except json.JSONDecodeError:  # the last one is being written
            return found
        found.append(document["platform"])
    return found
