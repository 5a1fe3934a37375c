"""Each stand-in misbehaves when told to, in the way it was told, and works again when that is over."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from archon_dagster.errors import ConfigurationError, ServiceError
from archon_dagster.platform.probes import address, probe
from archon_dagster.platform.services import BY_NAME
from archon_dagster.sandbox import lifecycle, misbehaviour
from archon_dagster.sandbox.layout import STAND_INS
from archon_dagster.sandbox.lifecycle import Sandbox
from archon_dagster.sandbox.misbehaviour import How

pytestmark = pytest.mark.sandbox

PAGE = "archon-frontend"
WORK = {
    "archon-bridge": ("/graph/search", {"query": "x"}),
    "archon-intelligence": ("/extract/document", {"document_id": "misbehaviour", "content": "nothing"}),
    "archon-search": ("/vectorize/document", {"document_id": "misbehaviour", "content": "some text"}),
    "archon-mcp": ("/mcp", {"jsonrpc": "2.0", "id": 1, "method": "ping"}),
    "archon-agents": ("/agents/run", {"prompt": "x"}),
    "ollama": ("/api/embed", {"model": "sandbox-hashing-1536:latest", "input": "x"}),
    "supabase": ("/rest/v1/archon_nothing", None),
}


@contextmanager
def told(sandbox: Sandbox, service: str, how: How, seconds: float = 1.0) -> Iterator[None]:
    misbehaviour.misbehave(sandbox.home, service, how, seconds)
    try:
        yield
    finally:
        misbehaviour.behave(sandbox.home, service)


def get(sandbox: Sandbox, service: str, path: str = "", timeout: float = 20.0) -> httpx.Response:
    headers = {"apikey": sandbox.environment["SUPABASE_SERVICE_KEY"]} if service == "supabase" else {}
    url = address(BY_NAME[service], sandbox.settings) + (path or BY_NAME[service].probe.path)
    return httpx.get(url, headers=headers, timeout=timeout, trust_env=False)


def works(sandbox: Sandbox, service: str) -> bool:
    """Whether a service does what it is there for."""
    path, body = WORK[service]
    if body is None:
        return get(sandbox, service, path).status_code == 404
    url = address(BY_NAME[service], sandbox.settings) + path
    answer = httpx.post(url, json=body, timeout=20.0, trust_env=False)
    said = answer.json()
    return answer.status_code == 200 and not said.get("error") and said.get("success") is not False


def healthy(sandbox: Sandbox, service: str) -> bool:
    return probe(BY_NAME[service], sandbox.settings).ok


@pytest.mark.parametrize("service", STAND_INS)
def test_slow(sandbox: Sandbox, service: str) -> None:
    with told(sandbox, service, How.slow, 1.0):
        begin = time.monotonic()
        assert get(sandbox, service).status_code == 200
        assert time.monotonic() - begin >= 1.0
    assert healthy(sandbox, service)


@pytest.mark.parametrize("service", STAND_INS)
def test_a_hung_service_accepts_connections_answers_nobody_and_goes_on_where_it_was(
    sandbox: Sandbox, service: str
) -> None:
    with told(sandbox, service, How.hang), pytest.raises(httpx.ReadTimeout):
        get(sandbox, service, timeout=0.5)
    assert get(sandbox, service).status_code == 200


@pytest.mark.parametrize("service", [name for name in STAND_INS if name != PAGE])
def test_a_liar_says_that_it_is_healthy_and_does_not_work(sandbox: Sandbox, service: str) -> None:
    with told(sandbox, service, How.lie):
        assert healthy(sandbox, service)
        assert not works(sandbox, service)
    assert works(sandbox, service)


@pytest.mark.parametrize("service", [name for name in STAND_INS if name != PAGE])
def test_an_unhealthy_one_says_so_with_status_200(sandbox: Sandbox, service: str) -> None:
    with told(sandbox, service, How.unhealthy):
        answer = get(sandbox, service)
        assert answer.status_code == 200
        assert answer.json() == {"models": []} if service == "ollama" else "unhealthy" in answer.text
        assert service == "supabase" or not healthy(sandbox, service)  # no real one ever answers so
        assert not works(sandbox, service)
    assert healthy(sandbox, service) and works(sandbox, service)


@pytest.mark.parametrize("service", STAND_INS)
def test_refused_credentials(sandbox: Sandbox, service: str) -> None:
    with told(sandbox, service, How.refuse):
        assert get(sandbox, service).status_code == 401
        assert not healthy(sandbox, service)
    assert healthy(sandbox, service)


@pytest.mark.parametrize("service", ["archon-search", "archon-agents", "supabase"])
def test_a_crasher_goes_on_until_it_is_started_again(sandbox: Sandbox, service: str) -> None:
    with told(sandbox, service, How.crash):
        assert healthy(sandbox, service)
        lifecycle.kill(sandbox.home, service)
        with pytest.raises(ServiceError, match=r"exit code 70[\s\S]*told to crash"):
            lifecycle.start(sandbox.home, service)
    lifecycle.start(sandbox.home, service)
    assert healthy(sandbox, service)


def test_a_search_that_lies_finds_nothing_with_status_200(sandbox: Sandbox) -> None:
    url = address(BY_NAME["archon-search"], sandbox.settings)
    with told(sandbox, "archon-search", How.lie):
        answer = httpx.post(f"{url}/search", json={"query": "x", "mode": "semantic"}, timeout=20, trust_env=False)
        assert (answer.status_code, answer.json()["results"]) == (200, [])
        body = get(sandbox, "archon-search").json()
        assert body["vector_index_ready"] and body["memgraph_connected"]


def test_a_hung_embedder_reaches_the_top_of_the_cascade_hop_by_hop(sandbox: Sandbox) -> None:
    with told(sandbox, "ollama", How.hang):
        begin = time.monotonic()
        body = get(sandbox, "archon-search").json()
        assert 4.5 <= time.monotonic() - begin < 15
        assert (body["status"], body["embedding_service_connected"]) == ("degraded", False)
    assert get(sandbox, "archon-search").json()["status"] == "healthy"


def test_a_hung_service_can_be_stopped(sandbox: Sandbox) -> None:
    waiting = subprocess.Popen(
        [sys.executable, "-c", "import sys, urllib.request; urllib.request.urlopen(sys.argv[1])",
         address(BY_NAME["archon-agents"], sandbox.settings) + "/health"], stderr=subprocess.DEVNULL,
    )  # fmt: skip
    with told(sandbox, "archon-agents", How.hang):
        try:
            sandbox.runtime.stop("archon-agents")
        finally:
            waiting.kill()
            waiting.wait()
    (status,) = (one for one in sandbox.runtime.status() if one.service == "archon-agents")
    assert (status.state, status.exit_code != -9) == ("exited", True)
    lifecycle.start(sandbox.home, "archon-agents")


def test_orders_are_kept_through_a_restart_and_listed(sandbox: Sandbox) -> None:
    with told(sandbox, "archon-mcp", How.unhealthy):
        sandbox.runtime.restart("archon-mcp")
        assert {name: order.how for name, order in misbehaviour.orders(sandbox.home).items()} == {
            "archon-mcp": How.unhealthy
        }
        assert {view.service: view.told for view in lifecycle.status(sandbox.home) if view.told} == {
            "archon-mcp": "unhealthy"
        }
    assert misbehaviour.orders(sandbox.home) == {}


@pytest.mark.parametrize(
    ("service", "how", "why"),
    [("qdrant", "slow", "takes no orders"), ("nothing", "slow", "takes no orders"), ("ollama", "dance", "no way")],
)
def test_what_cannot_be_told_is_refused(sandbox: Sandbox, service: str, how: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        misbehaviour.misbehave(sandbox.home, service, how)


def test_the_command_line_tells_and_takes_back(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    from typer.testing import CliRunner

    from archon_dagster.cli.sandbox import app

    monkeypatch.setenv("ARCHON_HOME", str(sandbox.home))
    try:
        assert CliRunner().invoke(app, ["misbehave", "ollama", "slow", "--seconds", "0.5"]).exit_code == 0
        assert misbehaviour.orders(sandbox.home)["ollama"] == misbehaviour.Order(How.slow, 0.5)
    finally:
        assert CliRunner().invoke(app, ["misbehave", "ollama", "none"]).exit_code == 0
    assert misbehaviour.orders(sandbox.home) == {}
