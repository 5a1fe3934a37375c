"""Bolt over a connection that trickles: given up by name in bounded time; one that is only slow is not."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import neo4j
import pytest

from archon_dagster.errors import Cancelled, StoreUnavailable
from archon_dagster.platform.settings import Settings
from archon_dagster.sandbox.lifecycle import Sandbox
from archon_dagster.stores.base import Progress, Work
from archon_dagster.stores.graph.store import GraphStore
from archon_dagster_tests.artifacts import MemorySink
from archon_dagster_tests.integration.slow_wire import SlowWire, slow_wire
from archon_dagster_tests.prompt import PROMPT, Cancel

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(120)]

NODES = 12_000
TRICKLE = (256, 0.1)  # bytes, and every so many seconds: some thirty nodes a second
DROPS = (5, 0.5)  # with which nobody gets through the greeting in time
SLOW = (32 << 10, 0.1)  # 320 KiB/s
SILENCE, DEADLINE = 1.0, 2.0  # of which the floor asks for 32 KiB/s
BOUNDED = 20.0  # seconds in which it is over


@pytest.fixture(scope="module")
def settings(sandbox: Sandbox) -> Iterator[Settings]:
    """Of a sandbox with a graph in it."""
    found = sandbox.settings
    login = (found.memgraph_user, found.memgraph_password.get_secret_value())
    with neo4j.GraphDatabase.driver(found.memgraph_uri, auth=login if any(login) else None) as driver:

        def run(query: str, **parameters: object) -> None:
            driver.execute_query(query, parameters, database_=found.memgraph_database)

        run("MATCH (n) DETACH DELETE n")
        for first in range(0, NODES, 4000):
            rows = [{"name": f"módulo_{i}", "text": "x" * 60} for i in range(first, first + 4000)]
            run("UNWIND $rows AS r CREATE (n:File) SET n = r", rows=rows)
        yield found
        run("MATCH (n) DETACH DELETE n")


@pytest.fixture
def wire(settings: Settings) -> Iterator[SlowWire]:
    server = urlsplit(settings.memgraph_uri)
    with slow_wire(str(server.hostname), server.port or 7687) as between:
        yield between


def store(settings: Settings, wire: SlowWire) -> GraphStore:
    return GraphStore(
        f"bolt://127.0.0.1:{wire.port}",
        settings.memgraph_user,
        settings.memgraph_password.get_secret_value(),
        settings.memgraph_database,
    )


def once_reading(action: Callable[[], object]) -> Callable[[Progress], None]:
    """A reporter that does something when the first nodes have been read."""
    done: list[str] = []

    def report(news: Progress) -> None:
        if news.step == "read nodes" and not done:
            done.append(news.step)
            action()

    return report


@pytest.mark.parametrize("whole_network", [False, True], ids=["the connection", "the network"])
def test_a_backup_whose_connection_trickles_is_given_up(
    whole_network: bool, settings: Settings, wire: SlowWire, tmp_path: Path
) -> None:
    sink, began = MemorySink(), time.monotonic()
    trickle = DROPS if whole_network else TRICKLE
    slow = once_reading(lambda: wire.slow_down(*trickle, later=whole_network))
    said = r"(fell silent|is too slow) while trying to read the nodes: .* came .* got no answer either"
    if not whole_network:
        said = r"is too slow while trying to read the nodes: only .* though a second connection is answered"
    with pytest.raises(StoreUnavailable, match=said) as caught:
        store(settings, wire).export(sink, Work(tmp_path, silence=SILENCE, deadline=DEADLINE, report=slow))
    assert time.monotonic() - began < BOUNDED
    said = str(caught.value)
    assert f"bolt://127.0.0.1:{wire.port}" in said and f"of {NODES:,} nodes" in said
    assert "ARCHON_STORE_DEADLINE" in said
    assert sink.artifacts == []


def test_a_backup_over_a_slow_connection_is_not_cut_off(settings: Settings, wire: SlowWire, tmp_path: Path) -> None:
    sink, began = MemorySink(), time.monotonic()
    slow = once_reading(lambda: wire.slow_down(*SLOW, later=True))
    store(settings, wire).export(sink, Work(tmp_path, silence=SILENCE, deadline=DEADLINE, report=slow))
    assert time.monotonic() - began > DEADLINE
    assert sink.artifacts[0].counts["nodes"] == NODES


def test_a_cancel_does_not_wait_for_a_trickle(settings: Settings, wire: SlowWire, tmp_path: Path) -> None:
    cancel = Cancel()

    def slow_and_stop() -> None:
        wire.slow_down(*TRICKLE)
        threading.Timer(0.5, cancel.set).start()

    with pytest.raises(Cancelled):
        store(settings, wire).export(MemorySink(), Work(tmp_path, cancel=cancel, report=once_reading(slow_and_stop)))
    assert cancel.passed < PROMPT
