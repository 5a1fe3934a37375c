"""Dagster's own instance, as `archon up` and every job find it: made, migrated from an older schema, or refused."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.event_log.sqlite import sqlite_event_log as events
from dagster._core.storage.runs.sqlite import sqlite_run_storage as runs
from dagster._core.storage.schedules.sqlite import sqlite_schedule_storage as schedules
from dagster._core.storage.sql import create_engine, get_alembic_config, run_alembic_downgrade
from filelock import FileLock

from archon_dagster.cli import instance as preparing
from archon_dagster.cli.instance import open_instance, prepare
from archon_dagster.errors import ArchonError
from archon_dagster.platform.settings import Settings, load_settings

BEFORE_CONCURRENCY = "d3a4c9e87af3"  # Dagster 1.3: no pools, no asset checks


@dg.op
def work() -> None: ...


@dg.job(executor_def=dg.in_process_executor)
def earlier() -> None:
    work()


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    """Of a home whose instance is ready, and has seen one run."""
    settings = load_settings(ARCHON_HOME=tmp_path)
    prepare(settings)
    with open_instance(settings) as instance:
        assert earlier.execute_in_process(instance=instance).success
    yield settings


def make_older(settings: Settings) -> None:
    """What an older Dagster would have left: its schema in each of the databases, its version in the note."""
    history = settings.dagster_home / "history"
    places = {
        runs.__file__: history / "runs.db",
        events.__file__: history / "runs" / "index.db",
        schedules.__file__: settings.dagster_home / "schedules" / "schedules.db",
    }
    for module, file in places.items():
        assert file.is_file()
        with create_engine(f"sqlite:///{file}").begin() as connection:
            run_alembic_downgrade(get_alembic_config(module), connection, BEFORE_CONCURRENCY, "index")
    note(settings).write_text("1.3.0")


def note(settings: Settings) -> Path:
    return settings.dagster_home / ".prepared"


def tables(settings: Settings) -> set[str]:
    with closing(sqlite3.connect(settings.dagster_home / "history" / "runs" / "index.db")) as database:
        return {name for (name,) in database.execute("select name from sqlite_master where type = 'table'")}


def test_an_instance_of_an_older_dagster_is_migrated_and_keeps_what_it_knew(settings: Settings) -> None:
    make_older(settings)
    assert {"concurrency_limits", "asset_check_executions"}.isdisjoint(tables(settings))
    prepare(settings)
    assert {"concurrency_limits", "asset_check_executions"} <= tables(settings)
    with open_instance(settings) as instance:
        for storage in (instance.run_storage, instance.event_log_storage, instance.schedule_storage):
            found, head = storage.alembic_version()  # type: ignore[union-attr,misc]
            assert found == head
        (run,) = instance.get_runs()
        assert (run.job_name, run.status) == ("earlier", dg.DagsterRunStatus.SUCCESS)
        assert len(instance.all_logs(run.run_id)) > 0
        assert instance.event_log_storage.get_concurrency_info("platform").slot_count == 1
        assert earlier.execute_in_process(instance=instance).success
    assert note(settings).read_text() == dg.__version__


def make_newer(settings: Settings) -> None:
    """A database of a Dagster that is still to come."""
    with closing(sqlite3.connect(settings.dagster_home / "history" / "runs.db")) as database, database:
        database.execute("update alembic_version set version_num = 'ffffffffffff'")


def damage(settings: Settings) -> None:
    (settings.dagster_home / "history" / "runs.db").write_bytes(b"no database at all" * 1000)


@pytest.mark.parametrize(("harm", "why"), [(make_newer, "ffffffffffff"), (damage, "not a database")])
def test_what_cannot_be_migrated_is_exit_code_1_and_says_what_to_do(settings: Settings, harm: object, why: str) -> None:
    assert callable(harm)
    harm(settings)
    note(settings).write_text("1.99.0")
    done = subprocess.run(
        [sys.executable, "-m", "archon_dagster.cli", "up", "--no-platform", "--port", "0"],
        env={**os.environ, "ARCHON_HOME": str(settings.home)},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    said = " ".join(done.stderr.split())
    for words in (
        "last used with Dagster 1.99.0", f"schema of Dagster {dg.__version__}", str(settings.dagster_home), why,
        "what to do", "move", "aside", "--direct",
    ):  # fmt: skip
        assert words in said, done.stderr
    assert "Traceback" not in done.stderr
    assert note(settings).read_text() == "1.99.0", "it will be tried again"


def test_a_failed_migration_is_over_when_the_old_instance_is_moved_aside(settings: Settings, tmp_path: Path) -> None:
    make_newer(settings)
    note(settings).write_text("1.99.0")
    with pytest.raises(ArchonError, match="cannot be brought to the schema"):
        prepare(settings)
    settings.dagster_home.rename(tmp_path / "aside")
    prepare(settings)
    with open_instance(settings) as instance:
        assert instance.get_runs() == []
        assert instance.event_log_storage.get_concurrency_info("platform").slot_count == 1


def test_another_that_prepares_for_too_long_is_named(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparing, "PREPARE_LIMIT", 0.2)
    lock = settings.dagster_home / ".prepare.lock"
    with FileLock(lock), pytest.raises(ArchonError, match="another process") as caught:
        prepare(settings)
    assert str(lock) in str(caught.value)
