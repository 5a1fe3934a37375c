"""Recovery on real servers: broken on purpose, detected by the monitor, mended without a hand, the data identical."""

from __future__ import annotations

import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest

from archon_dagster.backup.backup import BackupRequest, take_backup
from archon_dagster.health.windows import close_windows, open_window
from archon_dagster.platform.services import BY_NAME
from archon_dagster.platform.settings import Settings, load_settings
from archon_dagster.recovery.incident import Incident
from archon_dagster.recovery.isolation import stopped_on_purpose
from archon_dagster.recovery.jobs import p0_response_job
from archon_dagster.recovery.recover import respond
from archon_dagster.recovery.tools import recovery_of
from archon_dagster.resources import Operations
from archon_dagster.sandbox.lifecycle import Sandbox
from archon_dagster.sandbox.seed.seeding import seed
from archon_dagster.stores.base import StoreName
from archon_dagster_tests.alert_receivers import Post, serving
from archon_dagster_tests.platforms import lifecycle
from archon_dagster_tests.recovering import Watched, verbs

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(600)]

STORES: tuple[StoreName, ...] = ("vectors", "graph", "relational")


class Drill(Watched):
    """A sandbox with data and a backup of them."""

    def __init__(self, sandbox: Sandbox):
        self.home = sandbox.home
        self.values: dict[str, object] = {
            **sandbox.environment,
            "ARCHON_HOME": sandbox.home,
            "ARCHON_RECOVERY": "restore",
            "ARCHON_QDRANT_STORAGE": self.storage,
            "ARCHON_MEMGRAPH_DATA": sandbox.home / "data" / "graph",
            "ARCHON_HEALTH_COUNTS": "1",
            "ARCHON_HEALTH_FLAP_CHANGES": "1000",  # what is broken on purpose, again and again, does not flap
        }
        super().__init__(load_settings(**self.values), sandbox.runtime)
        seed(self.settings, self.runtime, limit=40, max_points=200)
        take_backup(self.context(), BackupRequest(quiesce=False))
        self.before = self.fingerprints()
        self.look()

    @property
    def storage(self) -> Path:
        return self.home / "data" / "qdrant" / "embedded" / "storage"


@pytest.fixture(scope="module")
def sandbox_with_data(sandbox: Sandbox) -> Drill:
    return Drill(sandbox)


@pytest.fixture
def drill(sandbox_with_data: Drill) -> Drill:
    sandbox_with_data.look()
    return sandbox_with_data


def recovered(drill: Drill, incident: Incident, kind: str) -> None:
    assert (incident.state, incident.kind) == ("recovered", kind), incident.events
    assert incident.within_objective
    assert drill.fingerprints() == drill.before
    assert list((drill.home / "incidents" / incident.id / "evidence").rglob("*.log"))


@pytest.mark.parametrize("service", ["qdrant", "memgraph", "postgres", "archon-bridge"])
def test_a_killed_service_is_restarted(drill: Drill, service: str) -> None:
    incidents = drill.recovers(lambda: lifecycle.kill(drill.home, service))
    incident = next(one for one in incidents if service in one.roots)
    recovered(drill, incident, "single_service")
    assert verbs(incident) == ["evidence", "restart"]


@pytest.mark.long
def test_a_frozen_service_is_restarted(drill: Drill) -> None:
    (incident, *_) = drill.recovers(lambda: drill.runtime.kill("archon-search", signal.SIGSTOP))
    recovered(drill, incident, "single_service")


@pytest.mark.long
def test_a_collection_that_kills_its_server_is_set_aside_and_restored(drill: Drill) -> None:
    def damage() -> None:
        drill.runtime.stop("qdrant")
        (drill.storage / "collections" / "quality_vectors" / "config.json").write_text("{damaged")

    (incident, *_) = drill.recovers(damage)
    recovered(drill, incident, "store_corrupt")
    assert verbs(incident) == ["evidence", "restart", "set_aside", "restart", "restore"]
    (kept,) = (drill.storage / "set-aside" / incident.id).glob("quality_vectors/config.json")
    assert kept.read_text() == "{damaged"


def test_wiped_vectors_come_back(drill: Drill) -> None:
    (incident, *_) = drill.recovers(lambda: lifecycle.wipe(drill.home, "vectors"))
    recovered(drill, incident, "store_lost")


def test_a_graph_that_came_up_empty_is_copied_aside_and_not_restarted(drill: Drill) -> None:
    (incident, *_) = drill.recovers(lambda: lifecycle.wipe(drill.home, "graph"))
    recovered(drill, incident, "store_lost")
    assert verbs(incident) == ["evidence", "copy_aside", "restore"]
    assert (drill.home / "aside" / f"{incident.id}-memgraph").is_dir()


@pytest.mark.long
def test_everything_killed_at_once_is_started_in_order(drill: Drill) -> None:
    def kill() -> None:
        for service in drill.runtime.services():
            drill.runtime.kill(service)

    (incident, *_) = drill.recovers(kill)
    recovered(drill, incident, "complete_failure")
    assert verbs(incident) == ["evidence", "start_all"]


@pytest.mark.long
def test_who_is_in_a_window_is_not_started_because_somebody_needs_it(drill: Drill) -> None:
    recovery = replace(recovery_of(drill.settings, drill.runtime, threading.Event()), patience=0.0)
    open_window(drill.home, 600, "disk", time.time(), ("qdrant",), who="ann")
    try:
        drill.runtime.stop("qdrant")
        drill.runtime.kill("archon-search")
        (outcome,) = respond(recovery, drill.due(recovery).id)
        assert outcome.how == "waiting" and "archon-search needs qdrant: maintenance until" in outcome.why
        assert verbs(outcome.incident) == ["evidence"]
        assert drill.states()["qdrant"] != "running"
    finally:
        close_windows(drill.home, time.time())
    drill.recovers(lambda: None)
    assert set(drill.states().values()) == {"running"}
    assert drill.fingerprints() == drill.before and not recovery.book.open()


@pytest.mark.long
def test_an_emergency_is_responded_to_without_those_who_do_not_matter(drill: Drill) -> None:
    """The job itself: who was stopped to make room stays so until the end, and people are told what came of it."""
    post, book = Post(), recovery_of(drill.settings, drill.runtime, threading.Event()).book
    values = {**drill.values, "ARCHON_ALERT_URLS": f"json://127.0.0.1:{post.port}/alerts"}

    class OfDrill(Operations):
        def settings(self) -> Settings:
            return load_settings(**values)

    others = {name for name in drill.runtime.services() if name in BY_NAME and not BY_NAME[name].essential}
    for service in drill.runtime.services():
        if service not in others:
            drill.runtime.kill(service)
    job = dg.Definitions(jobs=[p0_response_job], resources={"operations": OfDrill()}).resolve_job_def("p0_response")
    config = {"ops": {"respond_to_p0": {"config": {"description": "nothing answers since the power cut"}}}}
    with serving(post), dg.DagsterInstance.ephemeral() as instance:
        assert job.execute_in_process(config, instance=instance).success
        (name,) = instance.get_dynamic_partitions("incidents")
    incident = book.get(name)
    recovered(drill, incident, "complete_failure")
    (started,) = incident.done("start_all")
    assert others and all(f"{name} is left alone: stopped on purpose" in started.text for name in others)
    assert not any(f"{name} started" in started.text for name in others)
    assert set(drill.states().values()) == {"running"} and stopped_on_purpose(drill.home) == ()
    assert [title.split()[1] for title in post.titles()] == ["CRITICAL:", "RESOLVED"]
    assert "recovered" in post.received[1]["message"]
    report = (book.directory / incident.id / "report.md").read_text()
    said = ("nothing answers since the power cut", "to make room", "started again: archon-", "notification: 2 sent")
    assert all(one in report for one in said), report
