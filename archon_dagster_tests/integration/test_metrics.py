"""What the monitor finds on a real platform is what Prometheus is told, and nobody is asked for it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from archon_dagster.health import monitor
from archon_dagster.platform.settings import Settings
from archon_dagster.sandbox.lifecycle import Sandbox
from archon_dagster_tests.platforms import lifecycle
from archon_dagster_tests.unit.metrics.full_home import exposition

pytestmark = pytest.mark.sandbox

WATCHED = ("qdrant", "memgraph", "postgres", "archon-bridge", "archon-search")


@pytest.fixture
def settings(sandbox: Sandbox) -> Iterator[Settings]:
    fast = {"health_watched": WATCHED, "health_reprobe": 0.2, "health_end_to_end": 0.0, "health_counts": 0.0}
    for file in (sandbox.home / "health").glob("*"):
        file.unlink()
    yield sandbox.settings.model_copy(update=fast | {"health_model": 0.0})
    for one in sandbox.runtime.status():
        if one.state == "paused":
            sandbox.runtime.unpause(one.service)
    lifecycle.start(sandbox.home, "qdrant")


def tick(sandbox: Sandbox, settings: Settings) -> None:
    monitor.keep(settings, monitor.tick(settings, sandbox.runtime))


def told(settings: Settings) -> tuple[dict[str, str], dict[str, str]]:
    """The state of each service, and who is to blame for it."""
    families = {one.name: one.samples for one in text_string_to_metric_families(exposition(settings))}
    states = {s.labels["service"]: s.labels["state"] for s in families["archon_service_state"] if s.value}
    return states, {s.labels["service"]: s.labels["cause"] for s in families["archon_service_cause"]}


def test_a_killed_store_is_told_and_so_is_who_suffers_from_it(sandbox: Sandbox, settings: Settings) -> None:
    tick(sandbox, settings)
    assert told(settings) == (dict.fromkeys(WATCHED, "healthy"), {})
    lifecycle.kill(sandbox.home, "qdrant")
    tick(sandbox, settings)
    states, causes = told(settings)
    assert states["qdrant"] == "unhealthy" and states["memgraph"] == "healthy"
    assert states["archon-search"] != "healthy" and causes == {"archon-search": "qdrant"}


def test_a_platform_that_is_frozen_keeps_no_scrape_waiting(sandbox: Sandbox, settings: Settings) -> None:
    tick(sandbox, settings)
    before = told(settings)
    sandbox.runtime.pause(*WATCHED)
    begin = time.monotonic()
    assert told(settings) == before, "what was confirmed last; that nobody has looked since is told too"
    assert time.monotonic() - begin < 5.0  # one question to a frozen server would take that long
