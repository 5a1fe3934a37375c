"""Starting a platform of real servers: what the runbook's scripts would have waited for for ever, or not noticed."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from archon_dagster.errors import ServiceError, StoreError
from archon_dagster.health.end_to_end import PROJECT
from archon_dagster.platform.probes import probe
from archon_dagster.platform.runtime.open import open_runtime
from archon_dagster.platform.runtime.process_spec import read_spec, write_spec
from archon_dagster.platform.services import BY_NAME
from archon_dagster.sandbox.layout import layout_of
from archon_dagster.sandbox.lifecycle import Sandbox
from archon_dagster.sandbox.misbehaviour import START_DELAY, behave, misbehave
from archon_dagster.sandbox.seed import seed
from archon_dagster.startup.cold_start import ColdStartRequest, cold_start
from archon_dagster.startup.context import StartContext
from archon_dagster.startup.platform import StartRequest, start_platform
from archon_dagster.startup.report import Report
from archon_dagster_tests.platforms import lifecycle, only_processes, running_platform

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(600)]

COLD = ColdStartRequest("COLD-START")


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A platform of this module's own: it is taken down again and again."""
    home = tmp_path_factory.mktemp("start")
    with running_platform(home) as sandbox:
        seed(sandbox.settings, sandbox.runtime, limit=6, max_points=30)
        yield sandbox


@pytest.fixture(autouse=True)
def well(sandbox: Sandbox) -> Iterator[None]:
    yield
    for name in ("ollama", "archon-search"):
        behave(sandbox.home, name)


def context(sandbox: Sandbox) -> StartContext:
    settings = sandbox.settings
    return StartContext(settings, open_runtime(settings), threading.Event())


def start(sandbox: Sandbox, *services: str) -> Report:
    return start_platform(context(sandbox), StartRequest(services))


def instances(sandbox: Sandbox) -> dict[str, str]:
    return {one.service: one.instance for one in sandbox.runtime.status() if one.state == "running"}


def test_a_running_platform_is_left_alone(sandbox: Sandbox) -> None:
    before = instances(sandbox)
    report = start(sandbox)
    report.raise_for_failure()
    assert report.untouched
    assert instances(sandbox) == before


def test_a_cold_start_ends_although_two_servers_never_answer_what_the_runbook_asks(sandbox: Sandbox) -> None:
    before = instances(sandbox)
    report = cold_start(context(sandbox), COLD)
    report.raise_for_failure()
    assert report.tested.passed is True
    assert {one.state for one in report.externals} == {"good"}
    after = instances(sandbox)
    assert set(after) == set(before)
    assert not set(after.values()) & set(before.values())
    settings = sandbox.settings
    with httpx.Client(trust_env=False, timeout=5.0) as client:
        assert client.get(f"{settings.qdrant_url}/health").status_code == 404  # curl -f fails for ever
        with pytest.raises(httpx.HTTPError):  # and so does any HTTP on the Bolt port
            client.get(settings.memgraph_uri.replace("bolt:", "http:")).raise_for_status()


def test_postgresql_is_started_and_nothing_of_the_test_is_left(sandbox: Sandbox) -> None:
    for name in ("postgres", "archon-mcp"):
        sandbox.runtime.kill(name)
    report = start(sandbox)
    report.raise_for_failure()
    touched = {one.service for one in report.started.services if one.how != "was ready"}
    assert touched == {"postgres", "archon-mcp"}
    assert report.tested.passed is True
    assert left_over(sandbox) == 0


def test_a_server_whose_data_are_gone_starts_well_and_is_found_out(sandbox: Sandbox) -> None:
    start(sandbox).raise_for_failure()  # and remembers what the stores hold
    lifecycle.wipe(sandbox.home, "graph")  # its server runs again, is ready, and empty
    try:
        report = start(sandbox)
        assert {one.how for one in report.started.services} == {"was ready"}
        with pytest.raises(StoreError, match=r"graph came up with 0 records[\s\S]*Memgraph's data directory aside"):
            report.raise_for_failure()
        assert set(instances(sandbox)) == set(sandbox.runtime.services())
    finally:
        seed(sandbox.settings, sandbox.runtime, limit=6, max_points=30)


def test_ollama_without_its_service_is_noticed_before_anything_goes_down(sandbox: Sandbox) -> None:
    before = instances(sandbox)
    misbehave(sandbox.home, "ollama", "refuse")
    with pytest.raises(ServiceError, match=r"ollama bad: HTTP 401[\s\S]*nothing was touched"):
        cold_start(context(sandbox), COLD)
    assert instances(sandbox) == before


def test_an_anonymous_key_is_noticed_before_anything_goes_down(sandbox: Sandbox) -> None:
    before, anonymous = instances(sandbox), sandbox.environment["SUPABASE_ANON_KEY"]
    settings = sandbox.settings.model_copy(update={"supabase_key": type(sandbox.settings.supabase_key)(anonymous)})  # type: ignore[misc]
    with pytest.raises(ServiceError, match="has the role anon, it must be service_role") as error:
        cold_start(dataclasses.replace(context(sandbox), settings=settings), COLD)
    assert anonymous not in str(error.value)
    assert instances(sandbox) == before


def test_a_search_that_says_healthy_and_finds_nothing_is_found_out(sandbox: Sandbox) -> None:
    misbehave(sandbox.home, "archon-search", "lie")
    sandbox.runtime.kill("archon-mcp")
    with pytest.raises(ServiceError, match="does not do its work"):
        start(sandbox).raise_for_failure()
    behave(sandbox.home, "archon-search")
    assert left_over(sandbox) == 0
    assert set(instances(sandbox)) == set(sandbox.runtime.services())


def test_the_command_says_what_it_did_as_json(sandbox: Sandbox) -> None:
    done = archon_start(sandbox, "archon-bridge", "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["good"], said["untouched"]) == (True, True)
    assert {one["service"] for one in said["started"]["services"]} == {"memgraph", "archon-bridge"}


@contextmanager
def taking(sandbox: Sandbox, service: str, seconds: float) -> Iterator[None]:
    """A stopped stand-in that will say for so many seconds after its start that it is still starting."""
    directory = layout_of(sandbox.home).directory(service)
    spec = read_spec(directory)
    write_spec(directory, spec.model_copy(update={"env": spec.env | {START_DELAY: str(seconds)}}))
    sandbox.runtime.stop(service)
    try:
        yield
    finally:
        write_spec(directory, spec)
        sandbox.runtime.stop(service)
        lifecycle.start(sandbox.home, service)


def archon_start(sandbox: Sandbox, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "archon_dagster.cli", "start", *words, "--direct"]
    environment = {**os.environ, "ARCHON_HOME": str(sandbox.home), **variables}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


@only_processes("how long a container's start-up takes is told to its image")
def test_a_start_up_that_takes_a_while_is_waited_for_until_the_service_says_that_it_is_ready(sandbox: Sandbox) -> None:
    with taking(sandbox, "archon-bridge", 4.0):
        done = archon_start(sandbox, "archon-bridge", "--json")
        assert done.returncode == 0, done.stderr
        services = {one["service"]: one for one in json.loads(done.stdout)["started"]["services"]}
        assert services["archon-bridge"]["how"] == "started"
        assert services["archon-bridge"]["seconds"] >= 4.0
        assert probe(BY_NAME["archon-bridge"], sandbox.settings).ok


@only_processes("how long a container's start-up takes is told to its image")
def test_a_start_up_longer_than_its_budget_is_exit_code_6_with_the_last_answer_and_the_log(sandbox: Sandbox) -> None:
    budget = 3.0
    patience = str(budget / BY_NAME["archon-bridge"].start_budget)
    with taking(sandbox, "archon-bridge", 600.0):
        begin = time.monotonic()
        done = archon_start(sandbox, "archon-bridge", ARCHON_START_PATIENCE=patience)
        assert time.monotonic() - begin < 60
        said = " ".join(done.stderr.split())
        assert done.returncode == 6
        for evidence in (
            "archon-bridge is not ready after 3",
            "initializing",
            "Started server process",
            "archon start",
        ):
            assert evidence in said, said
        assert "archon-bridge" in instances(sandbox), "what was started stays, so that one can look at it"


def left_over(sandbox: Sandbox) -> int:
    """Documents of end-to-end tests in any collection."""
    url = sandbox.settings.qdrant_url
    ours = {"filter": {"must": [{"key": "project_id", "match": {"value": PROJECT}}]}, "exact": True}
    with httpx.Client(base_url=url, trust_env=False, timeout=30.0) as client:
        names = [entry["name"] for entry in client.get("/collections").json()["result"]["collections"]]
        return sum(client.post(f"/collections/{n}/points/count", json=ours).json()["result"]["count"] for n in names)
