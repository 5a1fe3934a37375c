"""A change of the configuration is noticed, shown, and backed up until that has succeeded."""

from __future__ import annotations

import json
from pathlib import Path

import dagster as dg
import pytest

from archon_dagster.configuration.apply import ApplyRequest, apply, undo
from archon_dagster.configuration.history import History
from archon_dagster.configuration.sensors import SELDOM
from archon_dagster.definitions import defs
from archon_dagster.errors import ServiceError
from archon_dagster.repository.repository import Repository
from archon_dagster_tests.unit.configuration.sample import BAD, NEW, OLD
from archon_dagster_tests.unit.configuration.shell import Shell

BACKUP_JOB = defs.resolve_job_def("backup")


def test_a_change_by_hand_is_backed_up_once(shell: Shell) -> None:
    assert isinstance(shell.look(), dg.SkipReason)  # remembered as it is
    assert isinstance(shell.look(), dg.SkipReason)
    shell.platform.env_file.write_bytes(NEW)
    came = shell.look()
    assert isinstance(came, dg.SensorResult)
    (run,) = came.run_requests or ()
    config = run.run_config["ops"]["take_backup"]["config"]
    assert config["stores"] == ["configuration"]
    assert config["pause_writers"] is False
    assert "BATCH_SIZE: '25' -> '10'" in config["note"]
    (event,) = came.asset_events or ()
    assert event.metadata["result"].value == "seen"
    assert isinstance(shell.look(), dg.SkipReason)
    assert [one.kind for one in History(shell.platform.home).all()] == ["by hand"]


def test_the_same_content_written_again_is_no_change(shell: Shell) -> None:
    shell.look()
    shell.platform.env_file.write_bytes(OLD)
    assert isinstance(shell.look(), dg.SkipReason)


def test_changes_that_have_left_the_file_as_it_was_are_shown_all_the_same(shell: Shell, tmp_path: Path) -> None:
    shell.platform.start()
    shell.look()
    new, context = tmp_path / "new.env", shell.platform.context()
    new.write_bytes(NEW)
    apply(context, ApplyRequest(new, "APPLY", offline=True))
    undo(context, "APPLY")
    new.write_bytes(BAD)
    with pytest.raises(ServiceError):
        apply(context, ApplyRequest(new, "APPLY", offline=True))
    came = shell.look()
    assert isinstance(came, dg.SensorResult)
    assert [event.metadata["result"].value for event in came.asset_events or ()] == ["applied", "applied", "returned"]
    assert not came.run_requests  # what a backup would copy has not changed
    assert isinstance(shell.look(), dg.SkipReason)


def test_a_backup_that_did_not_succeed_is_asked_for_again(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARCHON_HOME", str(shell.platform.home))
    monkeypatch.setenv("ARCHON_RUNTIME", "processes")
    repository = Repository.open(shell.platform.settings.repository, create=True)
    shell.look()
    shell.platform.env_file.write_bytes(NEW)
    first = asked(shell)
    with repository.lock("restore"):
        assert not backed_up(shell, first)
    assert isinstance(shell.look(), dg.SkipReason)  # not at once
    later(shell)
    second = asked(shell)
    assert second.run_key != first.run_key
    assert second.run_config == first.run_config
    assert backed_up(shell, second)
    later(shell)
    assert isinstance(shell.look(), dg.SkipReason)


def test_a_backup_at_work_is_not_asked_for_again(shell: Shell) -> None:
    shell.look()
    shell.platform.env_file.write_bytes(NEW)
    run = asked(shell)
    shell.instance.create_run_for_job(BACKUP_JOB, status=dg.DagsterRunStatus.STARTED, tags=dict(run.tags))
    later(shell)
    assert isinstance(shell.look(), dg.SkipReason)


def asked(shell: Shell) -> dg.RunRequest:
    """The backup that the sensor asks for."""
    came = shell.look()
    assert isinstance(came, dg.SensorResult)
    (run,) = came.run_requests or ()
    return run


def backed_up(shell: Shell, run: dg.RunRequest) -> bool:
    return BACKUP_JOB.execute_in_process(
        instance=shell.instance, run_config=run.run_config, tags=run.tags, raise_on_error=False
    ).success


def later(shell: Shell) -> None:
    """As if the last backup had been asked for long ago."""
    cursor = json.loads(shell.cursor)
    if cursor["owed"]:
        cursor["owed"]["asked"] -= SELDOM
    shell.cursor = json.dumps(cursor)


def test_going_back_and_forth_by_hand_is_backed_up_each_time(shell: Shell) -> None:
    shell.look()
    keys = []
    for content in (NEW, OLD, NEW):
        shell.platform.env_file.write_bytes(content)
        came = shell.look()
        assert isinstance(came, dg.SensorResult)
        keys += [run.run_key for run in came.run_requests or ()]
    assert len(set(keys)) == 3


def test_a_compose_file_counts_too(shell: Shell) -> None:
    shell.look()
    (shell.platform.env_file.parent / "docker-compose.yml").write_text("services: {}\n")
    came = shell.look()
    assert isinstance(came, dg.SensorResult)
    assert len(came.run_requests or ()) == 1


def test_the_backup_the_sensor_asks_for_is_one_the_backup_job_takes(shell: Shell) -> None:
    shell.look()
    shell.platform.env_file.write_bytes(NEW)
    assert dg.validate_run_config(BACKUP_JOB, asked(shell).run_config)
