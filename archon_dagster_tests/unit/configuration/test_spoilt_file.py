"""A file that the settings refuse does not disable what mends it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from archon_dagster.configuration.sensors import configuration_changed_by_hand
from archon_dagster.configuration.watching import note_by_hand
from archon_dagster.definitions import defs
from archon_dagster.resources import Operations
from archon_dagster_tests.unit.configuration.platform import EnvPlatform
from archon_dagster_tests.unit.configuration.sample import GOOD, with_

OLD, SPOILT = GOOD.encode(), with_("POSTGRES_PORT=abc", "BATCH_SIZE=10")


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[EnvPlatform]:
    platform = EnvPlatform(tmp_path / "home", OLD)
    yield platform
    platform.runtime.down()


def environment(platform: EnvPlatform) -> dict[str, str]:
    ports = json.loads((platform.home / "ports.json").read_text())
    where = {"ARCHON_HOME": str(platform.home), "ARCHON_RUNTIME": "processes"}
    return where | {name: str(port) for name, port in ports.items()}


def archon(platform: EnvPlatform, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "archon_dagster.cli", "config", *words]
    return subprocess.run(
        command, env={**os.environ, **environment(platform)}, capture_output=True, text=True, timeout=120, check=False
    )


def test_the_command_undoes_it(platform: EnvPlatform) -> None:
    platform.start()
    note_by_hand(platform.settings)  # as the sensor remembers it at its first look
    platform.env_file.write_bytes(SPOILT)
    status = archon(platform, "status", "--json")
    assert status.returncode == 0, status.stderr
    assert "POSTGRES_PORT" in status.stderr
    assert json.loads(status.stdout)["known"] is False
    undone = archon(platform, "undo", "--confirm", "APPLY", "--direct")
    assert undone.returncode == 0, undone.stderr
    assert platform.env_file.read_bytes() == OLD
    assert platform.reads("BATCH_SIZE")["archon-search"] == "25"


def test_the_job_undoes_it(platform: EnvPlatform, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment(platform).items():
        monkeypatch.setenv(name, value)
    note_by_hand(platform.settings)
    platform.env_file.write_bytes(SPOILT)
    with dg.instance_for_test() as instance:
        done = defs.resolve_job_def("undo_configuration").execute_in_process(
            instance=instance, run_config={"ops": {"go_back": {"config": {"confirm": "APPLY"}}}}, raise_on_error=False
        )
    assert done.success
    assert platform.env_file.read_bytes() == OLD


def test_a_file_that_is_mended_by_another_one_is_applied(platform: EnvPlatform, tmp_path: Path) -> None:
    platform.env_file.write_bytes(SPOILT)
    good = tmp_path / "good.env"
    good.write_bytes(OLD)
    done = archon(platform, "apply", str(good), "--confirm", "APPLY", "--direct", "--offline")
    assert done.returncode == 0, done.stderr
    assert platform.env_file.read_bytes() == OLD


def test_the_sensor_notes_it_and_asks_for_its_backup(platform: EnvPlatform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARCHON_HOME", str(platform.home))
    cursor: str | None = None
    with dg.instance_for_test() as instance:
        for content in (OLD, SPOILT):
            platform.env_file.write_bytes(content)
            context = dg.build_sensor_context(instance=instance, cursor=cursor, resources={"operations": Operations()})
            came = configuration_changed_by_hand(context)
            cursor = context.cursor
    assert isinstance(came, dg.SensorResult)
    (run,) = came.run_requests or ()
    assert "POSTGRES_PORT" in run.run_config["ops"]["take_backup"]["config"]["note"]
