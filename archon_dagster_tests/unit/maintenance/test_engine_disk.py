"""The disk that Docker's data are on, as an engine names it; its own where the home is on another one."""

from __future__ import annotations

import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from archon_dagster.platform import disks
from archon_dagster.platform.runtime.compose_engine import CALL_LIMIT
from archon_dagster.platform.settings import Settings, load_settings
from archon_dagster_tests.unit.maintenance.engine_double import serving


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(ARCHON_HOME=tmp_path, ARCHON_RUNTIME="compose", ARCHON_PROJECT_DIR=tmp_path)


@pytest.fixture
def other_disk(tmp_path: Path) -> Iterator[Path]:
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system here that anybody may write to (/dev/shm)")
    with tempfile.TemporaryDirectory(dir=memory, prefix="archon-test-") as folder:
        yield Path(folder)


def keeps_its_data_in(folder: Path) -> Callable[..., tuple[int, Any]]:
    def answer(method: str, path: str, query: dict[str, list[str]]) -> tuple[int, Any]:
        return 200, {"DockerRootDir": str(folder)} if path.endswith("/info") else {"ApiVersion": "1.44"}

    return answer


def named(settings: Settings) -> list[str]:
    return [one.disk for one in disks.look(settings, lambda: 1.0)]


def test_the_disk_of_the_stores_is_looked_at(
    settings: Settings, other_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(keeps_its_data_in(other_disk)) as url:
        monkeypatch.setenv("DOCKER_HOST", url)
        assert named(settings) == [str(settings.home), str(other_disk)]
        processes = settings.model_copy(update={"runtime": "processes"})
        assert named(processes) == [str(settings.home)]


def test_one_that_everything_is_on_is_named_once_and_as_before(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "docker").mkdir()
    with serving(keeps_its_data_in(tmp_path / "docker")) as url:
        monkeypatch.setenv("DOCKER_HOST", url)
        assert named(settings) == [str(settings.home)]


def test_a_directory_of_another_machine_is_not_looked_for_here(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(keeps_its_data_in(tmp_path / "not-here")) as url:
        monkeypatch.setenv("DOCKER_HOST", url)
        assert named(settings) == [str(settings.home)]


def test_an_engine_that_says_nothing_keeps_nobody_waiting(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disks, "ENGINE_LIMIT", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{silent.getsockname()[1]}")
        begin = time.monotonic()
        assert named(settings) == [str(settings.home)]
        assert time.monotonic() - begin < CALL_LIMIT / 3  # the client itself would wait for so long
    assert named(settings) == [str(settings.home)]  # nobody listens there any more
