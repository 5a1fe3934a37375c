"""From a real run, check or backup in Dagster to a notice that has arrived, sensor by sensor."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationPlanned
from dagster._core.events import DagsterEvent, DagsterEventType
from dagster._core.remote_origin import (
    InProcessCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorType,
    SensorInstigatorData,
)
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

from archon_dagster.alerts import sensors, silent_monitor
from archon_dagster.alerts.alerting import troubles_of
from archon_dagster.alerts.record import RecordFile
from archon_dagster.backup.backup import BackupRequest, take_backup
from archon_dagster.cli.webserver import note_webserver
from archon_dagster.definitions import defs
from archon_dagster.health import checks as health
from archon_dagster.health import state as states
from archon_dagster.health.evaluation import ServiceState, advance
from archon_dagster.health.monitor import policy_of
from archon_dagster.health.samples import Facet
from archon_dagster.health.state import MonitorState
from archon_dagster.performance import checks as performance
from archon_dagster.platform.settings import load_settings
from archon_dagster.repository.assets import SEALED
from archon_dagster.stores.base import STORES
from archon_dagster_tests.alert_receivers import Post, serving
from archon_dagster_tests.eventually import eventually
from archon_dagster_tests.unit.health.samples import sample
from archon_dagster_tests.unit.platform_double import failing
from archon_dagster_tests.unit.test_dagster_shell import Shell, empty

pytestmark = [
    pytest.mark.filterwarnings("ignore:Parameter `repository_def`"),  # of Dagster's builder of contexts
    pytest.mark.long,
]

UI = "http://127.0.0.1:3000"


class Watched:
    """The small platform with its Dagster instance, an HTTP receiver for its alerts, and its sensors."""

    def __init__(self, shell: Shell, post: Post):
        self.shell, self.post, self.cursor = shell, post, ""
        self._repository = defs.get_repository_def()
        note_webserver(shell.platform.settings, UI)

    def after(self, result: dg.ExecuteInProcessResult) -> str:
        """Let the sensor of how runs end look at a run; returns why it asks for no run."""
        run = self.shell.instance.get_run_by_id(result.run_id)
        assert run is not None
        (event,) = [event for event in result.all_events if event.is_job_success or event.is_job_failure]
        sensor = sensors.succeeded_runs if result.success else sensors.failed_runs
        context = dg.build_run_status_sensor_context(
            sensor.name,
            event,
            self.shell.instance,
            run,
            resources={"operations": self.shell.operations},
            repository_def=self._repository,
        )
        said = sensor(context if result.success else context.for_run_failure())
        assert isinstance(said, dg.SkipReason)
        return str(said.skip_message)

    def look(self, sensor: dg.SensorDefinition) -> str:
        context = dg.build_sensor_context(
            instance=self.shell.instance,
            cursor=self.cursor,
            repository_def=self._repository,
            resources={"operations": self.shell.operations},
        )
        tick = sensor.evaluate_tick(context)
        self.cursor = tick.cursor or self.cursor
        assert not tick.run_requests
        return str(tick.skip_message)

    def check(self, name: str, *, passed: bool) -> None:
        """Another result of a check of the sealed backup."""
        evaluation = dg.AssetCheckEvaluation(
            asset_key=SEALED, check_name=name, passed=passed, metadata={"detail": "3 chunks are wrong"}
        )
        self.shell.instance.report_runless_asset_event(evaluation)


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    post = Post()
    with serving(post), dg.instance_for_test() as instance:
        monkeypatch.setenv("ARCHON_ALERT_URLS", f"json://127.0.0.1:{post.port}/alerts")
        yield Watched(Shell(tmp_path / "home", instance), post)


def test_a_failed_run_is_told_once_and_its_next_success_too(watched: Watched) -> None:
    watched.shell.platform.stores["graph"].fault = failing("copy")
    first = watched.shell.backup()
    assert watched.after(first) == "1 sent"
    (told,) = watched.post.received
    assert told["title"] == "[production] WARNING: the job backup failed"
    assert told["message"].splitlines()[0].startswith("What: ")
    assert "injected: no answer at copy" in told["message"]
    assert f"Look: {UI}/runs/{first.run_id}" in told["message"]
    assert watched.after(watched.shell.backup()) == "nothing to send"
    watched.shell.platform.stores["graph"].fault = lambda verb: None
    watched.after(watched.shell.backup())
    assert [title.split()[1] for title in watched.post.titles()] == ["WARNING:", "RESOLVED"]


def test_a_good_backup_is_told_only_to_those_who_ask(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    assert watched.after(watched.shell.backup()) == "nothing to send"
    monkeypatch.setenv("ARCHON_ALERT_BACKUP_RESULTS", "true")
    again(watched)
    watched.after(watched.shell.backup())
    backup = watched.shell.platform.repository.resolve("latest").id
    assert watched.post.titles() == [f"[production] INFO: manual backup {backup} was taken"]
    assert f"in it: {', '.join(STORES)}; every check of it has passed" in watched.post.received[0]["message"]


def test_a_backup_is_told_whatever_job_has_taken_it(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """The weekly maintenance backs up first; that another of its steps has failed takes nothing from the backup."""
    monkeypatch.setenv("ARCHON_ALERT_BACKUP_RESULTS", "true")
    again(watched)
    watched.shell.platform.runtime.states.pop("archon-search")  # no writer to hold still
    good = watched.shell.run("weekly_maintenance", "maintain", steps=["backup"])
    assert good.success
    watched.after(good)
    backup = watched.shell.platform.repository.resolve("latest").id
    assert watched.post.titles() == [f"[production] INFO: scheduled backup {backup} was taken"]
    platform = watched.shell.platform
    full = platform.settings.model_copy(update={"maintenance_disk_critical": 1e-9})
    platform.context = dataclasses.replace(platform.context, settings=full)
    bad = watched.shell.run("weekly_maintenance", "maintain", steps=["backup", "disk"])
    assert not bad.success
    watched.after(bad)
    backup = watched.shell.platform.repository.resolve("latest").id
    assert set(watched.post.titles()[1:]) == {
        f"[production] INFO: scheduled backup {backup} was taken",
        "[production] WARNING: the job weekly_maintenance failed",
    }


def test_a_backup_that_a_run_only_names_was_not_taken_by_it(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """A restore names the backup it has restored; what it has taken is the one of what was there before."""
    monkeypatch.setenv("ARCHON_ALERT_BACKUP_RESULTS", "true")
    again(watched)
    watched.shell.backup()
    restored = watched.shell.platform.repository.resolve("latest").id
    run = watched.shell.run("weekly_maintenance", "maintain", steps=["disk"])
    safety = take_backup(watched.shell.platform.context, BackupRequest(kind="safety", quiesce=False)).manifest
    watched.shell.instance.add_run_tags(run.run_id, {"archon/backup": restored, "archon/safety": safety.id})
    watched.after(run)
    assert watched.post.titles() == [f"[production] INFO: safety backup {safety.id} was taken"]


def again(watched: Watched) -> None:
    """Read the settings anew, as every tick does."""
    watched.shell.platform.settings = load_settings(ARCHON_HOME=watched.shell.platform.settings.home)


def test_a_backup_that_failed_a_check_is_one_alert_and_not_two(watched: Watched) -> None:
    watched.shell.backup()
    empty(watched.shell)
    result = watched.shell.backup()
    assert "told by failed_checks" in watched.after(result)
    assert watched.look(sensors.failed_checks) == "1 sent"
    backup = watched.shell.platform.repository.backups()[0].id
    (told,) = watched.post.received
    assert told["title"] == f"[production] CRITICAL: the check counts_plausible of backup {backup} failed"
    assert "vectors records: 0 now" in told["message"]
    assert f"archon backups show {backup}" in told["message"]
    assert f"Look: {UI}/runs/{result.run_id}" in told["message"]


def test_a_failed_check_is_told_until_it_passes_whatever_is_being_run_meanwhile(watched: Watched) -> None:
    watched.check("digests", passed=True)
    assert watched.look(sensors.failed_checks) == "nothing to send"
    watched.check("digests", passed=False)
    assert watched.look(sensors.failed_checks) == "1 sent"
    plan_a_check(watched, "digests")  # reads as the newest, and is no result
    assert watched.look(sensors.failed_checks) == "nothing to send"
    watched.check("digests", passed=True)
    assert watched.look(sensors.failed_checks) == "1 sent"
    watched.check("digests", passed=False)
    assert watched.look(sensors.failed_checks) == "1 sent"
    assert [title.split()[1] for title in watched.post.titles()] == ["CRITICAL:", "RESOLVED", "CRITICAL:"]
    assert "3 chunks are wrong" in watched.post.received[0]["message"]


def test_every_other_check_of_the_code_location_is_told_too(watched: Watched) -> None:
    key = performance.KEYS["vectors"]
    for passed, said in ((False, "search p95 120 ms, was 40 ms"), (True, "3 numbers compared")):
        evaluation = dg.AssetCheckEvaluation(
            asset_key=key, check_name="not_worse", passed=passed, severity=dg.AssetCheckSeverity.WARN, description=said
        )
        watched.shell.instance.report_runless_asset_event(evaluation)
        assert watched.look(sensors.failed_checks) == "1 sent"
    told, over = watched.post.received
    assert told["title"] == "[production] WARNING: the check not_worse of performance/vectors failed"
    assert "What: search p95 120 ms, was 40 ms" in told["message"] and "archon performance" in told["message"]
    assert over["title"].startswith("[production] RESOLVED")


def believe(watched: Watched, *facets: Facet, seconds_ago: float = 0.0) -> None:
    """What the monitor would have written after three samples of Qdrant, one a second."""
    settings, now = watched.shell.platform.settings, time.time() - seconds_ago
    state = states.load(settings.home).services.get("qdrant", ServiceState())
    for second in (-2.0, -1.0, 0.0):
        state, _ = advance(
            state, sample("good", now + second).with_facets(facets), now + second, policy_of("qdrant", settings)
        )
    states.save(settings.home, MonitorState(at=now, services={"qdrant": state}))


def test_a_degraded_service_is_told_while_its_check_fails(watched: Watched) -> None:
    """Recovery takes up what is unhealthy, and nothing else."""
    wrong = Facet("consistent", False, "768 dimensions", minor=True, problem="wrong_dimension")
    believe(watched, wrong, seconds_ago=90.0)
    assert watched.look(sensors.failed_checks) == "1 sent"
    believe(watched, wrong)
    assert watched.look(sensors.failed_checks) == "nothing to send"
    believe(watched, Facet("consistent", True))
    assert watched.look(sensors.failed_checks) == "1 sent"
    assert watched.post.titles()[0] == "[production] WARNING: qdrant holds what does not fit"
    assert f"Look: {UI}/assets/health/qdrant" in watched.post.received[0]["message"]
    assert watched.post.titles()[1].startswith("[production] RESOLVED")


def test_what_the_event_log_shows_of_a_service_is_not_believed(watched: Watched) -> None:
    """It is a single sample, of a heartbeat or of the job `health`."""
    evaluation = dg.AssetCheckEvaluation(asset_key=health.KEYS["qdrant"], check_name="fast", passed=False)
    watched.shell.instance.report_runless_asset_event(evaluation)
    believe(watched)
    assert watched.look(sensors.failed_checks) == "nothing to send"


def test_a_silent_monitor_closes_no_alert(watched: Watched) -> None:
    believe(watched, Facet("fast", False, "3.1 s", minor=True, problem="slow"), seconds_ago=90.0)
    assert watched.look(sensors.failed_checks) == "1 sent"
    states.save(watched.shell.platform.settings.home, MonitorState(at=time.time() - 3600.0))
    assert watched.look(sensors.failed_checks) == "nothing to send"


def switch(watched: Watched, status: InstigatorStatus) -> None:
    """The monitor's sensor, as the UI switches it."""
    origin = RemoteInstigatorOrigin(
        RemoteRepositoryOrigin(InProcessCodeLocationOrigin(LoadableTargetOrigin(), location_name="archon"), "archon"),
        "health_monitor",
    )
    state = InstigatorState(origin, InstigatorType.SENSOR, status, SensorInstigatorData())
    watched.shell.instance.add_instigator_state(state)


def test_a_monitor_that_is_off_is_told_until_it_looks_again(watched: Watched) -> None:
    home = watched.shell.platform.settings.home
    believe(watched)
    assert watched.look(sensors.silent_monitor_sensor) == "nothing to send"
    states.save(home, MonitorState(at=time.time() - 400.0))
    assert watched.look(sensors.silent_monitor_sensor) == "nothing to send"  # it was not watched for so long
    since, now = datetime.now(UTC) - timedelta(seconds=500), datetime.now(UTC)
    watched.cursor = silent_monitor.cursor_of(since, now)
    switch(watched, InstigatorStatus.STOPPED)
    assert watched.look(sensors.silent_monitor_sensor) == "1 sent"
    assert watched.look(sensors.silent_monitor_sensor) == "nothing to send"
    (told,) = watched.post.received
    assert told["title"] == "[production] CRITICAL: the health monitor is silent"
    assert "it looked last at" in told["message"] and "its sensor is switched off" in told["message"]
    assert "archon health" in told["message"] and f"{UI}/locations/archon/sensors/health_monitor" in told["message"]
    believe(watched)
    assert watched.look(sensors.silent_monitor_sensor) == "1 sent"
    assert watched.post.titles()[-1].startswith("[production] RESOLVED")


def test_a_monitor_that_has_never_looked_is_told_where_there_is_something_to_look_at(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    again(watched)
    watched.cursor = silent_monitor.cursor_of(datetime.now(UTC) - timedelta(seconds=500), datetime.now(UTC))
    assert "there is no platform here" in watched.look(sensors.silent_monitor_sensor)
    monkeypatch.setenv("ARCHON_RUNTIME", "elsewhere")
    again(watched)
    assert watched.look(sensors.silent_monitor_sensor) == "1 sent"
    assert "it has never looked here" in watched.post.received[0]["message"]


def plan_a_check(watched: Watched, name: str) -> None:
    job = defs.resolve_job_def("backup")
    run = watched.shell.instance.create_run_for_job(job)
    planned = AssetCheckEvaluationPlanned(asset_key=SEALED, check_name=name)
    kind = DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED.value
    event = DagsterEvent(kind, job.name, event_specific_data=planned)
    watched.shell.instance.report_dagster_event(event, run.run_id)
    storage = watched.shell.instance.event_log_storage
    (newest,) = storage.get_asset_check_execution_history(dg.AssetCheckKey(SEALED, name), 1)
    assert newest.status == AssetCheckExecutionRecordStatus.PLANNED


def test_a_store_without_a_young_backup_is_told_until_there_is_one(watched: Watched) -> None:
    take_backup(watched.shell.platform.context, BackupRequest(quiesce=False, stores=("vectors", "graph", "relational")))
    assert watched.look(sensors.recovery_points_kept) == "nothing to send"
    watched.cursor = "2020-01-01T00:00:00+00:00"  # watched for years
    assert watched.look(sensors.recovery_points_kept) == "1 sent"
    take_backup(watched.shell.platform.context, BackupRequest(quiesce=False, stores=("configuration",)))
    assert watched.look(sensors.recovery_points_kept) == "1 sent"
    assert watched.post.titles()[0] == "[production] CRITICAL: no backup of configuration within 26 h 0 min"
    assert watched.post.titles()[1].startswith("[production] RESOLVED after")
    assert "there is a younger good backup now" in watched.post.received[1]["message"]


def test_a_repository_that_cannot_be_read_is_told_and_closes_nothing(watched: Watched) -> None:
    watched.cursor = "2020-01-01T00:00:00+00:00"
    assert watched.look(sensors.recovery_points_kept) == "4 sent"
    place = Path(watched.shell.platform.settings.repository)
    (place / "config.json").rename(place / "config.away")
    assert watched.look(sensors.recovery_points_kept) == "1 sent"
    assert watched.post.titles()[-1] == "[production] CRITICAL: the backup repository cannot be read"
    (place / "config.away").rename(place / "config.json")
    assert watched.look(sensors.recovery_points_kept) == "1 sent"
    assert watched.post.titles()[-1].startswith("[production] RESOLVED")


def test_what_could_not_be_sent_at_once_is_sent_later(watched: Watched) -> None:
    watched.post.answer = 500
    watched.check("digests", passed=False)
    assert "error=500" in watched.look(sensors.failed_checks)
    watched.post.answer = 200
    assert eventually(lambda: watched.look(sensors.alert_delivery) == "1 sent", within=60)
    assert len(watched.post.received) == 1


def test_the_heart_beats_at_its_interval(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "set ARCHON_HEARTBEAT_URL" in watched.look(sensors.heartbeat_sensor)
    monkeypatch.setenv("ARCHON_HEARTBEAT_URL", f"http://127.0.0.1:{watched.post.port}/ping")
    monkeypatch.setenv("ARCHON_HEARTBEAT_INTERVAL", "3600")
    again(watched)
    assert watched.look(sensors.heartbeat_sensor) == "beaten"
    assert watched.look(sensors.heartbeat_sensor) == "not yet"
    assert watched.post.beats == ["/ping"]


def test_the_heart_does_not_beat_while_the_monitor_is_silent(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARCHON_HEARTBEAT_URL", f"http://127.0.0.1:{watched.post.port}/ping")
    monkeypatch.setenv("ARCHON_RUNTIME", "elsewhere")
    again(watched)
    settings = watched.shell.platform.settings
    assert "has never looked here" in watched.look(sensors.heartbeat_sensor)
    states.save(settings.home, MonitorState(at=time.time() - 3600.0))
    assert "not beaten: the health monitor is silent since" in watched.look(sensors.heartbeat_sensor)
    assert watched.post.beats == []
    (trouble,) = troubles_of(settings, datetime.now(UTC))
    assert trouble.startswith("the heart does not beat: the health monitor is silent since")
    believe(watched)
    assert watched.look(sensors.heartbeat_sensor) == "beaten"
    assert watched.post.beats == ["/ping"]
    assert troubles_of(settings, datetime.now(UTC)) == []


def test_without_a_channel_everything_does_nothing_and_says_why(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ARCHON_ALERT_URLS")
    again(watched)
    watched.shell.platform.stores["graph"].fault = failing("copy")
    watched.check("digests", passed=False)
    said = [watched.after(watched.shell.backup())]
    said += [
        watched.look(one)
        for one in (
            sensors.failed_checks,
            sensors.silent_monitor_sensor,
            sensors.recovery_points_kept,
            sensors.alert_delivery,
        )
    ]
    assert all("set ARCHON_ALERT_URLS" in reason for reason in said)
    assert not RecordFile(watched.shell.platform.settings.home).path.exists()


@pytest.mark.parametrize("name", [one.name for one in sensors.SENSORS])
def test_every_sensor_is_in_the_code_location_and_on(name: str) -> None:
    assert defs.resolve_sensor_def(name).default_status == dg.DefaultSensorStatus.RUNNING
