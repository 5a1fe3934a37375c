"""`archon demo` stops everything it started, however it ends. (That it ends well is what `make demo` in CI shows.)"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from archon_dagster_tests.eventually import eventually
from archon_dagster_tests.processes import processes_under

pytestmark = [pytest.mark.sandbox, pytest.mark.long, pytest.mark.timeout(300)]


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
    tmp_path: Path, chapter: str, number: signal.Signals, codes: set[int]
) -> None:
    log = tmp_path / "demo.log"
    home = tmp_path / "home"
    with log.open("w") as output:
        demo = subprocess.Popen(
            [sys.executable, "-u", "-X", "faulthandler", "-m", "archon_dagster.cli", "demo"],
            stdout=output,
            stderr=output,
            env={**os.environ, "ARCHON_HOME": str(home)},
        )
    eventually(lambda: chapter in log.read_text(), 150)
    demo.send_signal(number)
    assert _end_of(demo) in codes, log.read_text()
    eventually(lambda: processes_under(home) == [], 60)
    assert "Traceback" not in log.read_text()
    assert number == signal.SIGKILL or not (home / "demo").exists()


def _end_of(demo: subprocess.Popen[bytes]) -> int:
    """Its exit code; one that does not end has to say where it hangs (in its log) and ends with SIGABRT."""
    try:
        return demo.wait(150)
    except subprocess.TimeoutExpired:
        demo.send_signal(signal.SIGABRT)
        return demo.wait(10)
