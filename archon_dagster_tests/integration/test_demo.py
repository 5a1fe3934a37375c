"""`archon demo` stops everything it started, however it ends. (That it ends well is what `make demo` in CI shows.)"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from archon_dagster.platform.runtime.open import open_runtime
from archon_dagster.platform.settings import settings_of
from archon_dagster_tests.eventually import eventually
from archon_dagster_tests.processes import processes_under, remote_ports

pytestmark = [pytest.mark.sandbox, pytest.mark.long, pytest.mark.timeout(300)]


class Demo:
    """`archon demo` in a home of its own, and what it has said so far."""

    def __init__(self, directory: Path) -> None:
        self.home, self._log = directory / "home", directory / "demo.log"
        with self._log.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-u", "-X", "faulthandler", "-m", "archon_dagster.cli", "demo"],
                stdout=output,
                stderr=output,
                env={**os.environ, "ARCHON_HOME": str(self.home)},
            )

    @property
    def said(self) -> str:
        return self._log.read_text()

    def end(self) -> int:
        """Its exit code; one that does not end has to say where it hangs (in its log) and ends with SIGABRT."""
        try:
            return self.process.wait(150)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)
            return self.process.wait(10)


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    demo = Demo(tmp_path)
    yield demo
    if demo.process.poll() is None:  # the test has failed
        demo.process.send_signal(signal.SIGINT)
        demo.end()


@pytest.mark.parametrize(
    ("chapter", "number", "codes"),
    [
        ("2  fill it", signal.SIGINT, {130}),
        ("3  back it up", signal.SIGTERM, {130}),
        ("5  bring it back", signal.SIGINT, {130}),
        ("3  back it up", signal.SIGKILL, {-signal.SIGKILL}),
    ],
)
def test_a_demo_that_is_stopped_leaves_nothing_running(
    demo: Demo, chapter: str, number: signal.Signals, codes: set[int]
) -> None:
    eventually(lambda: chapter in demo.said, 150)
    demo.process.send_signal(number)
    assert demo.end() in codes, demo.said
    eventually(lambda: processes_under(demo.home) == [], 60)
    assert "Traceback" not in demo.said
    assert number == signal.SIGKILL or not (demo.home / "demo").exists()


@pytest.mark.parametrize(
    ("chapter", "step", "code", "why"),
    [
        ("3  back it up", "ask the stores", 6, r"the job backup failed: .*graph"),
        (
            "5  bring it back",
            "safety backup",
            1,
            r"the restore failed at 'restore graph'; vectors, graph put back from safety backup \S+, identical",
        ),
    ],
    ids=["backup", "restore"],
)
def test_a_demo_whose_server_dies_midway_says_so_and_leaves_nothing_running(
    demo: Demo, chapter: str, step: str, code: int, why: str
) -> None:
    """The graph's server is frozen first, so that it is certain to die while somebody waits for it."""
    eventually(lambda: f"✓ {step}" in demo.said.partition(chapter)[2], 150)
    settings = settings_of(demo.home / "demo")
    port, runtime = urlsplit(settings.memgraph_uri).port, open_runtime(settings)
    runtime.pause("memgraph")
    eventually(lambda: port in remote_ports(demo.process.pid), 60)
    runtime.kill("memgraph")
    assert demo.end() == code, demo.said
    assert re.search(why, demo.said.replace("\n", " ")), demo.said
    assert "what to do: " in demo.said and "Traceback" not in demo.said
    assert "DEMO" not in demo.said
    eventually(lambda: processes_under(demo.home) == [])
    assert not (demo.home / "demo").exists()
