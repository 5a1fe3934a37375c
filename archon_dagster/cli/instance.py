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

from filelock import FileLock, Timeout

from archon_dagster.errors import ArchonError, ConfigurationError
from archon_dagster.platform.settings import Settings

if TYPE_CHECKING:
    from dagster import DagsterInstance

PREPARE_LIMIT = 120.0  # seconds another process may be at it


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
    with _alone(home):
        if not (home / "dagster.yaml").exists():
            shutil.copyfile(instance_configuration(), home / "dagster.yaml")
        made_for = home / ".prepared"
        before = made_for.read_text() if made_for.exists() else ""
        if before != version("dagster"):
            _migrate(settings, before)
            made_for.write_text(version("dagster"))
    return home


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    try:
        with FileLock(home / ".prepare.lock", timeout=PREPARE_LIMIT):
            yield
    except Timeout as error:
        raise ArchonError(
            "another process has been preparing Dagster's own records for too long",
            where=str(home),
            tried=f"waiting for {PREPARE_LIMIT:g} s",
            todo=f"see what holds {error.lock_file} (fuser or lsof), end it, and do this again",
        ) from error


def _migrate(settings: Settings, before: str) -> None:
    """Bring the storage to this Dagster's schema and set the pool; what that prints is of no use to anybody.

    :param before: the version that had prepared it last, for people; empty: none that is known.
    """
    from alembic.util import CommandError
    from dagster import DagsterError
    from sqlalchemy.exc import SQLAlchemyError

    nowhere = io.StringIO()
    try:
        with redirect_stdout(nowhere), redirect_stderr(nowhere), open_instance(settings) as instance:
            instance.upgrade()
            instance.event_log_storage.set_concurrency_slots("platform", 1)
    except (CommandError, SQLAlchemyError, DagsterError, OSError) as error:
        raise _not_migrated(settings.dagster_home, before, error) from error


def _not_migrated(home: Path, before: str, error: Exception) -> ArchonError:
    last = f" (last used with Dagster {before})" if before else ""
    return ArchonError(
        f"Dagster's own records{last} cannot be brought to the schema of Dagster {version('dagster')}",
        where=str(home),
        tried=f"{type(error).__name__}: {str(error).partition(chr(10))[0]}",
        todo=f"go back to the Dagster that wrote them, or move {home} aside: a new one is made, and what the UI knows "
        "of earlier runs stays in the old one. Backups are not in it, and --direct works without Dagster",
    )


@contextmanager
def open_instance(settings: Settings) -> Iterator[DagsterInstance]:
    """The instance, open."""
    import dagster as dg

    os.environ["DAGSTER_HOME"] = str(settings.dagster_home)
    with dg.DagsterInstance.get() as instance:
        yield instance
