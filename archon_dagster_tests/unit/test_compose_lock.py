"""The lock of a compose project outlives a caller that is killed, as long as the command it has started runs."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from archon_dagster.errors import ServiceError
from archon_dagster.platform.runtime.compose_lock import held
from archon_dagster_tests.eventually import eventually

KILLED = """\
import os, signal, subprocess, sys
from pathlib import Path
from archon_dagster.platform.runtime.compose_lock import held
with held(Path(sys.argv[1]), 5.0, "a test") as lock:
    child = subprocess.Popen(["sleep", "600"], pass_fds=(lock,), stdout=subprocess.DEVNULL)
    print(child.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_one_at_a_time_and_the_other_is_told_what_it_waited_for(tmp_path: Path) -> None:
    file = tmp_path / "locks" / "compose.lock"
    with (
        held(file, 1.0, "compose"),
        pytest.raises(ServiceError, match="working on compose"),
        held(file, 0.1, "compose"),
    ):
        pass
    with held(file, 0.1, "compose"):
        pass


def test_the_child_of_a_killed_holder_holds_it_until_it_ends(tmp_path: Path) -> None:
    file = tmp_path / "compose.lock"
    command = [sys.executable, "-c", KILLED, str(file)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=30, check=False)
    assert done.returncode == -signal.SIGKILL
    child = psutil.Process(int(done.stdout))
    try:
        with pytest.raises(ServiceError), held(file, 0.2, "compose"):
            pass
    finally:
        child.kill()

    def free() -> bool:
        with held(file, 0.0, "compose"):
            return True

    eventually(lambda: not child.is_running())
    assert free()
