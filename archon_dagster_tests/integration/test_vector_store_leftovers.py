"""Snapshots that a killed run had asked for and never learned the names of."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from archon_dagster.stores.base import Work
from archon_dagster.stores.vectors import create
from archon_dagster.stores.vectors.ledger import Ledger
from archon_dagster.stores.vectors.store import VectorStore
from archon_dagster_tests.artifacts import MemorySink
from archon_dagster_tests.eventually import eventually
from archon_dagster_tests.integration.store_server import DEADLINE, StoreServer

pytestmark = pytest.mark.sandbox
pytest.importorskip("qdrant_edge")

NAME, ALIKE = "archon_vectors", "notes__archon_trial_2026_kept"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreServer]:
    started = StoreServer(tmp_path_factory.mktemp("leftovers") / "server").start()
    try:
        started.fill(NAME, 5)
        started.fill(ALIKE, 3)
        yield started
    finally:
        started.stop()


@pytest.fixture
def server(running: StoreServer) -> Iterator[StoreServer]:
    yield running
    for snapshot in snapshots(running):
        running.call("DELETE", f"/collections/{NAME}/snapshots/{snapshot}")


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger.json")


def snapshots(server: StoreServer) -> list[str]:
    return [str(entry["name"]) for entry in server.call("GET", f"/collections/{NAME}/snapshots")]


def make_snapshot(server: StoreServer) -> str:
    """One more; names have a resolution of a second."""
    before = set(snapshots(server))
    made: list[str] = []

    def another() -> bool:
        made.append(str(server.call("POST", f"/collections/{NAME}/snapshots")["name"]))
        return made[-1] not in before

    eventually(another, DEADLINE)
    return made[-1]


def export(server: StoreServer, tmp_path: Path, ledger: Ledger) -> dict[str, Any]:
    """The details of the last artifact, where what could not be removed is named."""
    (tmp_path / "scratch").mkdir()
    sink = MemorySink()
    store = VectorStore(server.url, ledger=tmp_path / "ledger.json", cleanup=5.0)
    store.export(sink, Work(scratch=tmp_path / "scratch", deadline=60.0))
    assert ledger.entries(server.url) == []
    return sink.source().one("qdrant/collections").details


def test_the_one_that_is_new_is_removed(server: StoreServer, tmp_path: Path, ledger: Ledger) -> None:
    theirs = make_snapshot(server)
    ledger.note(server.url, NAME, before=[theirs], asked=time.time())
    make_snapshot(server)
    assert "left_on_server" not in export(server, tmp_path, ledger)
    assert snapshots(server) == [theirs]


def test_where_several_are_new_none_is_removed_and_they_are_named(
    server: StoreServer, tmp_path: Path, ledger: Ledger
) -> None:
    ledger.note(server.url, NAME)
    new = sorted([make_snapshot(server), make_snapshot(server)])
    left = export(server, tmp_path, ledger)["left_on_server"]
    assert left == [f"one of {', '.join(new)} of collection {NAME} may be ours"]
    assert snapshots(server) == new


def test_one_that_was_made_hours_later_is_somebody_elses(server: StoreServer, tmp_path: Path, ledger: Ledger) -> None:
    ledger.note(server.url, NAME, asked=time.time() - 4 * 3600)
    theirs = make_snapshot(server)
    assert export(server, tmp_path, ledger)["left_on_server"] == [f"{theirs} of collection {NAME} may be ours"]
    assert snapshots(server) == [theirs]


def test_one_that_may_still_appear_is_named(
    server: StoreServer, tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(create, "_SETTLE", 0.1)
    ledger.note(server.url, NAME)
    (left,) = export(server, tmp_path, ledger)["left_on_server"]
    assert f"a snapshot of {NAME} may still appear" in left


def test_a_users_collection_named_like_a_trial_is_backed_up(server: StoreServer, tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    sink = MemorySink()
    VectorStore(server.url).export(sink, Work(scratch=tmp_path / "scratch", deadline=60.0))
    assert {artifact.name for artifact in sink.artifacts} >= {f"qdrant/{NAME}", f"qdrant/{ALIKE}"}
