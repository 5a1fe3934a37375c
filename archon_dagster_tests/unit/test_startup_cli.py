"""`archon start` and `archon cold-start`: what is printed, and the exit codes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from archon_dagster.platform.services import BY_NAME
from archon_dagster_tests.small_services import SmallPlatform


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[SmallPlatform]:
    platform = SmallPlatform(tmp_path, ["archon-bridge", "archon-frontend"])
    yield platform
    platform.runtime.down()


def archon(platform: SmallPlatform, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    """The command on this platform, whose settings it reads from the environment as anybody's."""
    command = [sys.executable, "-m", "archon_dagster.cli", *words]
    environment = {**os.environ, **platform.environment, **more}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, check=False)


def test_a_start_and_a_second_one(platform: SmallPlatform) -> None:
    first = archon(platform, "start", "--direct")
    assert first.returncode == 0, first.stderr
    assert "the platform is up" in first.stdout
    assert f"Frontend: http://127.0.0.1:{platform.settings.frontend_port}" in first.stdout
    before = platform.instances()
    second = archon(platform, "start", "--direct", "--json")
    said = json.loads(second.stdout)
    assert (said["good"], said["untouched"]) == (True, True)
    assert platform.instances() == before


def test_a_service_that_does_not_come_up_is_exit_code_6_with_its_log(platform: SmallPlatform) -> None:
    platform.tell("archon-bridge", "crash")
    done = archon(platform, "start", "--direct")
    assert done.returncode == 6
    assert "archon-bridge is not ready" in done.stderr
    assert "disk on fire" in done.stderr


def test_a_service_it_can_do_without_is_named_and_no_failure(platform: SmallPlatform) -> None:
    platform.tell("archon-frontend", "crash")
    done = archon(platform, "start", "--direct")
    assert done.returncode == 0, done.stderr
    assert "the platform is up, without archon-frontend" in done.stdout
    assert "disk on fire" in done.stdout


def test_patience_can_be_set(platform: SmallPlatform) -> None:
    platform.tell("archon-bridge", "degraded")
    done = archon(platform, "start", "archon-bridge", "--direct", ARCHON_START_PATIENCE="0.05")
    assert done.returncode == 6
    spent = re.search(r"is not ready after ([\d.]+) s", done.stderr)
    assert spent
    assert float(spent[1]) < BY_NAME["archon-bridge"].start_budget / 2


@pytest.mark.parametrize("way", [("--direct",), ()], ids=["direct", "through Dagster"])
def test_an_unconfirmed_cold_start_is_exit_code_2_and_touches_nothing(
    platform: SmallPlatform, way: tuple[str, ...]
) -> None:
    platform.runtime.up()
    before = platform.instances()
    done = archon(platform, "cold-start", *way)
    assert done.returncode == 2
    assert "archon cold-start --confirm COLD-START" in done.stderr
    assert platform.instances() == before


def test_where_there_is_no_platform_it_says_what_starts_one(platform: SmallPlatform, tmp_path: Path) -> None:
    done = archon(platform, "start", "--direct", ARCHON_HOME=str(tmp_path / "empty"))
    assert done.returncode == 6
    assert "archon sandbox up" in done.stderr
