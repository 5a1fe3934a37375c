"""PostgreSQL over a connection that trickles: given up by name in bounded time; one that is only slow is not."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from archon_dagster.errors import Cancelled, StoreUnavailable
from archon_dagster.sandbox import postgres
from archon_dagster.sandbox.ports import LOOPBACK, any_free
from archon_dagster.stores.base import Work
from archon_dagster.stores.relational import RelationalStore
from archon_dagster.stores.relational.programs import LocalPrograms
from archon_dagster_tests.artifacts import MemorySink
from archon_dagster_tests.eventually import eventually
from archon_dagster_tests.integration.postgres_server import PASSWORD, Server, running_server
from archon_dagster_tests.integration.slow_wire import SlowWire, slow_wire
from archon_dagster_tests.prompt import PROMPT, Cancel

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(120)]

LARGE, SMALL = "large", "small"
TRICKLE = (
    1024,
    0.2,
)  # bytes, and every so many seconds: 5 KiB/s, so that a piece comes long before the server is asked
DROPS = (20, 0.5)  # with which nobody gets through the greeting in time
SLOW = (32 << 10, 0.1)  # 320 KiB/s
SILENCE, DEADLINE = 1.0, 2.0  # of which the floor asks for 32 KiB/s
BOUNDED = 20.0  # seconds in which it is over


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("postgres"), any_free()) as running:
        for name, rows in ((LARGE, 200_000), (SMALL, 15_000)):
            running.sql(f"CREATE DATABASE {name};")
            running.sql(f"CREATE TABLE t AS SELECT i, repeat(md5(i::text), 3) FROM generate_series(1, {rows}) i;", name)
        yield running


@pytest.fixture
def wire(server: Server) -> Iterator[SlowWire]:
    """To the server; afterwards no session of ours is left on it."""
    with slow_wire(LOOPBACK, server.port) as between:
        yield between
        eventually(lambda: sessions(server) == ["0"], 10.0)


def sessions(server: Server) -> list[str]:
    return server.sql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'archon'")


def store(wire: SlowWire, database: str) -> RelationalStore:
    dsn = f"postgresql://{postgres.USER}:{PASSWORD}@{LOOPBACK}:{wire.port}/{database}"
    return RelationalStore(LocalPrograms(dsn), database, postgres.USER)


def work(folder: Path, captured: Callable[[], None] = lambda: None) -> Work:
    return Work(folder, silence=SILENCE, deadline=DEADLINE, captured=captured)


@pytest.mark.parametrize("whole_network", [False, True], ids=["the connection", "the network"])
def test_a_backup_whose_connection_trickles_is_given_up(whole_network: bool, wire: SlowWire, tmp_path: Path) -> None:
    trickle = DROPS if whole_network else TRICKLE
    said = (
        r"(stood still and was ended: nothing|was too slow and was ended: only .* bytes) came .* got no answer either"
    )
    if not whole_network:
        said = r"was too slow and was ended: only .* bytes came in .* though a second connection is answered"
    sink, began = MemorySink(), time.monotonic()
    with pytest.raises(StoreUnavailable, match=rf"pg_dump {said}") as caught:
        store(wire, LARGE).export(sink, work(tmp_path, lambda: wire.slow_down(*trickle, later=whole_network)))
    assert time.monotonic() - began < BOUNDED
    said = str(caught.value)
    assert f"{LOOPBACK}:{wire.port}" in said and "ARCHON_STORE_DEADLINE" in said
    assert PASSWORD not in said
    assert f"postgres/{LARGE}" not in sink.data


def test_a_fingerprint_whose_connection_trickles_is_given_up(wire: SlowWire, tmp_path: Path) -> None:
    began = time.monotonic()
    threading.Timer(0.5, wire.slow_down, TRICKLE).start()
    with pytest.raises(StoreUnavailable, match=r"pg_dump was too slow and was ended|pg_dump stood still"):
        store(wire, LARGE).fingerprint(work(tmp_path))
    assert time.monotonic() - began < BOUNDED


def test_a_backup_over_a_slow_connection_is_not_cut_off(wire: SlowWire, tmp_path: Path) -> None:
    sink, began = MemorySink(), time.monotonic()
    store(wire, SMALL).export(sink, work(tmp_path, lambda: wire.slow_down(*SLOW, later=True)))
    assert time.monotonic() - began > DEADLINE
    assert sink.source().one(f"postgres/{SMALL}").counts == {"public.t": 15_000}


def test_a_cancel_does_not_wait_for_a_trickle(wire: SlowWire, tmp_path: Path) -> None:
    cancel = Cancel()

    def captured() -> None:
        wire.slow_down(*TRICKLE)
        threading.Timer(0.5, cancel.set).start()

    with pytest.raises(Cancelled):
        store(wire, LARGE).export(MemorySink(), Work(tmp_path, cancel=cancel, captured=captured))
    assert cancel.passed < PROMPT
