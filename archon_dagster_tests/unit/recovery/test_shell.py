"""The Dagster objects around recovery: the sensor, the jobs and the incidents, on a real instance."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import dagster as dg
import pytest
from dagster import DagsterRunStatus

from archon_dagster.alerts.delivery import ATTEMPT
from archon_dagster.alerts.failures import SEVERITY_TAG, severity_of
from archon_dagster.alerts.record import RecordFile
from archon_dagster.alerts.sensors import alert_delivery
from archon_dagster.context import OperationContext
from archon_dagster.errors import RepositoryError
from archon_dagster.health import state as states
from archon_dagster.health import windows
from archon_dagster.health.evaluation import ServiceState
from archon_dagster.health.samples import Facet
from archon_dagster.health.state import MonitorState
from archon_dagster.platform import automation, whole_files
from archon_dagster.platform.settings import Settings, load_settings
from archon_dagster.recovery.book import Book
from archon_dagster.recovery.defs import defs
from archon_dagster.recovery.incident import Event, Step, open_incident
from archon_dagster.recovery.jobs import INCIDENT_TAG, JOBS, conclude, is_by_hand
from archon_dagster.recovery.recover import Outcome
from archon_dagster.recovery.sensors import MOST_RUNS, disaster_recovery
from archon_dagster.recovery.tools import Worker, WorkerFile
from archon_dagster.repository.identity import Process, this_process
from archon_dagster.repository.repository import Repository
from archon_dagster.resources import PLATFORM_POOL, Operations
from archon_dagster_tests.alert_receivers import Post, serving

STORES = ("qdrant", "memgraph", "postgres", "archon-search", "ollama")


class Shell:
    """A home, an instance, and what the monitor is made to say."""

    def __init__(self, home: Path, instance: dg.DagsterInstance):
        self.instance, self.home = instance, home
        self.values: dict[str, Any] = {"ARCHON_HOME": home, "ARCHON_RUNTIME": "processes"}
        shell = self

        class HomeOperations(Operations):
            def settings(self) -> Settings:
                return load_settings(**shell.values)

            def open(self, cancel: threading.Event, report: Callable[[Any], None]) -> OperationContext:
                raise RepositoryError("there is none")

        self.operations = HomeOperations()
        self.book = Book(home)

    def confirmed(self, *names: str, age: float = 0.0, **causes: tuple[str, ...]) -> None:
        """The monitor says that these are unhealthy."""
        now = datetime.now(UTC).timestamp() - age
        failed = (Facet("reachable", False, "connection refused", problem="unreachable"),)
        services = {name: ServiceState("healthy", since=now) for name in STORES}
        services |= {
            name: ServiceState("unhealthy", now, now - 3, failed=failed, detail="connection refused", reached=False)
            for name in names
        }
        why = {name.replace("_", "-"): value for name, value in causes.items()}
        states.save(self.home, MonitorState(at=now, services=services, causes=why))

    def tick(self) -> dg.SensorResult | dg.SkipReason:
        context = dg.build_sensor_context(instance=self.instance, resources={"operations": self.operations})
        result = disaster_recovery(context)
        assert isinstance(result, dg.SensorResult | dg.SkipReason)
        return result

    def requests(self) -> list[dg.RunRequest]:
        result = self.tick()
        return list(result.run_requests or []) if isinstance(result, dg.SensorResult) else []

    def skipped(self) -> str:
        result = self.tick()
        if isinstance(result, dg.SensorResult):
            assert not result.run_requests, result.run_requests
            return ""
        return result.skip_message or ""

    def run(self, job: str, status: DagsterRunStatus, **tags: str) -> dg.DagsterRun:
        """A run of a job of that name, as the instance keeps it."""
        return self.instance.create_run_for_job(_named(job), status=status, tags=tags)


def _named(job: str) -> dg.JobDefinition:
    @dg.job(name=job)
    def nothing() -> None:
        _pass()

    return nothing


@dg.op(pool=PLATFORM_POOL)
def _pass() -> None: ...


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    launcher = {"module": "archon_dagster_tests.unit.recovery.launcher", "class": "NotingLauncher"}
    with dg.instance_for_test(overrides={"run_launcher": launcher}) as instance:
        yield Shell(tmp_path / "home", instance)


def test_a_confirmed_failure_becomes_an_incident_and_a_run(shell: Shell) -> None:
    shell.confirmed("qdrant", "archon-search", archon_search=("qdrant",))
    (request,) = shell.requests()
    (incident,) = shell.book.open()
    assert request.job_name == "restart_failed_services"
    assert request.run_key == f"{incident.id}/1"
    assert request.run_config["ops"]["restart_failed_services_steps"]["config"] == {"incident": incident.id}
    assert (incident.roots, incident.services) == (("qdrant",), ("qdrant", "archon-search"))
    assert incident.seconds_to_detect > 2.5


def test_a_channel_that_hangs_holds_up_no_recovery_and_is_told_afterwards(shell: Shell) -> None:
    post = Post()
    post.hangs.set()
    with serving(post):
        shell.values["ARCHON_ALERT_URLS"] = f"json://127.0.0.1:{post.port}/"
        shell.confirmed("qdrant")
        begun = time.monotonic()
        assert shell.requests()
        assert time.monotonic() - begun < ATTEMPT / 2
        assert [one.attempts for one in RecordFile(shell.home).read().outbox] == [0]
        post.hangs.clear()
        alert_delivery(operations=shell.operations)
        assert len(post.titles()) == 1 and "qdrant" in post.titles()[0]


def test_a_pause_and_the_end_of_an_incident_are_told_while_the_monitor_is_silent(shell: Shell) -> None:
    shell.values["ARCHON_ALERT_URLS"] = "json://127.0.0.1:1/"
    shell.confirmed("qdrant")
    assert shell.requests()
    (incident,) = shell.book.open()
    shell.book.change(incident.id, lambda one: one.note(datetime.now(UTC) - timedelta(hours=9), "recovered", "by hand"))
    shell.confirmed(age=3600)
    assert "has not looked lately" in shell.skipped()
    automation.pause(shell.home, timedelta(hours=2), "disk is replaced", datetime.now(UTC), "ann")
    shell.skipped()
    told = [(one.notice.kind, one.notice.alert.title) for one in RecordFile(shell.home).read().outbox]
    assert [kind for kind, _ in told] == ["opened", "resolved", "note"]
    assert told[-1][1] == "the automation is paused"


def test_the_incident_is_a_partition_with_its_report(shell: Shell) -> None:
    shell.confirmed("qdrant")
    result = shell.tick()
    assert isinstance(result, dg.SensorResult)
    (incident,) = shell.book.open()
    (event,) = result.asset_events
    assert event.partition == incident.id and "report" in event.metadata
    assert result.dynamic_partitions_requests


def test_the_partitions_are_those_of_the_incidents_that_there_are(shell: Shell) -> None:
    """And of one that is older than fifty others its end is shown too."""
    begun = datetime.now(UTC) - timedelta(days=1)
    old = shell.book.add(open_incident("single_service", ("qdrant",), ("qdrant",), begun))
    for number in range(60):
        later = begun + timedelta(minutes=number + 1)
        other = open_incident("single_service", ("postgres",), ("postgres",), later)
        shell.book.add(other.note(later, "recovered", "well"))
    shell.instance.add_dynamic_partitions("incidents", [old.id, "20200101T000000Z-aaaa"])
    shell.confirmed()
    result = shell.tick()
    assert isinstance(result, dg.SensorResult)
    assert [event.partition for event in result.asset_events] == [old.id]
    asked = {type(one): list(one.partition_keys) for one in result.dynamic_partitions_requests or ()}
    assert asked == {
        dg.AddDynamicPartitionsRequest: [old.id],
        dg.DeleteDynamicPartitionsRequest: ["20200101T000000Z-aaaa"],
    }


def test_everything_down_is_a_full_recovery(shell: Shell) -> None:
    shell.confirmed("qdrant", "memgraph", "postgres", "archon-search")
    (request,) = shell.requests()
    assert request.job_name == "full_recovery"


def test_one_at_a_time(shell: Shell) -> None:
    shell.confirmed("qdrant")
    shell.run("restart_failed_services", DagsterRunStatus.NOT_STARTED)
    assert "a recovery is at work" in shell.skipped()


def test_what_fails_elsewhere_while_a_recovery_is_at_work_is_noted_at_once(shell: Shell) -> None:
    shell.confirmed("qdrant")
    shell.requests()
    shell.run("recover_store", DagsterRunStatus.NOT_STARTED)
    shell.confirmed("qdrant", "memgraph", "ollama")
    assert "a recovery is at work" in shell.skipped()
    assert {one.roots for one in shell.book.open()} == {("qdrant",), ("ollama",)}


def test_an_external_service_starts_no_run_and_asks_a_person(shell: Shell) -> None:
    shell.confirmed("ollama")
    assert shell.requests() == []
    (incident,) = shell.book.open()
    assert (incident.kind, incident.state) == ("external", "escalated")


def test_what_the_monitor_said_long_ago_is_not_acted_on(shell: Shell) -> None:
    shell.confirmed("qdrant", age=3600)
    assert "has not looked lately" in shell.skipped()
    assert shell.book.all() == []


def test_a_paused_automation_starts_no_run_but_keeps_the_book(shell: Shell) -> None:
    automation.pause(shell.home, timedelta(hours=2), "disk is replaced", datetime.now(UTC), "ann")
    shell.confirmed("qdrant")
    assert shell.requests() == []
    assert "disk is replaced" in shell.skipped()
    assert shell.book.open()
    automation.resume(shell.home, datetime.now(UTC))
    assert shell.requests()


def test_a_pause_comes_first_in_what_the_ui_shows(shell: Shell) -> None:
    """Also while nothing is broken, while the monitor is silent, and while a run is at work: who, why, until when."""
    automation.pause(shell.home, timedelta(hours=2), "disk is replaced", datetime.now(UTC), "ann")
    shell.confirmed()
    assert _begins(shell.skipped()) and "nothing is broken" in shell.skipped()
    shell.confirmed("qdrant")
    opened = shell.tick()
    assert isinstance(opened, dg.SensorResult) and opened.skip_reason is not None
    assert _begins(opened.skip_reason.skip_message)
    assert _begins(shell.skipped()) and "single service failure: qdrant" in shell.skipped()
    shell.confirmed("qdrant", age=3600)
    assert _begins(shell.skipped()) and "has not looked lately" in shell.skipped()
    shell.run("restart_failed_services", DagsterRunStatus.NOT_STARTED)
    assert _begins(shell.skipped())


def _begins(said: str | None) -> bool:
    found = re.match(r"the automation is paused until 2\S+ \S+ UTC by ann: disk is replaced; ", said or "")
    return found is not None and (said or "").count("disk is replaced") == 1


def test_a_window_that_was_opened_since_the_monitor_looked_is_heeded(shell: Shell) -> None:
    shell.confirmed("qdrant")
    windows.open_window(shell.home, 3600, "disk", time.time(), ("qdrant",), who="ann")
    assert shell.requests() == []
    assert shell.book.all() == []


def test_who_needs_a_service_in_a_window_waits_and_the_tick_says_for_what(shell: Shell) -> None:
    windows.open_window(shell.home, 3600, "disk", time.time(), ("qdrant",), who="ann")
    shell.confirmed("archon-search")
    assert shell.requests()  # evidence
    (incident,) = shell.book.open()
    kept = Step(verb="evidence", services=("archon-search",))
    for kind in ("started", "finished"):
        done = Event.model_validate({"at": datetime.now(UTC), "kind": kind, "step": kept, "ok": True})
        shell.book.change(incident.id, lambda one, done=done: one.with_event(done))  # type: ignore[misc]
    assert "archon-search needs qdrant: maintenance until" in shell.skipped()
    windows.close_windows(shell.home, time.time())
    assert shell.requests()


def test_a_run_whose_process_is_gone_is_ended_and_its_incident_taken_up(shell: Shell) -> None:
    shell.confirmed("qdrant")
    (request,) = shell.requests()
    run = shell.run("restart_failed_services", DagsterRunStatus.NOT_STARTED, **request.tags)
    shell.instance.report_engine_event("started", run)
    _start(shell.instance, run)
    _signed_by(shell, run, replace(this_process(), pid=2**22 - 3))
    assert "gone" not in shell.skipped()  # a run that failed is followed by the next after a pause
    ended = shell.instance.get_run_by_id(run.run_id)
    assert ended is not None and ended.status == DagsterRunStatus.FAILURE


@pytest.mark.parametrize("elsewhere", [{"namespace": 1}, {"host": "another-container", "namespace": 1}, {"boot": ""}])
def test_a_run_in_another_container_is_not_taken_for_dead(shell: Shell, elsewhere: dict[str, Any]) -> None:
    """Its number means nothing here; and between signing and the first action nobody has the turn."""
    shell.confirmed("qdrant")
    run = shell.run("restart_failed_services", DagsterRunStatus.NOT_STARTED)
    _start(shell.instance, run)
    _signed_by(shell, run, replace(this_process(), pid=2**22 - 3, **elsewhere))
    assert "a recovery is at work" in shell.skipped()


def _signed_by(shell: Shell, run: dg.DagsterRun, process: Process) -> None:
    worker = Worker(run=run.run_id, process=process)
    whole_files.replace(WorkerFile(shell.home).path, worker.model_dump_json().encode())


def test_a_run_that_works_is_not_taken_for_dead(shell: Shell) -> None:
    shell.confirmed("qdrant")
    run = shell.run("restart_failed_services", DagsterRunStatus.NOT_STARTED)
    _start(shell.instance, run)
    WorkerFile(shell.home).sign(run.run_id)
    assert "a recovery is at work" in shell.skipped()


def test_runs_that_only_fail_are_not_started_for_ever(shell: Shell) -> None:
    shell.confirmed("qdrant")
    (request,) = shell.requests()
    for _ in range(MOST_RUNS):
        shell.run("restart_failed_services", DagsterRunStatus.CANCELED, **request.tags)
    assert shell.requests() == []
    (incident,) = shell.book.open()
    assert incident.state == "escalated" and "runs have not ended it" in incident.events[-1].text


def test_a_running_backup_is_cancelled_and_a_restore_is_not(shell: Shell) -> None:
    from archon_dagster_tests.unit.recovery.launcher import TERMINATED

    backup = shell.run("backup", DagsterRunStatus.NOT_STARTED)
    other = shell.run("nothing", DagsterRunStatus.NOT_STARTED)
    for run in (backup, other):
        _start(shell.instance, run)
    shell.confirmed("qdrant")
    assert shell.requests()
    assert backup.run_id in TERMINATED and other.run_id not in TERMINATED


@pytest.mark.parametrize(
    ("job", "purpose", "window", "ends"),
    [
        ("weekly_maintenance", "scheduled backup", "", True),
        ("weekly_maintenance", "maintenance: graph", "", False),
        ("security_updates", "security updates", "", True),  # it backs up
        ("security_updates", "security updates", "security updates", False),  # it replaces services
        ("restore", "restore of 20261124T020000Z-0001", "", False),
        ("restore", "manual backup", "", False),  # it waits for somebody else's
        ("apply_performance_tuning", "scheduled backup", "", False),
    ],
)
def test_a_backup_within_other_work_makes_way_and_nothing_else_does(
    shell: Shell, job: str, purpose: str, window: str, ends: bool
) -> None:
    """The whole run: what it had not finished, the next one does."""
    from archon_dagster_tests.unit.recovery.launcher import TERMINATED

    run = shell.run(job, DagsterRunStatus.NOT_STARTED)
    _start(shell.instance, run)
    if window:
        windows.open_window(shell.home, 3600, window, time.time(), ("memgraph",), who="archon")
    shell.confirmed("qdrant")
    repository = Repository.open(load_settings(**shell.values).repository, create=True)
    with repository.lock(purpose):
        shell.tick()
    assert (run.run_id in TERMINATED) is ends


def test_what_a_queued_recovery_waits_for_is_in_its_incident_and_a_backup_makes_way(shell: Shell) -> None:
    from archon_dagster_tests.unit.recovery.launcher import TERMINATED

    shell.confirmed("qdrant")
    (request,) = shell.requests()
    (incident,) = shell.book.open()
    shell.run("restart_failed_services", DagsterRunStatus.NOT_STARTED, **request.tags)
    tuning = shell.run("apply_performance_tuning", DagsterRunStatus.NOT_STARTED)
    backup = shell.run("backup", DagsterRunStatus.NOT_STARTED)
    _start(shell.instance, tuning)
    for _ in range(3):
        assert f"waits for the run {tuning.run_id[:8]} of apply_performance_tuning" in shell.skipped()
    assert backup.run_id not in TERMINATED and tuning.run_id not in TERMINATED
    said = [event.text for event in shell.book.get(incident.id).events if event.kind == "note"]
    assert len(said) == 1 and tuning.run_id[:8] in said[0]
    _start(shell.instance, backup)
    automation.pause(shell.home, timedelta(hours=2), "hands off", datetime.now(UTC), "ann")
    shell.skipped()
    assert backup.run_id not in TERMINATED
    automation.resume(shell.home, datetime.now(UTC))
    shell.skipped()
    assert backup.run_id in TERMINATED


def test_a_run_that_a_person_launches_is_by_hand_also_the_sensors_once_more(shell: Shell) -> None:
    tags = {INCIDENT_TAG: "20261124T030000Z-0001"}
    asked, sent = (shell.run("recover_store", DagsterRunStatus.FAILURE, **one) for one in ({}, tags))
    assert is_by_hand(asked) and not is_by_hand(sent)
    again = shell.instance.create_run_for_job(
        _named("recover_store"), tags=tags, parent_run_id=sent.run_id, root_run_id=sent.run_id
    )
    assert is_by_hand(again)


def test_it_is_over_when_the_monitor_says_so(shell: Shell) -> None:
    shell.confirmed("qdrant")
    shell.tick()
    shell.confirmed()
    result = shell.tick()
    assert isinstance(result, dg.SensorResult) and not result.run_requests
    assert shell.book.open() == [] and shell.book.all()[0].state == "recovered"


def test_the_jobs_go_first_and_their_failures_are_told_with_the_incident(shell: Shell) -> None:
    for name in ("restart_failed_services", "recover_store", "full_recovery"):
        job = next(job for job in JOBS if job.name == name)
        assert int(job.tags["dagster/priority"]) > 10 and job.tags["archon/alert"] == "none"


@pytest.mark.parametrize("confirm", ["", "yes"])
def test_a_disaster_recovery_wants_its_word(shell: Shell, confirm: str) -> None:
    job = dg.Definitions(jobs=defs.jobs, resources={"operations": shell.operations}).resolve_job_def(
        "disaster_recovery"
    )
    with pytest.raises(dg.DagsterInvalidConfigError):
        job.execute_in_process(
            instance=shell.instance, run_config={"ops": {"recover_a_site": {"config": {"confirm": confirm}}}}
        )


def _start(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    from dagster._core.events import DagsterEvent, DagsterEventType

    for kind in (DagsterEventType.RUN_STARTING, DagsterEventType.RUN_START):
        instance.report_dagster_event(DagsterEvent(kind.value, run.job_name), run.run_id)


@pytest.mark.parametrize(
    ("started_for", "how", "by_hand", "red"),
    [
        ("first", "recovered", False, False),
        ("first", "escalated", False, True),
        ("first", "waiting", False, False),
        ("first", "waiting", True, True),
        ("", "recovered", False, True),
    ],
)
def test_only_what_a_run_was_started_for_decides_its_colour(
    shell: Shell, started_for: str, how: Literal["recovered", "escalated", "waiting"], by_hand: bool, red: bool
) -> None:
    """It may meet another incident on its way and hand that one to a person: that one has its own alert.

    Where the automation would go on, a run of a person is red all the same: they take green for mended.
    """
    now = datetime.now(UTC)
    first, other = (shell.book.add(open_incident("single_service", (name,), (name,), now)) for name in STORES[:2])
    outcomes = [
        Outcome(first, how, "it is over"),
        Outcome(other, "escalated", "3 attempts did not help"),
    ]

    about = first.id if started_for else ""

    @dg.op
    def concluding(context) -> None:  # type: ignore[no-untyped-def]
        conclude(context, load_settings(**shell.values), outcomes, about=about, by_hand=by_hand)

    @dg.job
    def recovery() -> None:
        concluding()

    ended = recovery.execute_in_process(instance=shell.instance, raise_on_error=False)
    assert ended.success is not red
    run = shell.instance.get_run_by_id(ended.run_id)
    assert run is not None and (run.tags.get(SEVERITY_TAG) == "none") is red, "one alert, that of the incident"


def test_an_operators_job_that_fails_before_there_is_an_incident_tells_of_itself(shell: Shell) -> None:
    job = dg.Definitions(jobs=defs.jobs, resources={"operations": shell.operations}).resolve_job_def("p0_response")
    config = {"ops": {"respond_to_p0": {"config": {"description": " "}}}}
    ended = job.execute_in_process(instance=shell.instance, run_config=config, raise_on_error=False)
    run = shell.instance.get_run_by_id(ended.run_id)
    assert not ended.success and run is not None and shell.book.all() == []
    assert severity_of(run.job_name, run.tags) == "warning"
