"""Starting services: the order, what is waited for, and what a failure says. The services are small real processes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from archon_dagster.errors import Cancelled, ConfigurationError, ServiceError
from archon_dagster.platform.runtime.processes import ProcessesRuntime
from archon_dagster.platform.services import BY_NAME
from archon_dagster.startup.order import order_of
from archon_dagster.startup.result import Started
from archon_dagster.startup.start import start_services
from archon_dagster_tests.small_services import APPLICATIONS, SmallPlatform

ALL = [name for name, service in BY_NAME.items() if not service.external]
BRIDGE, SEARCH, INTELLIGENCE, MCP = "archon-bridge", "archon-search", "archon-intelligence", "archon-mcp"


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[SmallPlatform]:
    platform = SmallPlatform(tmp_path, ARCHON_START_PATIENCE=0.5)
    yield platform
    platform.runtime.down()


def start(platform: SmallPlatform, *names: str) -> Started:
    return start_services(names, platform.settings, platform.runtime, threading.Event())


# the order


def test_everything_stands_after_what_it_needs() -> None:
    order = order_of((), ALL)
    assert set(order) == set(ALL)
    places = list(order)
    for name, needs in order.items():
        assert all(places.index(needed) < places.index(name) for needed in needs)


def test_who_does_not_need_a_service_does_not_wait_for_it() -> None:
    order = order_of((), ALL)
    assert order["postgres"] == order["qdrant"] == order["memgraph"] == ()
    assert "qdrant" not in order[BRIDGE]


def test_external_services_are_not_started() -> None:
    assert "ollama" not in order_of((), ALL)
    assert "ollama" not in order_of((SEARCH,), ALL)[SEARCH]


def test_a_single_service_brings_what_it_needs_and_nothing_else() -> None:
    assert set(order_of((SEARCH,), ALL)) == {"qdrant", "memgraph", BRIDGE, SEARCH}


def test_an_unknown_service_is_named_with_those_there_are() -> None:
    with pytest.raises(ConfigurationError, match=r"archon-serch; nothing was touched[\s\S]*archon-search"):
        order_of(("archon-serch",), ALL)


def test_a_circle_in_the_catalogue_is_an_error_and_no_endless_wait() -> None:
    catalogue = {**BY_NAME, "memgraph": replace(BY_NAME["memgraph"], depends_on=(MCP,))}
    with pytest.raises(ConfigurationError, match="circle: "):
        order_of((), ALL, catalogue)


# a start


def test_a_service_begins_when_what_it_needs_says_that_it_is_healthy(platform: SmallPlatform) -> None:
    platform.tell(BRIDGE, "after 0.5")
    platform.tell(SEARCH, "after 0.3")
    started = start(platform)
    started.raise_for_failure()
    assert [one.how for one in started.services] == ["started"] * len(APPLICATIONS)
    for name, needs in order_of((), APPLICATIONS).items():
        for needed in needs:
            assert platform.first(name, "begins") > platform.first(needed, "healthy"), f"{name} before {needed}"


def test_nobody_sleeps_for_a_guess(platform: SmallPlatform) -> None:
    """The runbook sleeps 45 s before it asks, and 5 to 10 s between two questions."""
    start(platform, SEARCH)
    assert platform.first(SEARCH, "begins") - platform.first(BRIDGE, "healthy") < 10


def test_services_that_do_not_need_each_other_start_side_by_side(platform: SmallPlatform) -> None:
    catalogue = {**BY_NAME, INTELLIGENCE: replace(BY_NAME[INTELLIGENCE], depends_on=(BRIDGE,))}
    for name in (SEARCH, INTELLIGENCE):
        platform.tell(name, "after 1.5")
    start_services((SEARCH, INTELLIGENCE), platform.settings, platform.runtime, threading.Event(), catalogue=catalogue)
    begun = [platform.first(name, "begins") for name in (SEARCH, INTELLIGENCE)]
    assert max(begun) < min(platform.first(name, "healthy") for name in (SEARCH, INTELLIGENCE))


def test_a_200_that_says_degraded_is_not_ready_and_the_failure_tells_everything(platform: SmallPlatform) -> None:
    start(platform, INTELLIGENCE)
    platform.tell(SEARCH, "degraded")
    impatient = platform.settings.model_copy(update={"start_patience": 0.05})
    begin = time.monotonic()
    started = start_services((), impatient, platform.runtime, threading.Event())
    assert time.monotonic() - begin < 30  # the runbook's loop would still be waiting
    with pytest.raises(ServiceError) as failed:
        started.raise_for_failure()
    said = str(failed.value)
    for evidence in (
        "archon-search is not ready after",
        "HTTP 200, but degraded",
        "process running",
        "archon-search listens on",
        "not started because of archon-search: archon-mcp, archon-agents, archon-frontend",
        "archon start",
    ):
        assert evidence in said
    how = {one.service: one.how for one in started.services}
    assert how == {
        BRIDGE: "was ready", INTELLIGENCE: "was ready", SEARCH: "failed", MCP: "not started",
        "archon-agents": "not started", "archon-frontend": "not started",
    }  # fmt: skip
    assert MCP not in platform.instances()


def test_a_service_that_crashes_is_not_waited_for(platform: SmallPlatform) -> None:
    platform.tell(BRIDGE, "crash")
    patient = platform.settings.model_copy(update={"start_patience": 100.0})
    started = start_services((BRIDGE,), patient, platform.runtime, threading.Event())
    assert started.seconds < 60
    with pytest.raises(ServiceError, match=r"exited[\s\S]*disk on fire"):
        started.raise_for_failure()


def test_what_the_runtime_refuses_to_start_is_a_failure_at_once_and_not_waited_for(platform: SmallPlatform) -> None:
    class Refusing(ProcessesRuntime):
        def up(self, *services: str) -> None:
            raise ServiceError("docker compose up failed: no such image")

    patient = platform.settings.model_copy(update={"start_patience": 100.0})
    started = start_services((MCP,), patient, Refusing(platform.home / "services"), threading.Event())
    assert started.seconds < 60
    with pytest.raises(ServiceError, match=r"no such image[\s\S]*not started because of archon-bridge"):
        started.raise_for_failure()
    assert platform.instances() == {}


def test_the_platform_starts_without_a_service_it_can_do_without(platform: SmallPlatform) -> None:
    platform.tell("archon-agents", "crash")
    started = start(platform)
    started.raise_for_failure()
    assert [one.service for one in started.degraded] == ["archon-agents"]
    assert "disk on fire" in started.degraded[0].log
    assert {one.service for one in started.services if one.ready} == {*APPLICATIONS} - {"archon-agents"}


def test_a_second_start_touches_nothing(platform: SmallPlatform) -> None:
    start(platform)
    before = platform.instances()
    again = start(platform)
    assert {one.how for one in again.services} == {"was ready"}
    assert again.touched == ()
    assert platform.instances() == before


def test_only_what_is_missing_is_started(platform: SmallPlatform) -> None:
    start(platform)
    before = platform.instances()
    platform.runtime.kill(SEARCH)
    again = start(platform)
    assert {one.service: one.how for one in again.services if one.how != "was ready"} == {SEARCH: "started"}
    after = platform.instances()
    assert after.pop(SEARCH) != before.pop(SEARCH)
    assert after == before


def test_what_is_ready_is_not_told_off_for_what_it_needs(platform: SmallPlatform) -> None:
    start(platform)
    before = platform.instances()
    platform.tell(SEARCH, "degraded")
    platform.tell(MCP, "degraded")
    impatient = platform.settings.model_copy(update={"start_patience": 0.005})
    again = start_services((), impatient, platform.runtime, threading.Event())
    how = {one.service: one.how for one in again.services if one.how != "was ready"}
    assert how == {SEARCH: "failed", MCP: "not waited for"}
    assert platform.instances() == before


def test_a_paused_service_goes_on_and_is_not_started_anew(platform: SmallPlatform) -> None:
    start(platform, BRIDGE)
    before = platform.instances()
    platform.runtime.pause(BRIDGE)
    again = start(platform, BRIDGE)
    assert [one.how for one in again.services] == ["unpaused"]
    assert again.services[0].ready
    assert platform.instances() == before


def test_what_runs_and_is_not_ready_is_waited_for_and_not_restarted(platform: SmallPlatform) -> None:
    platform.tell(BRIDGE, "after 2")
    platform.runtime.up(BRIDGE)
    before = platform.instances()
    started = start(platform, BRIDGE)
    assert [one.how for one in started.services] == ["waited for"]
    assert platform.instances() == before


# cancelling


class TellingRuntime(ProcessesRuntime):
    """Says when a service has been started; may hang while it starts one."""

    def __init__(self, services: Path, service: str, *, hangs: bool = False):
        super().__init__(services)
        self.service, self.hangs, self.begun, self.goes_on = service, hangs, threading.Event(), threading.Event()

    def up(self, *services: str) -> None:
        if self.service in services and self.hangs:
            self.begun.set()
            self.goes_on.wait(60)
            return
        super().up(*services)
        if self.service in services:
            self.begun.set()


def cancel_at(platform: SmallPlatform, service: str, *, hangs: bool) -> tuple[float, str]:
    """Cancel a start when it is a service's turn: seconds until the start has ended, and what it said."""
    runtime = TellingRuntime(platform.home / "services", service, hangs=hangs)
    cancel, said = threading.Event(), list[str]()

    def run() -> None:
        with pytest.raises(Cancelled) as error:
            start_services((), platform.settings, runtime, cancel)
        said.append(str(error.value))

    thread = threading.Thread(target=run)
    thread.start()
    assert runtime.begun.wait(60)
    begin = time.monotonic()
    cancel.set()
    thread.join(60)
    seconds = time.monotonic() - begin
    runtime.goes_on.set()
    return seconds, said[0]


def test_a_start_that_waits_for_a_silent_service_is_cancelled_within_two_seconds(platform: SmallPlatform) -> None:
    platform.tell(SEARCH, "hang")
    seconds, said = cancel_at(platform, SEARCH, hangs=False)
    assert seconds < 2.0
    assert "ready by then: archon-bridge" in said
    assert BRIDGE in platform.instances()


def test_a_start_whose_runtime_hangs_is_cancelled_within_two_seconds(platform: SmallPlatform) -> None:
    seconds, said = cancel_at(platform, BRIDGE, hangs=True)
    assert seconds < 2.0
    assert "ready by then: none" in said
    assert platform.instances() == {}
