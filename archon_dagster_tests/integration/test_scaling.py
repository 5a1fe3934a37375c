"""Scaling on a platform of real servers: one replica at a time, back on failure, and by itself where the load asks."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import dagster as dg
import psutil
import pytest

from archon_dagster.definitions import defs
from archon_dagster.errors import Cancelled, ConfigurationError, RepositoryBusy, ServiceError
from archon_dagster.platform import automation
from archon_dagster.platform.limits import Host, Resources
from archon_dagster.platform.readiness import wait_until_ready
from archon_dagster.repository.repository import Repository
from archon_dagster.resources import Operations
from archon_dagster.sandbox import lifecycle
from archon_dagster.sandbox.lifecycle import Sandbox
from archon_dagster.sandbox.misbehaviour import behave, misbehave
from archon_dagster.scaling import apply as profiles
from archon_dagster.scaling import scale as scaling
from archon_dagster.scaling import watch
from archon_dagster.scaling.context import ScalingContext
from archon_dagster.scaling.load import processor
from archon_dagster.scaling.sensors import search_autoscaler
from archon_dagster_tests.eventually import eventually
from drills.load import Load, Running, put_on

pytestmark = [pytest.mark.sandbox, pytest.mark.long, pytest.mark.timeout(600)]

SEARCH = "archon-search"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A platform of this module's own, with a repository: its lock is taken too."""
    home = tmp_path_factory.mktemp("scaling")
    sandbox = lifecycle.up(home, owner_pid=os.getpid())
    Repository.open(sandbox.settings.repository, create=True)
    yield sandbox
    lifecycle.down(home)


@pytest.fixture
def sandbox(running: Sandbox) -> Iterator[Sandbox]:
    """The platform with one search process, well."""
    yield running
    behave(running.home, SEARCH)
    running.runtime.scale(SEARCH, 1)
    running.runtime.up(SEARCH)
    wait_until_ready([SEARCH], running.settings, running.runtime)


def context(sandbox: Sandbox, **more: object) -> ScalingContext:
    return ScalingContext(sandbox.settings.model_copy(update=more), sandbox.runtime)


def found(sandbox: Sandbox) -> tuple[int, int]:
    """How many replicas there shall be, and how many are well."""
    replicas = sandbox.runtime.replicas(SEARCH)
    return replicas.wanted, replicas.well


def archon(sandbox: Sandbox, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "archon_dagster.cli", *words]
    environment = {**os.environ, "ARCHON_HOME": str(sandbox.home)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=180, check=False)


def test_up_and_down_under_load_with_every_search_answered(sandbox: Sandbox) -> None:
    scaling.scale(context(sandbox), 2)  # the port has changed hands
    url = f"http://127.0.0.1:{sandbox.settings.search_port}/search"
    with Running(Load(url, seconds=120, clients=2, rate=20)) as load:
        up = scaling.scale(context(sandbox), 3)
        served = {one.number: one.served for one in up.after.each}
        eventually(lambda: all(one.served > served[one.number] for one in sandbox.runtime.replicas(SEARCH).each))
        down = scaling.scale(context(sandbox), 1)
    assert (up.before, up.after.wanted, up.after.well) == (2, 3, 3)
    assert (down.before, down.after.wanted, down.after.well) == (3, 1, 1)
    assert load.came.failures == []
    assert len(load.came.times) > 10


def test_replicas_that_do_not_start_bring_back_the_number_before(sandbox: Sandbox) -> None:
    scaling.scale(context(sandbox), 2)
    misbehave(sandbox.home, SEARCH, "crash")
    with pytest.raises(ServiceError, match=r"was not scaled[\s\S]*told to crash[\s\S]*runs 2 times again, and is well"):
        scaling.scale(context(sandbox), 4)
    assert found(sandbox) == (2, 2)


def test_a_cancel_goes_back_too(sandbox: Sandbox) -> None:
    here = context(sandbox)
    stopping = dataclasses.replace(here, report=lambda news: here.cancel.set() if "2 replicas" in str(news) else None)
    with pytest.raises(Cancelled, match="runs 1 times, as before"):
        scaling.scale(stopping, 3)
    assert found(sandbox) == (1, 1)


def test_a_replica_that_has_ended_is_seen_and_started_again(sandbox: Sandbox) -> None:
    scaling.scale(context(sandbox), 2)
    os.kill(int(sandbox.runtime.replicas(SEARCH).each[1].instance), signal.SIGKILL)
    eventually(lambda: found(sandbox) == (2, 1))
    told = archon(sandbox, "scale", "status")
    assert told.returncode == 6
    assert "archon scale search 2" in told.stdout
    assert scaling.scale(context(sandbox), 2).replaced == 1
    assert found(sandbox) == (2, 2)


def test_what_cannot_work_is_refused_before_anything_is_touched(sandbox: Sandbox) -> None:
    before = sandbox.runtime.replicas(SEARCH)
    for wrong in (0, -1, 9):
        with pytest.raises(ConfigurationError, match="between 1 and 8"):
            scaling.scale(context(sandbox), wrong)
    with pytest.raises(ConfigurationError, match="cannot run more than once"):
        scaling.scale(context(sandbox), 2, "memgraph")
    with Repository.open(sandbox.settings.repository).lock("manual backup"), pytest.raises(RepositoryBusy):
        scaling.scale(context(sandbox), 2)
    assert sandbox.runtime.replicas(SEARCH).each[0].instance == before.each[0].instance


def test_the_job_and_the_command_say_what_they_did(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    done = archon(sandbox, "scale", "search", "2", "--direct", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["after"]["wanted"] == 2
    assert "2 -> 3 -> 4 replicas" in archon(sandbox, "scale", "search", "4", "--plan").stdout
    assert archon(sandbox, "scale", "search", "99").returncode == 2
    monkeypatch.setenv("ARCHON_HOME", str(sandbox.home))
    config = {"ops": {"scale_replicas": {"config": {"replicas": 1}}}}
    with dg.DagsterInstance.ephemeral() as instance:
        result = defs.resolve_job_def("scale_search").execute_in_process(config, instance=instance)
    (output,) = [event for event in result.all_events if event.is_successful_output]
    assert output.step_output_data.metadata["result"].value == f"{SEARCH}: 2 -> 1 replicas, all of them well"


def launched(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, job: str, op: str, **config: object) -> str:
    """What a run that is to fail has failed with."""
    monkeypatch.setenv("ARCHON_HOME", str(sandbox.home))
    with dg.DagsterInstance.ephemeral() as instance:
        run = defs.resolve_job_def(job).execute_in_process(
            {"ops": {op: {"config": config}}}, instance=instance, raise_on_error=False
        )
        record = instance.get_run_by_id(run.run_id)
    assert record is not None and record.status is dg.DagsterRunStatus.FAILURE
    (failure,) = [event for event in run.all_events if event.is_step_failure]
    return str(failure.step_failure_data.error)


def reopened(sandbox: Sandbox) -> None:
    """The platform is taken down, and started from what is on the disk."""
    lifecycle.down(sandbox.home)
    lifecycle.up(sandbox.home, owner_pid=os.getpid())


def test_a_run_whose_new_replica_is_never_well_fails_and_the_number_before_outlives_the_platform(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    scaling.scale(context(sandbox), 2)
    misbehave(sandbox.home, SEARCH, "crash")
    said = launched(sandbox, monkeypatch, "scale_search", "scale_replicas", replicas=4)
    assert "was not scaled" in said and "runs 2 times again, and is well" in said
    assert found(sandbox) == (2, 2)
    behave(sandbox.home, SEARCH)
    reopened(sandbox)
    eventually(lambda: found(sandbox) == (2, 2))


# resource profiles

SMALL = {SEARCH: {"cpus": "1", "memory": "2G"}, "archon-intelligence": {"cpus": "1", "memory": "1536M"}}


@pytest.fixture
def unlimited(sandbox: Sandbox) -> Iterator[Sandbox]:
    yield sandbox
    for name in (SEARCH, "archon-intelligence", "qdrant"):
        if sandbox.runtime.limits(name) is not None:
            sandbox.runtime.limit(name, None)
            sandbox.runtime.recreate(name)
    wait_until_ready(sandbox.services, sandbox.settings, sandbox.runtime)


@pytest.mark.skipif(sys.platform != "linux", reason="only on Linux are limits enforced")
def test_the_number_and_the_limits_of_every_replica_outlive_the_platform(unlimited: Sandbox) -> None:
    scaling.scale(context(unlimited), 2)
    given = [f"--set={name}.{what}={value}" for name, values in SMALL.items() for what, value in values.items()]
    done = archon(unlimited, "resources", "apply", "custom", *given)  # the job
    assert done.returncode == 0, done.stderr
    assert profiles.apply(context(unlimited), "custom", SMALL).changes == ()
    lifecycle.down(unlimited.home)
    lifecycle.up(unlimited.home, owner_pid=os.getpid())
    eventually(lambda: found(unlimited) == (2, 2))
    for one in unlimited.runtime.replicas(SEARCH).each:
        process = psutil.Process(int(one.instance))
        assert process.rlimit(psutil.RLIMIT_DATA) == (2 * 2**30, 2 * 2**30)
        assert len(process.cpu_affinity()) == 1  # type: ignore[arg-type]
    assert unlimited.runtime.limits(SEARCH) == Resources(1.0, 2 * 2**30)


def test_a_service_that_cannot_live_with_its_limits_takes_all_of_them_back(unlimited: Sandbox) -> None:
    before = {name: unlimited.runtime.limits(name) for name in unlimited.services}
    tight = {"archon-intelligence": SMALL["archon-intelligence"], SEARCH: {"cpus": "1", "memory": "8M",
             "reserved_memory": "8M"}}  # fmt: skip
    with pytest.raises(
        ServiceError, match=r"was taken back[\s\S]*archon-intelligence, archon-search are what they were"
    ):
        profiles.apply(context(unlimited), "custom", tight)
    assert {name: unlimited.runtime.limits(name) for name in unlimited.services} == before
    wait_until_ready([SEARCH, "archon-intelligence"], unlimited.settings, unlimited.runtime, 5.0)
    assert profiles.noted(unlimited.home) is None or profiles.noted(unlimited.home).profile == "custom"  # type: ignore[union-attr]


@pytest.mark.skipif(sys.platform != "linux", reason="only on Linux are limits enforced")
def test_a_run_whose_limits_are_too_tight_fails_and_the_ones_before_outlive_the_platform(
    unlimited: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    profiles.apply(context(unlimited), "custom", {SEARCH: SMALL[SEARCH]})
    before, then = {name: unlimited.runtime.limits(name) for name in unlimited.services}, profiles.noted(unlimited.home)
    tight = {SEARCH: {"cpus": "1", "memory": "8M", "reserved_memory": "8M"}}
    said = launched(unlimited, monkeypatch, "apply_resource_profile", "apply_profile", profile="custom", custom=tight)
    assert "the profile custom was taken back" in said and "archon-search are what they were" in said
    assert profiles.noted(unlimited.home) == then
    reopened(unlimited)
    wait_until_ready([SEARCH], unlimited.settings, unlimited.runtime)
    assert {name: unlimited.runtime.limits(name) for name in unlimited.services} == before
    (one,) = unlimited.runtime.replicas(SEARCH).each
    assert psutil.Process(int(one.instance)).rlimit(psutil.RLIMIT_DATA) == (2 * 2**30, 2 * 2**30)


def test_an_unknown_profile_and_one_too_large_for_the_host_touch_nothing(
    unlimited: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {one.service: one.instance for one in unlimited.runtime.status()}
    said = archon(unlimited, "resources", "apply", "prod")
    assert said.returncode == 2
    assert "development, staging, production, custom" in said.stderr
    huge = {SEARCH: {"cpus": "1", "memory": "4096G", "reserved_memory": "1024G"}}
    with pytest.raises(ConfigurationError, match=r"cannot carry[\s\S]*1024G are reserved in all"):
        profiles.apply(context(unlimited), "custom", huge)
    runtime = unlimited.runtime
    monkeypatch.setattr(type(runtime), "host", lambda _: Host(2, 64 * 2**30))
    with pytest.raises(ConfigurationError, match="archon-search may use 4 CPUs"):
        profiles.apply(context(unlimited), "production")
    assert {one.service: one.instance for one in runtime.status()} == before


# the autoscaler


@pytest.fixture
def tuned(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """The sensor reads this platform, by CPU, two looks for a step, no cool-down."""
    for name, value in {
        "ARCHON_HOME": str(sandbox.home), "ARCHON_AUTOSCALE_BY": "cpu", "ARCHON_AUTOSCALE_DRY_RUN": "false",
        "ARCHON_AUTOSCALE_MOST": "2", "ARCHON_AUTOSCALE_RISING": "2", "ARCHON_AUTOSCALE_FALLING": "2",
        "ARCHON_AUTOSCALE_COOL_DOWN": "0",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    (sandbox.home / "scaling" / "autoscaler.json").unlink(missing_ok=True)
    return sandbox


def ticked(instance: dg.DagsterInstance) -> dg.RunRequest | dg.SkipReason:
    told = search_autoscaler(dg.build_sensor_context(instance=instance), operations=Operations())
    assert isinstance(told, dg.RunRequest | dg.SkipReason)
    return told


def test_a_load_scales_it_up_holds_it_there_and_its_end_scales_it_down(
    tuned: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = defs.resolve_job_def("scale_search")
    url = f"http://127.0.0.1:{tuned.settings.search_port}/search"
    scaling.scale(context(tuned), 2)
    scaling.scale(context(tuned), 1)
    with dg.DagsterInstance.ephemeral() as instance, Running(Load(url, seconds=240, clients=3, rate=25)) as load:
        eventually(lambda: len(load.came.times) > 20)
        alone = sum(processor(tuned.runtime, 1) or 0.0 for _ in range(3)) / 3
        monkeypatch.setenv("ARCHON_AUTOSCALE_HIGH", f"{0.7 * alone}")
        monkeypatch.setenv("ARCHON_AUTOSCALE_LOW", f"{0.2 * alone}")
        request = next(told for told in (ticked(instance) for _ in range(12)) if isinstance(told, dg.RunRequest))
        assert job.execute_in_process(request.run_config, instance=instance).success
        assert found(tuned) == (2, 2)
        held = [ticked(instance) for _ in range(3)]
        assert all(isinstance(told, dg.SkipReason) for told in held)
        assert found(tuned) == (2, 2)
        load.__exit__()
        request = next(told for told in (ticked(instance) for _ in range(12)) if isinstance(told, dg.RunRequest))
        assert job.execute_in_process(request.run_config, instance=instance).success
    assert found(tuned) == (1, 1)
    assert load.came.failures == []


def test_the_autoscaler_only_tells_in_a_dry_run_and_waits_while_the_automation_is_paused(
    tuned: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    from datetime import UTC, datetime, timedelta

    monkeypatch.setenv("ARCHON_AUTOSCALE_LEAST", "2")  # one replica is too few
    monkeypatch.setenv("ARCHON_AUTOSCALE_DRY_RUN", "true")
    with dg.DagsterInstance.ephemeral() as instance:
        told = ticked(instance)
        assert isinstance(told, dg.SkipReason)
        assert "would be scaled up from 1 to 2" in str(told.skip_message)
        monkeypatch.setenv("ARCHON_AUTOSCALE_DRY_RUN", "false")
        automation.pause(tuned.home, timedelta(minutes=5), "a test", datetime.now(UTC), "ann")
        try:
            told = ticked(instance)
            assert "paused" in str(told.skip_message)  # type: ignore[union-attr]
        finally:
            automation.resume(tuned.home, datetime.now(UTC))
        assert isinstance(ticked(instance), dg.RunRequest)
    last = watch.last(tuned.home)
    assert last is not None
    assert "would be scaled" in archon(tuned, "autoscale", "status").stdout or last.action == "up"


def test_the_latency_is_what_clients_wait_for(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    from archon_dagster.scaling.load import latency

    quick = latency(sandbox.settings)
    misbehave(sandbox.home, SEARCH, "slow", 0.5)
    slow = latency(sandbox.settings)
    assert quick is not None
    assert slow is not None
    assert slow > 500 > quick


def test_the_load_generator_keeps_its_bounds_and_tells_failures(sandbox: Sandbox) -> None:
    url = f"http://127.0.0.1:{sandbox.settings.search_port}"
    assert len(put_on(Load(f"{url}/search", seconds=30, most=7)).times) == 7
    assert put_on(Load(f"{url}/nothing", seconds=30, most=3)).failures == ["HTTPError: HTTP Error 404: Not Found"] * 3
    assert put_on(Load(f"{url}/search", seconds=0.0)).times == []
