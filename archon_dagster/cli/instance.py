"""Dagster's instance: made, migrated and with its pool set before anything uses it."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from archon_dagster.errors import ConfigurationError
from archon_dagster.platform.settings import Settings

if TYPE_CHECKING:
    from dagster import DagsterInstance


def instance_configuration() -> Path:
    """The ``dagster.yaml`` that came with this package (a checkout's is at its top)."""
    for candidate in (Path(__file__).parents[2] / "dagster.yaml", Path(__file__).with_name("dagster.yaml")):
        if candidate.is_file():
            return candidate
    raise ConfigurationError("dagster.yaml is missing from the installation", todo="install the package again")


def prepare(settings: Settings) -> Path:
    """Make ``DAGSTER_HOME`` ready: configuration, storage schema, pool limit. Safe to call again and at once."""
    home = settings.dagster_home
    home.mkdir(parents=True, exist_ok=True)
    os.environ["DAGSTER_HOME"] = str(home)
    with FileLock(home / ".prepare.lock", timeout=120):
        if not (home / "dagster.yaml").exists():
            shutil.copyfile(instance_configuration(), home / "dagster.yaml")
        made_for = home / ".prepared"
        if not made_for.exists() or made_for.read_text() != version("dagster"):
            _migrate(settings)
            made_for.write_text(version("dagster"))
    return home


def _migrate(settings: Settings) -> None:
    """Bring the storage to this Dagster's schema and set the pool; what that prints is of no use to anybody."""
    nowhere = io.StringIO()
    with redirect_stdout(nowhere), redirect_stderr(nowhere), open_instance(settings) as instance:
        instance.upgrade()
        instance.event_log_storage.set_concurrency_slots("platform", 1)


@contextmanager
def open_instance(settings: Settings) -> Iterator[DagsterInstance]:
    """The instance, open."""
    import dagster as dg

    os.environ["DAGSTER_HOME"] = str(settings.dagster_home)
    with dg.DagsterInstance.get() as instance:
        yield instance
