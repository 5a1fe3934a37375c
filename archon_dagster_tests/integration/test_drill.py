"""The recovery drill at small scale: `archon up`, failures of different kinds, nobody touching anything."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from archon_dagster_tests.processes import processes_under

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(900)]

REPOSITORY = Path(__file__).parents[2]
KINDS = {"kill-archon-frontend": "single_service", "dropped-database": "store_lost", "worker-killed": "store_corrupt"}


def drill(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The drill as it is typed; how fast this machine is today is not what is tested."""
    return subprocess.run(
        [sys.executable, "-m", "drills", *arguments, "--interval", "2", "--home", str(home)],
        cwd=REPOSITORY, env=dict(os.environ), capture_output=True, text=True, timeout=840, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    "failures", [["dropped-database"], pytest.param(["kill-archon-frontend", "worker-killed"], marks=pytest.mark.long)]
)
def test_failures_are_detected_told_once_and_recovered_from_with_the_same_data(
    tmp_path: Path, failures: list[str]
) -> None:
    only = [word for name in failures for word in ("--only", name)]
    done = drill(tmp_path / "home", "recovery", *only)
    *_, last = done.stdout.splitlines()
    count = len(failures)
    assert last.startswith(f"DRILL recovered={count}/{count} data=identical within_objective="), done.stdout
    assert all(KINDS[name] in done.stdout for name in failures)
    assert processes_under(tmp_path / "home") == []


@pytest.mark.long
def test_random_kills_end_healthy_with_nothing_lost(tmp_path: Path) -> None:
    done = drill(tmp_path / "home", "kills", "--kills", "3", "--seed", "7")
    *_, last = done.stdout.splitlines()
    assert last == "DRILL kills=3/3 data=identical event_store=within_bound", done.stdout
    assert done.returncode == 0
