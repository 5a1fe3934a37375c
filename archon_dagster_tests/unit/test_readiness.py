from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from archon_dagster.errors import ServiceError
from archon_dagster.platform.readiness import wait_until_ready
from archon_dagster.platform.runtime.processes import ProcessesRuntime
from archon_dagster.platform.runtime.protocol import ServiceStatus, State
from archon_dagster.platform.services import BY_NAME
from archon_dagster.platform.settings import Settings, load_settings


class OneService(ProcessesRuntime):
    """A runtime whose only service is in a state of our choice."""

    def __init__(self, state: State, name: str = "postgres"):
        self.state, self.name = state, name

    def services(self) -> tuple[str, ...]:
        return (self.name,)

    def status(self) -> list[ServiceStatus]:
        return [ServiceStatus(self.name, self.state, exit_code=3 if self.state == "exited" else None)]

    def logs(self, service: str, lines: int = 50) -> str:
        return "out of memory"


@pytest.fixture
def nobody_there() -> Settings:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return load_settings(POSTGRES_PORT=listener.getsockname()[1])


@pytest.fixture
def page() -> Iterator[Settings]:
    from archon_dagster_tests.unit.test_probes import http_server

    with http_server({"/health": (200, '{"status": "healthy"}')}) as port:
        yield load_settings(SEARCH_SERVICE_PORT=port)


def test_an_expired_wait_names_the_service_its_last_answer_and_its_last_log_lines(nobody_there: Settings) -> None:
    with pytest.raises(ServiceError) as failed:
        wait_until_ready(["postgres"], nobody_there, OneService("running"), budget=0.3)
    for evidence in ("postgres is not ready", "refused", "process running", "out of memory"):
        assert evidence in str(failed.value)


def test_a_process_that_has_ended_is_not_waited_for(nobody_there: Settings) -> None:
    begin = time.monotonic()
    with pytest.raises(ServiceError, match="process exited with code 3"):
        wait_until_ready(["postgres"], nobody_there, OneService("exited"), budget=60)
    assert time.monotonic() - begin < 10


def test_a_good_answer_on_behalf_of_a_dead_process_is_not_believed(page: Settings) -> None:
    with pytest.raises(ServiceError, match="process exited"):
        wait_until_ready(["archon-search"], page, OneService("exited", "archon-search"), budget=60)


def test_the_answers_of_ready_services_are_returned(page: Settings) -> None:
    answers = wait_until_ready(["archon-search"], page, OneService("running", "archon-search"))
    assert answers["archon-search"].text == "healthy"


def test_a_service_the_runtime_does_not_have_is_only_probed(page: Settings) -> None:
    assert wait_until_ready(["archon-search"], page, OneService("exited", "qdrant"))["archon-search"].ok


def test_one_failure_ends_the_wait_for_the_others(nobody_there: Settings) -> None:
    begin = time.monotonic()
    with pytest.raises(ServiceError, match="postgres is not ready"):
        wait_until_ready(["archon-mcp", "postgres"], nobody_there, OneService("exited"), budget=60)
    assert time.monotonic() - begin < 10


def test_every_answer_is_reported_while_waiting(nobody_there: Settings) -> None:
    seen = []
    with pytest.raises(ServiceError):
        wait_until_ready(
            ["postgres"], nobody_there, OneService("running"), budget=0.2, on_poll=lambda s, a: seen.append((s, a.ok))
        )
    assert set(seen) == {(BY_NAME["postgres"], False)}


def test_nothing_to_wait_for_is_ready() -> None:
    assert wait_until_ready([], load_settings(), OneService("running")) == {}
