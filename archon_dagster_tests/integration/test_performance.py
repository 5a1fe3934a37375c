"""Performance on real servers: what is measured is real, what is worse is found, tuning holds or says who undid it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import pytest

from archon_dagster.context import OperationContext, Step, open_context
from archon_dagster.definitions import defs
from archon_dagster.errors import Cancelled, ConfigurationError, RepositoryBusy, StoreError
from archon_dagster.health.end_to_end import PROJECT
from archon_dagster.maintenance.catalogue import STEPS
from archon_dagster.maintenance.step import MaintenanceContext
from archon_dagster.performance.baseline import load, path, take_baseline, take_report
from archon_dagster.performance.measures import AREAS, Measurement
from archon_dagster.performance.response_times import SEARCH
from archon_dagster.performance.tuning import journal, qdrant
from archon_dagster.performance.tuning.drift import look
from archon_dagster.performance.tuning.planning import TuneRequest
from archon_dagster.platform.readiness import wait_until_ready
from archon_dagster.platform.settings import Settings
from archon_dagster.sandbox.lifecycle import Sandbox
from archon_dagster.sandbox.misbehaviour import behave, misbehave
from archon_dagster.sandbox.seed import seed
from archon_dagster.stores.base import Progress
from archon_dagster_tests.platforms import running_platform

pytestmark = [pytest.mark.sandbox, pytest.mark.long, pytest.mark.timeout(600)]

TUNED = TuneRequest(("indexing_threshold=20000", "deleted_threshold=0.3"), ("archon_vectors",))
VECTORS = "archon_vectors"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A platform of this module's own: its collections are tuned."""
    home = tmp_path_factory.mktemp("performance")
    with running_platform(home) as sandbox:
        seed(sandbox.settings, sandbox.runtime, limit=6, max_points=30)
        yield sandbox


@pytest.fixture
def platform(running: Sandbox) -> Iterator[Sandbox]:
    """The platform as it was at first: environment, settings of the collections, no journal."""
    file, before = running.env_file, running.env_file.read_bytes()
    optimizers = live(running)
    yield running
    behave(running.home, SEARCH)
    if file.read_bytes() != before:
        file.write_bytes(before)
        running.runtime.recreate(SEARCH)
        wait_until_ready((SEARCH,), running.settings, running.runtime)
    names = ("indexing_threshold", "flush_interval_sec", "deleted_threshold")
    ask(running, "PATCH", {"optimizers_config": {name: optimizers[name] for name in names}})
    journal.path(running.home).unlink(missing_ok=True)
    path(running.home).unlink(missing_ok=True)


def quick(platform: Sandbox) -> Settings:
    return platform.settings.model_copy(update={"performance_samples": 5})


def opened(platform: Sandbox, cancel_at: str = "") -> OperationContext:
    cancel = threading.Event()

    def report(news: Step | Progress) -> None:
        if isinstance(news, Step) and cancel_at and news.name == cancel_at and news.seconds is None:
            cancel.set()

    return open_context(quick(platform), cancel=cancel, report=report)


def ask(platform: Sandbox, method: str, body: Any = None) -> Any:
    with httpx.Client(base_url=platform.settings.qdrant_url, trust_env=False, timeout=30.0) as client:
        return client.request(method, f"/collections/{VECTORS}", json=body).raise_for_status().json()["result"]


def live(platform: Sandbox) -> dict[str, Any]:
    """The settings of the collection's optimizers, asked without the code under test."""
    return dict(ask(platform, "GET")["config"]["optimizer_config"])


def refreshing(platform: Sandbox) -> None:
    """Let the search service have the habit that undoes any tuning."""
    lines = [line for line in platform.env_file.read_text().splitlines() if not line.startswith("AUTO_REFRESH")]
    platform.env_file.write_text("\n".join([*lines, "AUTO_REFRESH_ENABLED=true", ""]))
    platform.runtime.recreate(SEARCH)
    wait_until_ready((SEARCH,), platform.settings, platform.runtime)


# measuring -----------------------------------------------------------------------------------------------------------


def test_every_part_is_measured_and_nothing_is_left_behind(platform: Sandbox) -> None:
    counts = opened(platform).fingerprints()
    measured = take_report(quick(platform), platform.runtime, threading.Event()).measurement
    assert measured.missing == ()
    assert {one.area for one in measured.readings} == set(AREAS)
    for subject in (SEARCH, "archon-intelligence", "archon-search, a search", VECTORS, "graph, a round trip",
                    "database, 1000 rows"):  # fmt: skip
        assert measured.value(subject, "answers") == 5
        p50, p95 = measured.value(subject, "p50"), measured.value(subject, "p95")
        assert p50 is not None and p95 is not None and 0 < p50 <= p95
    assert measured.value(VECTORS, "points") == ask(platform, "GET")["points_count"]
    assert {one.subject for one in measured.of("services")} == set(platform.services)
    for service in platform.services:
        assert (measured.value(service, "memory") or 0) > 1_000_000
        assert (measured.value(service, "cpu") or 0) >= 0
    assert opened(platform).fingerprints() == counts


def test_a_slower_service_is_worse_than_the_baseline_and_does_not_become_the_rule(platform: Sandbox) -> None:
    settings, stop = quick(platform), threading.Event()
    assert take_baseline(settings, platform.runtime, stop).renewed
    before = load(platform.home)
    misbehave(platform.home, SEARCH, "slow", 0.4)
    report = take_baseline(settings, platform.runtime, stop)
    worse = {(one.reading.subject, one.reading.name) for one in report.comparison.worse}
    assert {(SEARCH, "p50"), ("archon-search, a search", "p50")} <= worse
    assert not report.renewed and "archon-search p50" in report.kept
    assert load(platform.home) == before


def test_a_search_that_answers_200_with_nothing_is_no_fast_one(platform: Sandbox) -> None:
    misbehave(platform.home, SEARCH, "lie")
    measured = take_report(quick(platform), platform.runtime, threading.Event()).measurement
    assert measured.value("archon-search, a search", "p50") is None
    assert measured.value("archon-search, a search", "failed") == 1.0
    (why,) = [one.why for one in measured.missing if one.subject == "archon-search, a search"]
    assert "HTTP 200 without a result" in why


def test_a_server_that_is_down_is_missing_and_the_others_are_measured(platform: Sandbox) -> None:
    platform.runtime.stop("memgraph")
    try:
        measured = take_report(quick(platform), platform.runtime, threading.Event()).measurement
    finally:
        platform.runtime.up("memgraph")
        wait_until_ready(("memgraph",), platform.settings, platform.runtime)
    missing = {one.subject: one.why for one in measured.missing}
    assert "the graph server is gone" in missing["graph"]
    assert missing["memgraph"] == "it does not run"
    assert measured.value(VECTORS, "p95") is not None and measured.value("database, 1000 rows", "p95") is not None


def test_it_ends_soon_when_it_is_cancelled_and_keeps_nothing(platform: Sandbox) -> None:
    stop = threading.Event()

    def report(news: Step | Progress) -> None:
        if isinstance(news, Step) and news.name == "measure response times":
            stop.set()

    with pytest.raises(Cancelled):
        take_baseline(quick(platform), platform.runtime, stop, report)
    assert load(platform.home) is None


def test_the_weekly_step_renews_the_baseline(platform: Sandbox) -> None:
    (step,) = [one for one in STEPS if one.name == "baseline"]
    assert not step.harms and step.default
    done = step.work(MaintenanceContext(opened(platform)))
    assert "answers measured" in done.detail
    assert "this measurement is the baseline from now on" in done.lines
    kept = load(platform.home)
    assert isinstance(kept, Measurement) and kept.value("archon-search, a search", "answers") == 5


# tuning --------------------------------------------------------------------------------------------------------------


def test_a_plan_changes_nothing(platform: Sandbox) -> None:
    before = live(platform)
    plan = qdrant.plan_only(opened(platform), TUNED)
    (change,) = plan.changes
    assert change.before == {name: before[name] for name in change.wanted}
    assert (live(platform), journal.load(platform.home)) == (before, [])


def test_a_change_is_read_back_measured_and_undone_by_one_command(platform: Sandbox) -> None:
    before = live(platform)
    tuning = qdrant.apply(opened(platform), TUNED)
    assert live(platform) == before | {"indexing_threshold": 20_000, "deleted_threshold": 0.3}
    (change,) = tuning.changes
    assert "also after a document was indexed" in tuning.held
    assert change.effect_before is not None and change.effect_after is not None
    assert (change.effect_before.p95 or 0) > 0 and (change.effect_after.p95 or 0) > 0
    assert look(platform.settings, lambda: None) == []
    assert [one.state for one in qdrant.undo(opened(platform))] == ["undone"]
    assert live(platform) == before
    assert qdrant.undo(opened(platform)) == []
    assert left_over(platform) == 0


def test_changes_are_undone_newest_first(platform: Sandbox) -> None:
    for value in (20_000, 30_000):
        qdrant.apply(opened(platform), TuneRequest((f"indexing_threshold={value}",), (VECTORS,)))
    qdrant.undo(opened(platform))
    assert live(platform)["indexing_threshold"] == 20_000
    qdrant.undo(opened(platform))
    assert live(platform)["indexing_threshold"] == 10_000


def test_a_service_that_writes_over_it_is_found_out_and_named(platform: Sandbox) -> None:
    refreshing(platform)
    (warning,) = qdrant.plan_only(opened(platform), TUNED).warnings
    assert "archon-search will undo this after every document" in warning
    with pytest.raises(StoreError, match=r"does not hold[\s\S]*archon-search[\s\S]*AUTO_REFRESH_ENABLED=false"):
        qdrant.apply(opened(platform), TUNED)
    (drift,) = look(platform.settings, lambda: None)
    assert (drift.name, drift.wanted, drift.now) == ("indexing_threshold", 20_000, 1000)
    assert drift.by.startswith("archon-search, which writes exactly these values")
    (undone,) = qdrant.undo(opened(platform))
    assert undone.detail == "found changed by somebody else: indexing_threshold was 1000"
    assert live(platform)["indexing_threshold"] == 10_000


def test_a_change_by_hand_is_not_blamed_on_a_service(platform: Sandbox) -> None:
    qdrant.apply(opened(platform), TUNED)
    ask(platform, "PATCH", {"optimizers_config": {"indexing_threshold": 7777}})
    (drift,) = look(platform.settings, lambda: None)
    assert drift.now == 7777 and drift.by.startswith("nobody that is known")


def test_what_is_cancelled_midway_is_put_back(platform: Sandbox) -> None:
    before = live(platform)
    with pytest.raises(Cancelled):
        qdrant.apply(opened(platform, cancel_at="index a document, and look whether the values hold"), TUNED)
    assert live(platform) == before
    assert [one.state for one in journal.load(platform.home)] == ["put back"]


def test_a_killed_change_is_undone_from_what_was_noted(platform: Sandbox) -> None:
    before, program = live(platform), (
        "import os, signal, threading, sys\n"
        "from pathlib import Path\n"
        "from archon_dagster.context import open_context\n"
        "from archon_dagster.performance.tuning import qdrant\n"
        "from archon_dagster.performance.tuning.planning import TuneRequest\n"
        "from archon_dagster.platform.settings import load_settings\n"
        "def kill(*_):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        f"request = TuneRequest({TUNED.settings!r}, {TUNED.collections!r})\n"
        "qdrant.apply(open_context(load_settings()), request, functional=kill)\n"
    )  # fmt: skip
    environment = {**os.environ, "ARCHON_HOME": str(platform.home), "ARCHON_PERFORMANCE_SAMPLES": "5"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, timeout=120, check=False)
    assert done.returncode == -9
    assert live(platform)["indexing_threshold"] == 20_000
    assert [one.state for one in journal.load(platform.home)] == ["begun"]
    assert [one.state for one in qdrant.undo(opened(platform))] == ["undone"]
    assert live(platform) == before


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        (TuneRequest(("JAVA_OPTS=-Xmx2g",)), "Java virtual machine"),
        (TuneRequest(("flush_interval_sec=30",), ("nowhere",)), "no such collection: nowhere"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_touched(
    platform: Sandbox, request_: TuneRequest, why: str
) -> None:
    before = live(platform)
    with pytest.raises(ConfigurationError, match=why):
        qdrant.apply(opened(platform), request_)
    assert (live(platform), journal.load(platform.home)) == (before, [])


def test_it_waits_for_nobody_who_is_at_work(platform: Sandbox) -> None:
    with opened(platform).repository.lock("backup"), pytest.raises(RepositoryBusy):
        qdrant.apply(opened(platform), TUNED)
    assert journal.load(platform.home) == []


# the shell -----------------------------------------------------------------------------------------------------------


def run_job(platform: Sandbox, monkeypatch: pytest.MonkeyPatch, job: str, **ops: Any) -> dg.ExecuteInProcessResult:
    for name, value in platform.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("ARCHON_HOME", str(platform.home))
    monkeypatch.setenv("ARCHON_PERFORMANCE_SAMPLES", "5")
    config = {"ops": {op: {"config": value} for op, value in ops.items()}}
    with dg.instance_for_test() as instance:
        return defs.resolve_job_def(job).execute_in_process(config, instance=instance)


def checks(result: dg.ExecuteInProcessResult) -> dict[tuple[str, str], bool]:
    return {(one.asset_key.path[-1], one.check_name): one.passed for one in result.get_asset_check_evaluations()}


def test_the_report_is_assets_with_numbers_and_checks(platform: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run_job(platform, monkeypatch, "performance_report", measure_performance={"renew_baseline": True})
    assert checks(first) == {(area, "measured"): True for area in AREAS}  # there is nothing to compare with
    qdrant.apply(opened(platform), TUNED)
    ask(platform, "PATCH", {"optimizers_config": {"indexing_threshold": 7777}})
    misbehave(platform.home, SEARCH, "slow", 0.4)
    second = run_job(platform, monkeypatch, "performance_report")
    assert second.success
    found = checks(second)
    assert found[("response_times", "not_worse")] is False
    assert found[("vectors", "tuning_holds")] is False
    assert found[("response_times", "measured")] is True
    shown = {one.materialization.asset_key.path[-1]: one.materialization.metadata for one in materialized(second)}
    assert set(shown) == set(AREAS)
    assert float(str(shown["response_times"]["archon-search p50 (ms)"].value)) > 400
    assert isinstance(shown["vectors"]["numbers"], dg.TableMetadataValue)


def materialized(result: dg.ExecuteInProcessResult) -> list[Any]:
    return [event.event_specific_data for event in result.get_asset_materialization_events()]


def test_the_tuning_job_tells_by_default_applies_and_undoes(platform: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    before, wanted = live(platform), {"settings": list(TUNED.settings), "collections": list(TUNED.collections)}
    assert run_job(platform, monkeypatch, "apply_performance_tuning").success
    assert live(platform) == before
    applied = run_job(platform, monkeypatch, "apply_performance_tuning", tune={"action": "apply", **wanted})
    assert live(platform)["indexing_threshold"] == 20_000
    shown = metadata_of(applied)
    assert {record.data["state"] for record in shown["settings"].records} == {"applied"}
    assert shown["archon_vectors p95 before (ms)"] > 0 and shown["archon_vectors p95 after (ms)"] > 0
    run_job(platform, monkeypatch, "apply_performance_tuning", tune={"action": "undo"})
    assert live(platform) == before


def metadata_of(result: dg.ExecuteInProcessResult) -> Mapping[str, Any]:
    (output,) = [event for event in result.all_events if event.is_successful_output]
    return {name: value.value for name, value in output.step_output_data.metadata.items()}


def archon(platform: Sandbox, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "archon_dagster.cli", *words]
    environment = {**os.environ, "ARCHON_HOME": str(platform.home), "ARCHON_PERFORMANCE_SAMPLES": "5"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=180, check=False)


def test_the_commands_measure_tune_tell_of_drift_and_undo(platform: Sandbox) -> None:
    measured = archon(platform, "performance", "--direct", "--json")
    assert measured.returncode == 0, measured.stderr
    assert json.loads(measured.stdout)["measurement"]["readings"]
    last = archon(platform, "performance", "--last", "--json")
    assert json.loads(last.stdout) == json.loads(measured.stdout)
    tuned = archon(platform, "tune", "qdrant", *TUNED.settings, "--collection", VECTORS, "--direct", "--json")
    assert [one["state"] for one in json.loads(tuned.stdout)] == ["applied"], tuned.stderr
    assert archon(platform, "tune", "status").returncode == 0
    ask(platform, "PATCH", {"optimizers_config": {"indexing_threshold": 7777}})
    drifted = archon(platform, "tune", "status", "--json")
    assert (drifted.returncode, len(json.loads(drifted.stdout)["drifts"])) == (1, 1)
    assert archon(platform, "tune", "qdrant", "--undo", "--direct").returncode == 0
    assert live(platform)["indexing_threshold"] == 10_000
    assert archon(platform, "tune", "qdrant", "JAVA_OPTS=-Xmx2g").returncode == 2


def typed(platform: Sandbox, *words: str) -> Any:
    """What a command says that goes through Dagster."""
    done = archon(platform, *words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_worse_baseline_is_only_kept_when_it_is_typed_that_it_is_right(platform: Sandbox) -> None:
    assert typed(platform, "performance", "--baseline")["renewed"] is True
    first = load(platform.home)
    assert isinstance(first, Measurement)
    misbehave(platform.home, SEARCH, "slow", 0.4)
    refused = typed(platform, "performance", "--baseline")
    assert refused["renewed"] is False and refused["worse"]
    assert load(platform.home) == first
    assert typed(platform, "performance", "--accept-baseline")["renewed"] is True
    accepted = load(platform.home)
    assert isinstance(accepted, Measurement)
    assert (accepted.value(SEARCH, "p50") or 0) > 400 > (first.value(SEARCH, "p50") or 0)


def test_tuning_and_its_way_back_are_typed_and_done_by_dagster(platform: Sandbox) -> None:
    before = live(platform)
    (change,) = typed(platform, "tune", "qdrant", *TUNED.settings, "--collection", VECTORS)
    assert (change["state"], change["collection"]) == ("applied", VECTORS)
    assert change["effect_before"]["p95"] > 0 and change["effect_after"]["p95"] > 0
    assert live(platform) == before | {"indexing_threshold": 20_000, "deleted_threshold": 0.3}
    (undone,) = typed(platform, "tune", "qdrant", "--undo")
    assert (undone["change"], undone["state"]) == (change["change"], "undone")
    assert live(platform) == before
    assert typed(platform, "tune", "qdrant", "--undo") == []


def dockerd_validates() -> bool:
    """Version 23 and later do."""
    if not shutil.which("dockerd"):
        return False
    told = subprocess.run(["dockerd", "--help"], capture_output=True, text=True, timeout=60, check=True)
    return "--validate" in told.stdout


def test_the_docker_daemon_is_proposed_settings_that_it_takes_and_left_alone(
    platform: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    daemon, before = tmp_path / "daemon.json", {"labels": ["of=the-operator"]}
    daemon.write_text(json.dumps(before))
    monkeypatch.setenv("ARCHON_DOCKER_DAEMON_FILE", str(daemon))
    running = {one.service: (one.instance, one.started) for one in platform.runtime.status()}
    proposed = archon(platform, "tune", "docker", "--json")
    assert proposed.returncode == 0, proposed.stderr
    said = json.loads(proposed.stdout)
    assert said["checked"].startswith("validated by dockerd" if dockerd_validates() else "not validated")
    assert json.loads(Path(said["file"]).read_text()) == before | {
        "live-restore": True, "log-opts": {"max-size": "10m", "max-file": "3"},
    }  # fmt: skip
    assert run_job(
        platform, monkeypatch, "apply_performance_tuning", tune={"target": "docker", "action": "undo"}
    ).success
    assert not Path(said["file"]).exists()
    assert json.loads(daemon.read_text()) == before
    assert {one.service: (one.instance, one.started) for one in platform.runtime.status()} == running


def left_over(platform: Sandbox) -> int:
    """Documents of end-to-end tests."""
    ours = {"filter": {"must": [{"key": "project_id", "match": {"value": PROJECT}}]}, "exact": True}
    with httpx.Client(base_url=platform.settings.qdrant_url, trust_env=False, timeout=30.0) as client:
        return int(client.post(f"/collections/{VECTORS}/points/count", json=ours).json()["result"]["count"])
