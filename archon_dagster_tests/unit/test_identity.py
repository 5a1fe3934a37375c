from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from archon_dagster.platform.runtime import identity
from archon_dagster.platform.runtime.identity import birth, lives


def test_a_process_has_one_birth() -> None:
    assert birth(os.getpid()) == birth(os.getpid()) is not None


def test_two_processes_with_one_number_have_different_births() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        mine, its = birth(os.getpid()), birth(child.pid)
        assert mine is not None
        assert its is not None
        assert not lives(child.pid, mine)
        assert lives(child.pid, its)
    finally:
        child.communicate(b"\n")
    assert not lives(child.pid, its)


def test_a_zombie_does_not_live() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.read()  # ends with the process
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert birth(child.pid) is None
    child.wait()
    child.stdout.close()


@pytest.mark.parametrize("pid", [0, -1, 2**22 + 1])
def test_no_process_has_no_birth(pid: int) -> None:
    assert birth(pid) is None


@pytest.mark.skipif(shutil.which("ps") is None, reason="no ps here: only systems that have /proc can be without it")
def test_systems_without_proc_ask_ps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "_boot", lambda: "")
    assert birth(os.getpid()) is not None
    assert birth(2**22 + 1) is None
