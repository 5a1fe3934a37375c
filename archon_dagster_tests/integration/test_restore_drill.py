"""Restore drills on real servers: a second platform is started, filled from the backup, compared, and removed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest
from typer.testing import CliRunner

from archon_dagster.backup.backup import BackupRequest, take_backup
from archon_dagster.cli.main import app
from archon_dagster.context import OperationContext, Step, open_context
from archon_dagster.definitions import defs
from archon_dagster.errors import ArchonError, BackupNotFound, Cancelled, RepositoryBusy
from archon_dagster.platform.runtime.open import open_runtime
from archon_dagster.platform.runtime.process_instance import read_instance
from archon_dagster.platform.settings import settings_of
from archon_dagster.repository.manifest import Fingerprint, Manifest
from archon_dagster.repository.verification import CheckRecord
from archon_dagster.restore_drill import record
from archon_dagster.restore_drill.bench import left, root
from archon_dagster.restore_drill.drill import DrillRequest, run_drill
from archon_dagster.sandbox.lifecycle import Sandbox
from archon_dagster.sandbox.seed import seed
from archon_dagster.stores.base import STORES, Progress, StoreName
from archon_dagster_tests.eventually import eventually
from archon_dagster_tests.platforms import only_processes, running_platform
from archon_dagster_tests.processes import processes_under

pytestmark = [
    pytest.mark.sandbox,
    pytest.mark.timeout(400),
    only_processes("containers have a suite of their own: docker/test_restore_drill.py"),
]

ARCHON = [sys.executable, "-m", "archon_dagster.cli"]
FAST: tuple[StoreName, ...] = ("vectors", "relational")  # without a Java machine
OnNews = Callable[[Step | Progress], None]


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with running_platform(tmp_path_factory.mktemp("drilled")) as sandbox:
        seed(sandbox.settings, sandbox.runtime, limit=12, max_points=60)
        yield sandbox


@pytest.fixture(scope="module")
def backup(platform: Sandbox) -> Manifest:
    result = take_backup(open_context(platform.settings), BackupRequest())
    assert result.good
    return result.manifest


@pytest.fixture
def context(platform: Sandbox, backup: Manifest) -> Iterator[OperationContext]:
    """And afterwards nothing is left of any drill, and the platform is as it was."""
    made, before = open_context(platform.settings), instances(platform)
    yield made
    assert left(platform.home) == []
    assert processes_under(root(platform.home)) == []
    assert instances(platform) == before


@pytest.fixture
def typed(platform: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment in which ``archon`` is typed on this platform."""
    monkeypatch.setenv("ARCHON_HOME", str(platform.home))
    monkeypatch.setenv("COLUMNS", "200")


def instances(sandbox: Sandbox) -> dict[str, tuple[str, str]]:
    return {status.service: (status.state, status.instance) for status in sandbox.runtime.status()}


def drills(context: OperationContext, backup: Manifest) -> list[CheckRecord]:
    return [check for check in context.repository.checks(backup.id) if check.name == record.CHECK]


def at_step(name: str, act: Callable[[], object]) -> OnNews:
    """News that something is done at, when a step of that name begins."""

    def heard(news: Step | Progress) -> None:
        if isinstance(news, Step) and news.name == name and news.seconds is None:
            act()

    return heard


def started(platform: Sandbox) -> Path:
    """The home of the throw-away platform that is up now."""
    (directory,) = left(platform.home)
    return directory


def sql(home: Path, statement: str) -> None:
    with open_runtime(settings_of(home)).exec("postgres", ["psql", "-qX", "-c", statement]) as command:
        command.stdin.close()
        assert command.wait(30.0) == 0, command.stderr_tail()


def test_the_newest_backup_is_restored_beside_the_platform_and_is_identical(
    context: OperationContext, platform: Sandbox, backup: Manifest
) -> None:
    before = context.fingerprints()
    seen: dict[StoreName, Fingerprint] = {}

    def look(_: object, __: object) -> None:
        there = settings_of(started(platform), ARCHON_REPOSITORY=context.settings.repository)
        seen.update(open_context(there).fingerprints(STORES[:3]))

    result = run_drill(context, DrillRequest(), look)
    assert seen == {name: backup.fingerprint(name) for name in STORES[:3]}
    assert [(one.store, one.state) for one in result.stores] == [(name, "identical") for name in STORES]
    assert [one.server for one in result.stores][:3] == [backup.versions[name] for name in STORES[:3]]
    assert result.rto >= sum(result.seconds[f"restore {name}"] for name in STORES) > 0
    (check,) = drills(context, backup)
    assert (check.passed, check.seconds) == (True, result.rto)
    assert record.load(platform.home) == result
    assert context.repository.resolve("latest").id == backup.id
    assert context.fingerprints() == before
    assert context.repository.holder() is None


def test_a_difference_is_a_failed_check_until_a_drill_finds_none(
    context: OperationContext, platform: Sandbox, backup: Manifest
) -> None:
    def write() -> None:
        sql(started(platform), "DELETE FROM archon_prompts")

    other = replace(context, report=at_step("compare relational", write))
    result = run_drill(other, DrillRequest(only=("relational", "configuration")))
    assert [(one.store, one.state) for one in result.stores] == [
        ("relational", "different"), ("configuration", "identical"),
    ]  # fmt: skip
    assert "archon_prompts" in result.stores[0].detail
    assert not drills(context, backup)[-1].passed
    with pytest.raises(BackupNotFound):
        context.repository.resolve("latest", stores=STORES)
    assert not run_drill(context, DrillRequest(backup.id, ("configuration",))).recorded
    again = run_drill(context, DrillRequest(backup.id, ("relational",)))
    assert again.passed
    assert not again.recorded  # the failure was one of two stores
    assert run_drill(context, DrillRequest(backup.id, ("relational", "configuration"))).recorded
    assert context.repository.resolve("latest", stores=STORES).id == backup.id


def test_a_damaged_backup_fails_before_a_server_is_started(
    context: OperationContext, backup: Manifest, tmp_path: Path
) -> None:
    shutil.copytree(context.settings.repository, tmp_path / "repository")
    settings = context.settings.model_copy(update={"repository_setting": str(tmp_path / "repository")})
    chunk = backup.of_store("graph")[0].chunks[0].sha256
    file = tmp_path / "repository" / "chunks" / chunk[:2] / chunk
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.chmod(0o600)
    file.write_bytes(data)
    steps: list[str] = []
    there = open_context(settings, report=lambda news: steps.append(getattr(news, "name", "")))
    result = run_drill(there, DrillRequest())
    assert not result.passed
    assert chunk[:12] in result.trouble
    assert {one.state for one in result.stores} == {"not tried"}
    assert "start the servers" not in steps
    assert not drills(there, backup)[-1].passed
    with pytest.raises(BackupNotFound):
        there.repository.resolve("latest")


def test_a_server_that_dies_says_nothing_against_the_backup(
    context: OperationContext, platform: Sandbox, backup: Manifest
) -> None:
    before = len(drills(context, backup))

    def kill() -> None:
        instance = read_instance(started(platform) / "services" / "postgres")
        assert instance is not None
        os.kill(instance.pid, signal.SIGKILL)

    other = replace(context, report=at_step("restore relational", kill))
    with pytest.raises(ArchonError):
        run_drill(other, DrillRequest(only=("relational",)))
    assert len(drills(context, backup)) == before


@pytest.mark.long
@pytest.mark.parametrize("step", ["start the servers", "restore vectors", "compare relational"])
def test_a_cancelled_drill_removes_its_servers_and_records_nothing(
    context: OperationContext, backup: Manifest, step: str
) -> None:
    before = len(drills(context, backup))
    other = replace(context, report=at_step(step, context.cancel.set))
    with pytest.raises(Cancelled):
        run_drill(other, DrillRequest(only=FAST))
    context.cancel.clear()
    assert len(drills(context, backup)) == before


def test_a_second_drill_is_refused_while_one_is_at_work(context: OperationContext) -> None:
    def second(_: object, __: object) -> None:
        with pytest.raises(RepositoryBusy, match="another restore drill is at work"):
            run_drill(context, DrillRequest(only=("configuration",)))

    assert run_drill(context, DrillRequest(only=("configuration",)), second).passed


@pytest.mark.long
def test_what_a_killed_drill_has_left_is_removed_by_the_next(
    context: OperationContext, platform: Sandbox, backup: Manifest, typed: None
) -> None:
    before = len(drills(context, backup))
    process = subprocess.Popen(
        [*ARCHON, "drill", "open", "--only", "vectors", "--only", "relational"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    with process:
        assert process.stdout is not None
        try:
            assert any("Ctrl-C" in line for line in process.stdout)
        finally:
            process.kill()
    directory = started(platform)
    eventually(lambda: processes_under(directory) == [], 30.0)  # their guardian has seen it
    assert (directory / "data").is_dir()
    said = CliRunner().invoke(app, ["drill", "status"], catch_exceptions=False).output
    assert f"left by killed drills: {directory.name}" in said
    result = run_drill(context, DrillRequest(only=("configuration",)))
    assert any(directory.name in note for note in result.notes)
    assert len(drills(context, backup)) == before + 2


@pytest.mark.long
def test_servers_that_are_kept_open_can_be_looked_into_and_go_with_an_interrupt(
    context: OperationContext, platform: Sandbox, backup: Manifest, typed: None
) -> None:
    process = subprocess.Popen(
        [*ARCHON, "drill", "open", backup.id, "--only", "relational"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    with process:
        assert process.stdout is not None
        said = ""
        try:
            for line in process.stdout:
                said += line
                if "Ctrl-C" in line:
                    break
            home = started(platform)
            assert f"postgres: 127.0.0.1:{settings_of(home).postgres_port}" in said
            assert str(home / "platform" / ".env") in said
            sql(home, "SELECT count(*) FROM archon_prompts")
            process.send_signal(signal.SIGINT)
            said += process.stdout.read()
            assert process.wait(60.0) == 0, said
        finally:
            process.kill()
    assert "the servers are removed" in said


def test_the_job_records_it_and_its_failure_is_critical(
    context: OperationContext, platform: Sandbox, backup: Manifest, typed: None
) -> None:
    job = defs.resolve_job_def("restore_drill")
    config = {"ops": {"drill": {"config": {"only": ["vectors"]}}}}
    with dg.instance_for_test() as instance:
        done = job.execute_in_process(config, instance=instance)
        assert done.success
        (output,) = [event for event in done.all_events if event.event_type_value == "STEP_OUTPUT"]
        told = {name: value.value for name, value in output.step_output_data.metadata.items()}
        assert told["result"] == "identical"
        assert float(str(told["RTO measured (s)"])) > 0
        assert "| vectors |" in str(told["summary"])
        run = instance.get_run_by_id(done.run_id)
        assert run is not None
        assert run.tags["archon/backup"] == backup.id
        observed = instance.fetch_observations(dg.AssetKey(["backup", "catalogue"]), limit=1).records
        assert observed[0].partition_key == backup.id
    assert drills(context, backup)[-1].passed


def test_the_command_line_runs_the_job_and_shows_the_table(
    context: OperationContext, platform: Sandbox, backup: Manifest, typed: None
) -> None:
    done = CliRunner().invoke(app, ["drill", "run", "--only", "relational"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert f"backup {backup.id} was restored and compared: identical" in done.output
    assert "measured RTO" in done.output
    status = CliRunner().invoke(app, ["status"], catch_exceptions=False).output
    assert f"last restore drill: relational of backup {backup.id}: restored and compared in" in status
    shown = CliRunner().invoke(app, ["backups", "show", backup.id], catch_exceptions=False).output
    assert "drill: of relational:" in shown
