"""A small platform with a good ``.env``, and the same with the chapter in Dagster."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from archon_dagster_tests.unit.configuration.platform import EnvPlatform
from archon_dagster_tests.unit.configuration.sample import OLD
from archon_dagster_tests.unit.configuration.shell import Shell


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[EnvPlatform]:
    platform = EnvPlatform(tmp_path / "home", OLD)
    platform.start()
    yield platform
    platform.runtime.down()


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    with dg.instance_for_test() as instance:
        shell = Shell(tmp_path / "home", instance)
        yield shell
        shell.platform.runtime.down()
