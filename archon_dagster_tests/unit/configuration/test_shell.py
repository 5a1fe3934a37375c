"""The jobs and the sensor of the chapter in real runs, on small services."""

from __future__ import annotations

import json
from typing import Any

import dagster as dg
import pytest

from archon_dagster.resources import PLATFORM_POOL
from archon_dagster_tests.unit.configuration.sample import BAD, OLD, with_
from archon_dagster_tests.unit.configuration.shell import Shell


def file(shell: Shell, content: bytes) -> str:
    path = shell.platform.env_file.with_name("next.env")
    path.write_bytes(content)
    return path.name  # relative to the project directory


def failure(result: dg.ExecuteInProcessResult) -> Any:
    (failed,) = [event for event in result.all_events if event.is_step_failure]
    return failed.step_failure_data.user_failure_data


def test_a_validation_shows_every_problem_and_no_value(shell: Shell) -> None:
    result = shell.run("validate_configuration", "look_at_file", path=file(shell, with_("BATCH_SIZE=x", "LOG_LEVEL=y")))
    assert not result.success
    told = failure(result)
    assert told.metadata["kind"].value == "ConfigurationError"
    assert told.metadata["errors"].value == 2
    assert {row.data["variable"] for row in told.metadata["problems"].records} == {"BATCH_SIZE", "LOG_LEVEL"}


def test_warnings_do_not_fail_a_validation(shell: Shell) -> None:
    assert shell.run("validate_configuration", "look_at_file", path=file(shell, with_("SOMETHING=x"))).success


def test_an_update_is_shown_as_a_change(shell: Shell) -> None:
    shell.platform.start()
    secret = "SERVICE_AUTH_TOKEN=hush-hush-hush-hush-hush"
    result = shell.run("update_configuration", "apply_file", path=file(shell, with_("BATCH_SIZE=10", secret)),
                       confirm="APPLY", offline=True)  # fmt: skip
    assert result.success
    assert shell.platform.reads("BATCH_SIZE")["archon-search"] == "10"
    (change,) = shell.changes()
    assert (change["result"], change["variables changed"]) == ("applied", 2)
    assert "BATCH_SIZE: '25' -> '10'" in change["summary"]
    entries = "\n".join(repr(entry) for entry in shell.instance.all_logs(result.run_id))
    assert "hush" not in entries + json.dumps(shell.instance.get_run_by_id(result.run_id).run_config)  # type: ignore[union-attr]
    assert shell.run("undo_configuration", "go_back", confirm="APPLY").success
    assert shell.platform.env_file.read_bytes() == OLD


def test_an_update_that_was_taken_back_is_a_change_too_and_a_failed_run(shell: Shell) -> None:
    shell.platform.start()
    result = shell.run("update_configuration", "apply_file", path=file(shell, BAD), confirm="APPLY", offline=True)
    assert not result.success
    assert "byte for byte" in failure(result).description
    assert shell.platform.env_file.read_bytes() == OLD
    assert [one["result"] for one in shell.changes()] == ["returned"]


def test_both_have_to_be_confirmed(shell: Shell) -> None:
    for job, op, config in (
        ("update_configuration", "apply_file", {"path": "x"}),
        ("undo_configuration", "go_back", {"confirm": "yes"}),
    ):
        with pytest.raises(dg.DagsterInvalidConfigError):
            shell.run(job, op, **config)


def test_what_changes_something_keeps_out_of_the_way_of_others(shell: Shell) -> None:
    for name in ("update_configuration", "undo_configuration"):
        assert {node.definition.pool for node in shell.job(name).graph.nodes} == {PLATFORM_POOL}  # type: ignore[attr-defined]
