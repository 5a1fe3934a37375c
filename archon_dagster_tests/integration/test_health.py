"""The monitor on a real platform: killed, frozen, lying and emptied servers, and what Dagster is told of them."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
import httpx
import neo4j
import pytest
from dagster._daemon.sensor import MIN_INTERVAL_LOOP_TIME
from typer.testing import CliRunner

from archon_dagster.backup.backup import BackupRequest, take_backup
from archon_dagster.cli.main import app
from archon_dagster.context import open_context
from archon_dagster.definitions import defs
from archon_dagster.health import changes, confirmed, late_documents, monitor, standing, windows
from archon_dagster.health import state as states_module
from archon_dagster.health.checks import KEYS
from archon_dagster.health.end_to_end import PROJECT, lock_file, run_end_to_end, sweep
from archon_dagster.health.history import History
from archon_dagster.health.monitor import FEW, Tick
from archon_dagster.health.samples import Sample, facets_of
from archon_dagster.health.sensors import BETWEEN_PASSES, health_monitor
from archon_dagster.health.state import load
from archon_dagster.health.state import path as state_file
from archon_dagster.platform.services import writers
from archon_dagster.platform.settings import Settings
from archon_dagster.repository.repository import Repository
from archon_dagster.resources import Operations
from archon_dagster.restore.restore import CONFIRMATION, RestoreRequest, restore_backup
from archon_dagster.sandbox import misbehaviour
from archon_dagster.sandbox.lifecycle import Sandbox
from archon_dagster.stores.base import StoreName
from archon_dagster_tests.eventually import eventually
from archon_dagster_tests.integration.conftest import clean
from archon_dagster_tests.integration.test_sandbox_vectors_failures import GOOD, broken
from archon_dagster_tests.integration.vector_server import upload
from archon_dagster_tests.platforms import lifecycle, only_processes

pytestmark = pytest.mark.sandbox

WATCHED = ("qdrant", "memgraph", "postgres", "archon-search")
FAST = {
    "health_watched": WATCHED,
    "health_reprobe": 0.2,
    "health_end_to_end": 0.0,
    "health_counts": 0.0,
    "health_model": 0.0,
}


class Watch:
    """The monitor over the sandbox, with short intervals, and a home that is empty for every test."""

    def __init__(self, sandbox: Sandbox, **settings: Any) -> None:
        self.sandbox = sandbox
        self.settings: Settings = sandbox.settings.model_copy(update=FAST | settings)

    def tick(self) -> Tick:
        found = monitor.tick(self.settings, self.sandbox.runtime)
        monitor.keep(self.settings, found)
        return found

    def tell(self, **settings: Any) -> Watch:
        return Watch(self.sandbox, **settings)

    @property
    def home(self) -> Any:
        return self.settings.home


@pytest.fixture
def watch(sandbox: Sandbox) -> Iterator[Watch]:
    clean(sandbox)
    watch = Watch(sandbox)
    for file in (watch.home / "health").glob("*"):
        file.unlink()
    assert {state.state for state in watch.tick().state.services.values()} == {"healthy"}
    yield watch
    for one in sandbox.runtime.status():
        if one.state == "paused":
            sandbox.runtime.unpause(one.service)
    lifecycle.start(sandbox.home, "qdrant")
    clean(sandbox)


@pytest.fixture
def qdrant(watch: Watch) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=watch.settings.qdrant_url, timeout=30.0) as client:
        yield client


def states(found: Tick) -> dict[str, str]:
    return {name: state.state for name, state in found.state.services.items()}


def failed(sample: Sample) -> dict[str, tuple[str, ...]]:
    """Problem and what it is about, of everything that fails."""
    return {facet.problem: facet.parts for facet in sample.failed}


# failures ------------------------------------------------------------------------------------------------------------


def test_a_killed_qdrant_is_confirmed_within_seconds_and_search_is_only_affected(watch: Watch) -> None:
    lifecycle.kill(watch.sandbox.home, "qdrant")
    begin = time.monotonic()
    found = watch.tick()
    assert time.monotonic() - begin < 10
    assert states(found)["qdrant"] == "unhealthy" and states(found)["archon-search"] in ("degraded", "unhealthy")
    first, second = confirmed(watch.home)
    assert (first.service, first.causes, first.affected, first.reached) == ("qdrant", (), ("archon-search",), False)
    assert first.problems == {"unreachable"} and first.since - first.first_seen < 5
    assert (second.service, second.causes, second.reached) == ("archon-search", ("qdrant",), True)
    lifecycle.start(watch.sandbox.home, "qdrant")
    assert set(states(watch.tick()).values()) == {"healthy"}
    assert confirmed(watch.home) == ()
    told = [(event.change.service, event.change.new) for event in changes(watch.home)]
    assert told[-2:] == [("qdrant", "healthy"), ("archon-search", "healthy")]


def test_a_frozen_graph_server_accepts_connections_and_is_unhealthy(watch: Watch) -> None:
    watch.sandbox.runtime.pause("memgraph")
    found = watch.tick()
    assert states(found)["memgraph"] == "unhealthy"
    assert failed(found.samples["memgraph"]) == {"silent": ()}
    (one,) = [one for one in confirmed(watch.home) if one.service == "memgraph"]
    assert one.reached and one.since - one.first_seen < 10
    watch.sandbox.runtime.unpause("memgraph")
    assert states(watch.tick())["memgraph"] == "healthy"


def test_one_lost_sample_wakes_nobody(watch: Watch) -> None:
    """It comes back while it is asked again."""
    watch.sandbox.runtime.pause("memgraph")
    slow = watch.tell(health_confirm_limit=0.0)
    assert states(slow.tick())["memgraph"] == "healthy"
    assert load(watch.home).services["memgraph"].in_doubt
    watch.sandbox.runtime.unpause("memgraph")
    assert watch.tick().events == () and confirmed(watch.home) == ()


def test_a_round_over_a_dead_platform_takes_less_than_three_seconds(watch: Watch) -> None:
    for name in ("qdrant", "memgraph", "postgres"):
        watch.sandbox.runtime.pause(name)
    found = watch.tell(health_confirm_limit=0.0).tick()
    assert found.seconds < 3
    assert {found.samples[name].verdict for name in ("qdrant", "memgraph", "postgres")} == {"unhealthy"}


def test_a_restarted_monitor_goes_on_with_its_doubts(watch: Watch) -> None:
    lifecycle.kill(watch.sandbox.home, "qdrant")
    for _ in range(3):  # each a new process as far as the monitor can know
        found = watch.tell(health_confirm_limit=0.0).tick()
    assert states(found)["qdrant"] == "unhealthy"


def test_a_monitor_with_a_damaged_state_begins_anew_and_forgets_no_event(watch: Watch) -> None:
    before = changes(watch.home)[-1].sequence
    state_file(watch.home).write_text("{")
    watch.tick()
    assert [event.sequence for event in changes(watch.home, after=before)] == list(range(before + 1, before + 5))


# collections ---------------------------------------------------------------------------------------------------------


def test_garbage_vectors_behind_right_counts_are_not_functional(watch: Watch, qdrant: httpx.Client) -> None:
    assert upload(qdrant, "sound", GOOD).status_code == 200
    assert upload(qdrant, "archon_vectors", GOOD).status_code == 200
    assert states(watch.tick())["qdrant"] in ("healthy", "degraded")
    assert upload(qdrant, "archon_vectors", broken("matrix.dat")).status_code == 200
    counted = qdrant.post("/collections/archon_vectors/points/count", json={"exact": True}).json()["result"]["count"]
    assert counted == 600 and qdrant.get("/readyz").status_code == 200
    found = watch.tick()
    assert states(found)["qdrant"] == "unhealthy"
    assert failed(found.samples["qdrant"])["garbage_collection"] == ("archon_vectors",)
    functional = found.samples["qdrant"].facet("functional")
    assert functional is not None and "600 points counted" in functional.detail


def test_a_dead_collection_behind_a_happy_readyz_is_not_ready(watch: Watch, qdrant: httpx.Client) -> None:
    assert upload(qdrant, "sound", GOOD).status_code == 200
    assert upload(qdrant, "dead", GOOD).status_code == 200
    assert upload(qdrant, "dead", broken("segment.json")).status_code == 500
    assert qdrant.get("/readyz").status_code == 200
    found = watch.tick()
    assert failed(found.samples["qdrant"])["dead_collection"] == ("dead",)
    (one,) = [one for one in confirmed(watch.home) if one.service == "qdrant"]
    assert one.state == "unhealthy" and one.reached
    qdrant.delete("/collections/dead").raise_for_status()
    assert states(watch.tick())["qdrant"] == "healthy"


def test_an_empty_collection_is_well(watch: Watch, qdrant: httpx.Client) -> None:
    body = {"vectors": {"size": 1536, "distance": "Cosine"}}
    qdrant.put("/collections/archon_vectors", json=body).raise_for_status()
    assert watch.tick().samples["qdrant"].verdict == "healthy"


def test_a_live_collection_of_another_size_degrades(watch: Watch, qdrant: httpx.Client) -> None:
    body = {"vectors": {"size": 768, "distance": "Cosine"}}
    qdrant.put("/collections/archon_vectors", json=body).raise_for_status()
    found = watch.tick()
    assert states(found)["qdrant"] == "degraded"
    assert failed(found.samples["qdrant"]) == {"wrong_dimension": ("archon_vectors",)}
    assert [(one.service, one.check, one.minor) for one in standing(watch.home).failing] == [
        ("qdrant", "consistent", True)
    ]
    qdrant.delete("/collections/archon_vectors").raise_for_status()  # there is nothing to compare any more
    assert states(watch.tick())["qdrant"] == "healthy"
    assert standing(watch.home).failing == ()


# the slower looks ----------------------------------------------------------------------------------------------------


def marked(qdrant: httpx.Client) -> int:
    """Documents of end-to-end tests, in any collection."""
    found = 0
    for entry in qdrant.get("/collections").json()["result"]["collections"]:
        wanted = {"filter": {"must": [{"key": "project_id", "match": {"value": PROJECT}}]}, "exact": True}
        found += qdrant.post(f"/collections/{entry['name']}/points/count", json=wanted).json()["result"]["count"]
    return found


def test_end_to_end_finds_its_own_document_and_leaves_nothing(watch: Watch, qdrant: httpx.Client) -> None:
    outcome = run_end_to_end(watch.settings)
    assert outcome.passed, outcome.detail
    assert [name for name, _ in outcome.steps] == ["index", "find", "see", "delete"]
    assert marked(qdrant) == 0


def index(watch: Watch, document_id: str) -> None:
    body = {"document_id": document_id, "content": "left behind", "project_id": PROJECT}
    where = f"http://127.0.0.1:{watch.settings.search_port}/vectorize/document"
    assert httpx.post(where, json=body, timeout=30.0).json()["success"] is True


def test_what_a_killed_test_left_goes_with_the_next_one_and_nothing_else_does(
    watch: Watch, qdrant: httpx.Client
) -> None:
    index(watch, "left-by-a-killed-test")
    where = f"http://127.0.0.1:{watch.settings.search_port}/vectorize/document"
    httpx.post(where, json={"document_id": "kept", "content": "a real document", "project_id": "p1"}, timeout=30.0)
    assert marked(qdrant) == 1
    assert run_end_to_end(watch.settings).passed
    assert marked(qdrant) == 0
    left = qdrant.post("/collections/archon_vectors/points/count", json={"exact": True}).json()["result"]["count"]
    assert left == 1


def test_a_document_that_is_indexed_after_its_test_is_swept_by_the_next_rounds(
    watch: Watch, qdrant: httpx.Client
) -> None:
    """Its embedder is slow: search goes on when nobody waits any more, and no further test is ever made."""
    assert run_end_to_end(watch.settings).passed  # its collection is there
    misbehaviour.misbehave(watch.home, "ollama", "slow", 3.0)
    try:
        outcome = run_end_to_end(watch.settings, limit=1.0)
        assert (outcome.passed, outcome.step) == (False, "index"), outcome
        assert marked(qdrant) == 0
        assert eventually(lambda: marked(qdrant) == 1)
    finally:
        misbehaviour.behave(watch.home, "ollama")
    assert watch.settings.health_end_to_end == 0.0

    def swept() -> bool:
        watch.tick()
        return marked(qdrant) == 0

    assert eventually(swept, 60)


def test_what_a_test_could_not_delete_is_deleted_when_qdrant_is_back(watch: Watch, qdrant: httpx.Client) -> None:
    watch.sandbox.runtime.pause("qdrant")
    outcome = run_end_to_end(watch.settings, limit=1.0)
    assert not outcome.passed and "could not be deleted" in outcome.detail
    watch.sandbox.runtime.unpause("qdrant")
    assert eventually(lambda: watch.tick().samples["qdrant"].verdict == "healthy" and marked(qdrant) == 0, 60)


def test_nothing_is_swept_while_somebody_backs_up(watch: Watch, qdrant: httpx.Client, tmp_path: Any) -> None:
    busy = watch.tell(repository_setting=str(tmp_path / "repository"))
    late_documents.expect(watch.home, time.time() - 60.0)
    index(watch, "late")
    with open_context(busy.settings).repository.lock("manual backup"):
        busy.tick()
        assert marked(qdrant) == 1
    busy.tick()
    assert marked(qdrant) == 0


def test_end_to_end_that_fails_names_the_step_and_leaves_nothing(watch: Watch, qdrant: httpx.Client) -> None:
    """The search service writes to one Qdrant while we look into another: the document is found, but not seen."""
    index(watch, "left")
    with_other_port = watch.settings.model_copy(update={"search_port": watch.settings.postgres_port})
    outcome = run_end_to_end(with_other_port, limit=2.0)
    assert (outcome.passed, outcome.step) == (False, "index") and outcome.detail.startswith("index: ")
    assert marked(qdrant) == 0


def test_a_search_that_finds_nothing_fails_end_to_end(watch: Watch, qdrant: httpx.Client) -> None:
    """Broken vectors: everything is indexed and counted, and every search is 200 with no results."""
    body = {"vectors": {"size": 1536, "distance": "Cosine"}}
    qdrant.put("/collections/archon_vectors", json=body).raise_for_status()
    qdrant.put("/collections/quality_vectors", json={"vectors": {"size": 4, "distance": "Cosine"}}).raise_for_status()
    outcome = run_end_to_end(watch.settings, limit=2.0)  # the search over both collections fails inside: 200, empty
    assert (outcome.passed, outcome.step) == (False, "find"), outcome
    assert "not among the 0 results" in outcome.detail
    assert marked(qdrant) == 0


def test_one_end_to_end_test_at_a_time(watch: Watch) -> None:
    from filelock import FileLock

    with FileLock(lock_file(watch.home)):
        found = watch.tell(health_end_to_end=600.0).tick()
    functional = found.samples["archon-search"].facet("functional")
    assert functional is None or functional.passed is None
    assert "another end-to-end test is running" in found.state.known.end_to_end.detail


def test_the_sweep_alone_is_harmless_on_an_empty_server(watch: Watch) -> None:
    sweep(watch.settings)


def test_stores_that_lost_their_records_are_inconsistent(watch: Watch, qdrant: httpx.Client, tmp_path: Any) -> None:
    """The graph is emptied behind the monitor's back, and so is the vector collection."""
    assert upload(qdrant, "archon_vectors", GOOD).status_code == 200
    write_graph(watch.settings, 200)
    repository = {"repository_setting": str(tmp_path / "repository")}
    settings = watch.settings.model_copy(update=repository)
    context = dataclasses.replace(open_context(settings), runtime=watch.sandbox.runtime)
    take_backup(context, BackupRequest(kind="manual", stores=("vectors", "graph"), quiesce=False))
    stores = WATCHED[:3]  # search makes longer vectors, and finds nothing among these
    counting = watch.tell(health_watched=stores, health_counts=60.0, embedding_dimensions=32, **repository)
    assert set(states(counting.tick()).values()) == {"healthy"}
    clean(watch.sandbox)
    later: Callable[[], float] = lambda: time.time() + 120.0  # noqa: E731
    first = monitor.tick(counting.settings, watch.sandbox.runtime, clock=later)
    assert states(first)["qdrant"] == "unhealthy"  # counted in every round, so it is told first
    found = monitor.tick(counting.settings, watch.sandbox.runtime, clock=later, before=first.state)
    assert states(found)["qdrant"] == states(found)["memgraph"] == "unhealthy"
    assert failed(found.samples["qdrant"]) == {"count_collapsed": ("archon_vectors",)}
    assert "count_collapsed" in failed(found.samples["memgraph"])


def test_the_model_is_asked_for_a_vector_and_its_real_length_counts(watch: Watch, qdrant: httpx.Client) -> None:
    body = {"vectors": {"size": 1536, "distance": "Cosine"}}
    qdrant.put("/collections/archon_vectors", json=body).raise_for_status()
    asking = watch.tell(health_watched=("qdrant", "ollama"), health_model=600.0)
    ollama = asking.tick().samples["ollama"]
    functional, consistent = ollama.facet("functional"), ollama.facet("consistent")
    assert functional is not None and functional.passed and functional.detail.startswith("1536 numbers")
    assert consistent is not None and consistent.passed
    wrong = asking.tell(health_watched=("qdrant", "ollama"), embedding_dimensions=768).tick()
    assert failed(wrong.samples["ollama"]) == {"wrong_dimension": ()}
    assert failed(wrong.samples["qdrant"]) == {"wrong_dimension": ("archon_vectors",)}


def backed_up(watch: Watch, tmp_path: Any, *stores: StoreName) -> Watch:
    """The watch that compares with a backup of these stores, which has just been taken."""
    repository = {"repository_setting": str(tmp_path / "repository")}
    settings = watch.settings.model_copy(update=repository)
    context = dataclasses.replace(open_context(settings), runtime=watch.sandbox.runtime)
    take_backup(context, BackupRequest(kind="manual", stores=stores, quiesce=False))
    return watch.tell(health_counts=60.0, **repository)


def test_what_a_restore_has_brought_back_is_well_at_once(watch: Watch, tmp_path: Any) -> None:
    """The counts of a minute ago are those of the emptied store: nobody waits until they are due."""
    write_graph(watch.settings, 200)
    counting = backed_up(watch, tmp_path, "graph")
    assert states(counting.tick())["memgraph"] == "healthy"
    clean(watch.sandbox)
    state = load(watch.home)
    states_module.save(watch.home, dataclasses.replace(state, known=dataclasses.replace(state.known, live_at=0.0)))
    assert states(counting.tick())["memgraph"] == "unhealthy"
    context = dataclasses.replace(open_context(counting.settings), runtime=watch.sandbox.runtime)
    restore_backup(context, RestoreRequest("latest", CONFIRMATION, ("graph",)))
    found = counting.tick()
    assert states(found)["memgraph"] == "healthy", found.samples["memgraph"]
    consistent = found.samples["memgraph"].facet("consistent")
    assert consistent is not None and consistent.passed and "200 records" in consistent.detail


def test_a_dropped_database_turns_its_check_red(watch: Watch, tmp_path: Any) -> None:
    sql(watch, "CREATE TABLE public.kept (id int); INSERT INTO public.kept SELECT generate_series(1, 5)")
    counting = backed_up(watch, tmp_path, "relational")
    assert states(counting.tick())["postgres"] == "healthy"
    name = watch.settings.postgres_db
    sql(watch, f'DROP DATABASE "{name}" WITH (FORCE)', database="template1")
    later: Callable[[], float] = lambda: time.time() + 120.0  # noqa: E731
    try:
        found = monitor.tick(counting.settings, watch.sandbox.runtime, clock=later)
    finally:
        sql(watch, f'CREATE DATABASE "{name}"', database="template1")
    assert failed(found.samples["postgres"]) == {"database_gone": ()}
    assert states(found)["postgres"] == "unhealthy"


def test_services_that_say_they_are_healthy_and_know_nothing_are_caught_without_a_monitor(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is written for it: what is stored is asked for."""
    for number in range(12):
        index(watch, f"stored-{number}")
    write_graph(watch.settings, 50)
    for file in (watch.home / "health").glob("*"):
        file.unlink()  # nobody has ever looked here
    monkeypatch.setenv("ARCHON_HOME", str(watch.home))
    monkeypatch.setenv("ARCHON_HEALTH_WATCHED", json.dumps([*WATCHED, "archon-bridge", "ollama"]))
    run = CliRunner()
    assert run.invoke(app, ["health"]).exit_code == 0
    for name in ("archon-search", "archon-bridge"):
        misbehaviour.misbehave(watch.sandbox.home, name, "lie")
    try:
        said = json.loads(run.invoke(app, ["health", "--json"]).output)
    finally:
        for name in ("archon-search", "archon-bridge"):
            misbehaviour.behave(watch.sandbox.home, name)
    assert said["platform"] == "down"
    for name, words in (("archon-search", "finds nothing, where archon_vectors holds 12 points"),
                        ("archon-bridge", "knows of 0 nodes, where the graph holds 50")):  # fmt: skip
        assert said["services"][name]["state"] == "unhealthy" and words in said["services"][name]["answer"]


def sql(watch: Watch, statement: str, database: str = "") -> None:
    words = ["psql", "-qX", "-v", "ON_ERROR_STOP=1", *(["-d", database] if database else []), "-c", statement]
    with watch.sandbox.runtime.exec("postgres", words) as command:
        command.stdin.close()
        assert command.wait(60.0) == 0, command.stderr_tail()


def write_graph(settings: Settings, nodes: int) -> None:
    login = (settings.memgraph_user, settings.memgraph_password.get_secret_value())
    with neo4j.GraphDatabase.driver(settings.memgraph_uri, auth=login if any(login) else None) as driver:
        statement = "UNWIND range(1, $nodes) AS number CREATE (:File {entity_id: number})"
        driver.execute_query(statement, nodes=nodes, database_=settings.memgraph_database)


# maintenance ---------------------------------------------------------------------------------------------------------


def test_in_maintenance_a_dead_service_is_no_news(watch: Watch) -> None:
    windows.open_window(watch.home, 600.0, "disk", time.time(), ["qdrant", "archon-search"], who="ada")
    lifecycle.kill(watch.sandbox.home, "qdrant")
    found = watch.tick()
    assert states(found)["qdrant"] == states(found)["archon-search"] == "maintenance"
    assert confirmed(watch.home) == ()
    windows.close_windows(watch.home, time.time())
    assert states(watch.tick())["qdrant"] == "unhealthy"


def test_who_suffers_from_one_in_maintenance_has_not_failed_on_its_own(watch: Watch) -> None:
    windows.open_window(watch.home, 600.0, "disk", time.time(), ["qdrant"], who="ada")
    lifecycle.kill(watch.sandbox.home, "qdrant")
    found = watch.tick()
    assert states(found)["qdrant"] == "maintenance"
    (search,) = confirmed(watch.home)
    assert (search.service, search.causes) == ("archon-search", ("qdrant",))


def test_a_restore_at_work_is_maintenance(watch: Watch, tmp_path: Any) -> None:
    settings = {"repository_setting": str(tmp_path / "repository")}
    busy = watch.tell(**settings)
    context = open_context(busy.settings)
    with context.repository.lock("restore of 20261120T030000Z-7f3a"):
        lifecycle.kill(watch.sandbox.home, "qdrant")
        found = busy.tick()
    assert set(states(found).values()) == {"maintenance"} and confirmed(watch.home) == ()


def test_writers_held_still_by_a_backup_are_no_failure_and_a_dead_store_is_one(watch: Watch, tmp_path: Any) -> None:
    busy = watch.tell(repository_setting=str(tmp_path / "repository"))
    context = open_context(busy.settings)
    with context.repository.lock("manual backup"):
        watch.sandbox.runtime.pause("archon-search")
        lifecycle.kill(watch.sandbox.home, "qdrant")
        found = busy.tick()
    assert states(found)["archon-search"] == "healthy" and states(found)["qdrant"] == "unhealthy"


# the command line ----------------------------------------------------------------------------------------------------


def test_the_exit_code_says_healthy_degraded_or_down(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARCHON_HOME", str(watch.home))
    monkeypatch.setenv("ARCHON_HEALTH_WATCHED", json.dumps(WATCHED))
    run = CliRunner()
    good = run.invoke(app, ["health"])
    assert good.exit_code == 0 and "platform: healthy" in good.output
    lifecycle.kill(watch.sandbox.home, "archon-search")
    lifecycle.kill(watch.sandbox.home, "qdrant")
    down = run.invoke(app, ["health", "--json"])
    lifecycle.start(watch.sandbox.home, "qdrant")
    lifecycle.start(watch.sandbox.home, "archon-search")
    assert down.exit_code == 2
    said = json.loads(down.output)
    assert (said["platform"], said["exit_code"]) == ("down", 2)
    assert said["services"]["qdrant"]["state"] == "unhealthy"
    assert said["services"]["archon-search"]["causes"] == []  # its own port is closed: no mere victim
    assert confirmed(watch.home) == (), "looking from a shell changes nothing of what the monitor knows"


# Dagster -------------------------------------------------------------------------------------------------------------


class Sensor:
    """The sensor as the daemon runs it: its events go to a real instance, its cursor is kept."""

    def __init__(self, watch: Watch, instance: dg.DagsterInstance) -> None:
        self.watch, self.instance, self.cursor = watch, instance, ""

    def tick(self, **settings: Any) -> dg.SensorResult | dg.SkipReason:
        watched = self.watch.tell(**settings).settings

        class Here(Operations):
            def settings(self) -> Settings:
                return watched

        context = dg.build_sensor_context(
            instance=self.instance, cursor=self.cursor or None, resources={"operations": Here()}
        )
        result = health_monitor(context)
        assert isinstance(result, dg.SensorResult | dg.SkipReason)
        if isinstance(result, dg.SensorResult):
            for event in result.asset_events:
                self.instance.report_runless_asset_event(event)
            self.cursor = result.cursor or self.cursor
        return result

    def tell_everybody(self) -> None:
        """The first ticks, until there is nothing more to tell."""
        for _ in WATCHED:
            if isinstance(self.tick(), dg.SkipReason):
                return

    def evaluations(self, service: str, check: str) -> list[bool]:
        """What a check has said so far, oldest first."""
        key = dg.AssetCheckKey(KEYS[service], check)
        records = self.instance.event_log_storage.get_asset_check_execution_history(key, limit=100)
        found = [record.event.dagster_event.asset_check_evaluation_data for record in records]  # type: ignore[union-attr]
        return [evaluation.passed for evaluation in reversed(found)]

    def count(self) -> int:
        return sum(len(self.evaluations(name, facet)) for name in WATCHED for facet in facets_of(name))


@pytest.fixture
def sensor(watch: Watch) -> Iterator[Sensor]:
    with dg.instance_for_test() as instance:
        yield Sensor(watch, instance)


def test_the_first_ticks_tell_everybody_a_few_at_a_time_and_the_next_ones_nothing(sensor: Sensor) -> None:
    first = sensor.tick()
    assert isinstance(first, dg.SensorResult)
    assert {event.asset_key for event in first.asset_events} == {KEYS[name] for name in WATCHED[:FEW]}
    sensor.tell_everybody()
    told = sensor.count()
    assert told >= 3 * len(WATCHED)
    assert all(isinstance(sensor.tick(), dg.SkipReason) for _ in range(3))
    assert sensor.count() == told


def test_what_is_broken_from_the_beginning_is_told_at_once(sensor: Sensor) -> None:
    lifecycle.kill(sensor.watch.sandbox.home, "archon-search")
    sensor.tick()
    assert sensor.evaluations("archon-search", "reachable") == [False]
    lifecycle.start(sensor.watch.sandbox.home, "archon-search")


def test_a_new_instance_is_told_at_once_what_is_broken(sensor: Sensor) -> None:
    sensor.tell_everybody()
    lifecycle.kill(sensor.watch.sandbox.home, "archon-search")
    sensor.tick()
    with dg.instance_for_test() as fresh:
        other = Sensor(sensor.watch, fresh)
        other.tick()
        assert other.evaluations("archon-search", "reachable") == [False]
        other.tell_everybody()
        assert other.evaluations("postgres", "ready") == [True]
    lifecycle.start(sensor.watch.sandbox.home, "archon-search")


def test_a_failure_is_one_evaluation_and_so_is_its_end(sensor: Sensor) -> None:
    sensor.tell_everybody()
    lifecycle.kill(sensor.watch.sandbox.home, "qdrant")
    told = sensor.tick()
    assert isinstance(told, dg.SensorResult) and told.skip_reason is not None
    assert "qdrant: healthy -> unhealthy" in str(told.skip_reason.skip_message)
    for _ in range(2):
        assert isinstance(sensor.tick(), dg.SkipReason)
    lifecycle.start(sensor.watch.sandbox.home, "qdrant")
    sensor.tick()
    assert sensor.evaluations("qdrant", "reachable") == [True, False, True]
    assert sensor.evaluations("archon-search", "ready") == [True, False, True]
    assert sensor.evaluations("postgres", "ready") == [True]


def test_a_heartbeat_tells_everything_again(sensor: Sensor) -> None:
    sensor.tell_everybody()
    first = sensor.count()
    sensor.tick(health_heartbeat=0.001)
    assert sensor.count() == 2 * first


def test_what_a_crash_kept_from_dagster_is_told_the_next_time(sensor: Sensor) -> None:
    sensor.tell_everybody()
    lifecycle.kill(sensor.watch.sandbox.home, "qdrant")
    sensor.watch.tick()  # confirmed and kept, and the daemon dies before it has written the events
    assert isinstance(sensor.tick(), dg.SensorResult)
    assert sensor.evaluations("qdrant", "reachable") == [True, False]


def test_an_affected_service_is_a_warning_and_names_the_cause(sensor: Sensor) -> None:
    sensor.tell_everybody()
    lifecycle.kill(sensor.watch.sandbox.home, "qdrant")
    result = sensor.tick()
    assert isinstance(result, dg.SensorResult)
    told = {
        (event.asset_key.path[-1], event.check_name): event
        for event in result.asset_events
        if isinstance(event, dg.AssetCheckEvaluation)
    }
    assert told["qdrant", "reachable"].severity == dg.AssetCheckSeverity.ERROR
    search = told["archon-search", "ready"]
    assert not search.passed and search.severity == dg.AssetCheckSeverity.WARN
    assert search.metadata["because of"].value == "qdrant"


def test_at_an_interval_of_a_second_a_tick_makes_several_rounds_until_there_is_news(sensor: Sensor) -> None:
    sensor.tell_everybody()
    before = len(History(sensor.watch.home).of("qdrant"))
    begun = time.monotonic()
    said = sensor.tick(health_interval=1)
    assert time.monotonic() - begun < BETWEEN_PASSES + 5.0  # a round that has begun is not cut short
    assert isinstance(said, dg.SkipReason)
    rounds = len(History(sensor.watch.home).of("qdrant")) - before
    assert rounds >= 2 and f"{rounds} rounds; nothing new" in str(said.skip_message)
    lifecycle.kill(sensor.watch.sandbox.home, "archon-search")
    assert isinstance(sensor.tick(health_interval=1), dg.SensorResult)
    assert sensor.evaluations("archon-search", "reachable") == [True, False]
    lifecycle.start(sensor.watch.sandbox.home, "archon-search")


def test_a_tick_at_the_usual_interval_is_one_round(sensor: Sensor) -> None:
    sensor.tell_everybody()
    before = len(History(sensor.watch.home).of("qdrant"))
    sensor.tick(health_interval=5)
    assert len(History(sensor.watch.home).of("qdrant")) == before + 1


CODE_LOCATION = """
import dagster as dg
from archon_dagster.health.sensors import health_monitor
from archon_dagster.resources import Operations

defs = dg.Definitions(sensors=[health_monitor], resources={"operations": Operations()})
"""


def test_dagsters_daemon_makes_a_round_every_second(watch: Watch, tmp_path: Any) -> None:
    """It passes by every five seconds: one round in each pass would take fifteen seconds for four of them."""
    assert MIN_INTERVAL_LOOP_TIME == BETWEEN_PASSES
    (tmp_path / "monitor_only.py").write_text(CODE_LOCATION)
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\nsensors: {use_threads: true}\n")
    environment = {**os.environ, **watch.sandbox.environment, "ARCHON_HOME": str(watch.home)}
    environment |= {
        "DAGSTER_HOME": str(tmp_path), "ARCHON_HEALTH_INTERVAL": "1", "ARCHON_HEALTH_WATCHED": json.dumps(WATCHED)
    }  # fmt: skip
    daemon = subprocess.Popen(
        [sys.executable, "-m", "dagster._daemon", "run", "-f", str(tmp_path / "monitor_only.py")],
        env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    begun = time.time()

    def every_second() -> bool:
        times = [point.at for point in History(watch.home).of("qdrant", limit=500) if point.at > begun]
        return any(last - first <= 9.0 for first, last in zip(times, times[3:], strict=False))

    try:
        assert eventually(every_second, 180)
        assert daemon.poll() is None
    finally:
        daemon.terminate()
        daemon.wait(60)


def test_writers_that_a_dead_backup_has_left_paused_go_on_in_the_next_round(sensor: Sensor) -> None:
    """Its guard is dead too, as it is when a container is killed."""
    runtime, before = sensor.watch.sandbox.runtime, list(changes(sensor.watch.home))
    program = (
        "import os, signal\n"
        "from archon_dagster.context import open_context\n"
        "from archon_dagster.platform.quiesce import paused_writers\n"
        "from archon_dagster.platform.settings import load_settings\n"
        "import psutil\n"
        "context = open_context(load_settings())\n"
        "with context.repository.lock('backup'), paused_writers(context.settings, context.runtime):\n"
        "    for child in psutil.Process().children():\n"
        "        child.kill()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    Repository.open(sensor.watch.settings.repository, create=True)
    environment = {**os.environ, "ARCHON_HOME": str(sensor.watch.home)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    left = {one.service for one in runtime.status() if one.state == "paused"}
    assert left == {one.name for one in writers(sensor.watch.sandbox.services)}
    sensor.tick()
    assert {one.state for one in runtime.status()} == {"running"}
    assert set(states(sensor.watch.tick()).values()) == {"healthy"}
    assert list(changes(sensor.watch.home)) == before


def test_response_times_are_numbers_that_plot_and_a_table(sensor: Sensor) -> None:
    result = sensor.tick()
    assert isinstance(result, dg.SensorResult)
    (seen,) = [e for e in result.asset_events if isinstance(e, dg.AssetObservation) and e.asset_key == KEYS["qdrant"]]
    assert isinstance(seen.metadata["response time (ms)"].value, float)
    assert "| last | samples |" in str(seen.metadata["response times"].value)
    assert History(sensor.watch.home).of("qdrant")


@only_processes("the platform's directory has a compose file there")
def test_without_a_platform_the_sensor_skips(sensor: Sensor) -> None:
    sensor.watch.settings = sensor.watch.settings.model_copy(update={"runtime": "elsewhere"})
    result = sensor.tick(runtime="compose")
    assert isinstance(result, dg.SkipReason)


def test_the_job_looks_at_everything_now_and_a_red_check_does_not_fail_it(watch: Watch) -> None:
    class Here(Operations):
        def settings(self) -> Settings:
            return watch.tell(health_end_to_end=600.0).settings

    loaded = dg.Definitions(assets=defs.assets, jobs=defs.jobs, resources={"operations": Here()})
    job = loaded.resolve_job_def("health")
    with dg.instance_for_test() as instance:
        good = job.execute_in_process(instance=instance)
        told = {(e.asset_key.path[-1], e.check_name): e.passed for e in good.get_asset_check_evaluations()}
        assert good.success and told["archon-search", "functional"] and told["qdrant", "functional"]
        assert {e.asset_key for e in good.get_asset_materialization_events()} == {KEYS[name] for name in WATCHED}
        lifecycle.kill(watch.sandbox.home, "qdrant")
        bad = job.execute_in_process(instance=instance)
        told = {(e.asset_key.path[-1], e.check_name): e.passed for e in bad.get_asset_check_evaluations()}
        assert bad.success and told["qdrant", "reachable"] is False
    assert standing(watch.home).at < time.time()
