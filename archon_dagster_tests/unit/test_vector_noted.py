"""Snapshots that earlier runs have asked for and never heard the names of, found by what is new on the server."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from archon_dagster.stores.vectors import create
from archon_dagster.stores.vectors.client import ServerSnapshot
from archon_dagster.stores.vectors.create import remove_late, remove_noted
from archon_dagster.stores.vectors.ledger import Ledger

HOUR = 3600.0


class Server:
    """Snapshot files by collection, each with the time it was made, as a client sees them."""

    address = "http://127.0.0.1:6333"

    def __init__(self, **files: dict[str, float]) -> None:
        self.files = files

    def tidying(self) -> Server:
        return self

    def check(self) -> None: ...

    def collections(self) -> list[str]:
        return sorted(self.files)

    def snapshots(self, collection: str) -> list[ServerSnapshot]:
        return [
            ServerSnapshot(
                collection, name, 1, None, datetime.fromtimestamp(made, UTC).replace(tzinfo=None).isoformat()
            )
            for name, made in self.files[collection].items()
        ]

    def delete_snapshot(self, collection: str, name: str) -> None:
        del self.files[collection][name]


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger.json")


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(create, "_SETTLE", 0.0)


def note(ledger: Ledger, *ages: float, before: tuple[str, ...] = ()) -> None:
    """Runs that asked for a snapshot of ``c`` so many seconds ago."""
    for age in ages:
        ledger.note(Server.address, "c", before=before, asked=time.time() - age)


def noted(ledger: Ledger) -> int:
    return len(ledger.entries(Server.address))


def removed(server: Server, ledger: Ledger) -> list[str]:
    return remove_noted(server, ledger, 1.0)  # type: ignore[arg-type]


def removed_late(server: Server, ledger: Ledger) -> list[str]:
    return remove_late(server, ledger, 1.0)  # type: ignore[arg-type]


def test_as_many_as_were_asked_for_are_removed(ledger: Ledger) -> None:
    now = time.time()
    server = Server(c={"theirs": now - 9 * HOUR, "a": now - 60, "b": now - 30})
    note(ledger, 60, 30, before=("theirs",))
    assert removed(server, ledger) == []
    assert server.files == {"c": {"theirs": pytest.approx(now - 9 * HOUR)}}
    assert noted(ledger) == 0


def test_one_that_may_still_appear_stays_noted_and_is_removed_when_it_has(ledger: Ledger) -> None:
    server = Server(c={"a": time.time() - 60})
    note(ledger, 60, 30)
    assert removed(server, ledger) == []
    assert (server.files["c"], noted(ledger)) == ({}, 1)
    (left,) = removed_late(server, ledger)
    assert "a snapshot of c may still appear on the server" in left
    server.files["c"]["b"] = time.time()
    assert removed_late(server, ledger) == []
    assert (server.files["c"], noted(ledger)) == ({}, 0)


def test_more_than_were_asked_for_are_left_and_named_once(ledger: Ledger) -> None:
    now = time.time()
    server = Server(c={"a": now, "b": now, "theirs": now})
    note(ledger, 60, 30)
    assert removed(server, ledger) == ["one of a, b, theirs of collection c may be ours"]
    assert len(server.files["c"]) == 3
    assert noted(ledger) == 0


def test_one_that_never_appeared_is_given_up_after_an_hour_and_named_once(ledger: Ledger) -> None:
    server = Server(c={})
    note(ledger, 2 * HOUR)
    (left,) = removed(server, ledger)
    assert "may still appear" in left
    assert (removed(server, ledger), noted(ledger)) == ([], 0)


def test_what_has_a_name_is_not_taken_for_another_one(ledger: Ledger) -> None:
    """This run's own snapshot, while one of an earlier run is still being made."""
    server = Server(c={"ours now": time.time()})
    note(ledger, 30)
    ledger.note(Server.address, "c", "ours now")
    assert len(removed_late(server, ledger)) == 1
    assert list(server.files["c"]) == ["ours now"]


def test_a_collection_that_is_gone_took_its_snapshots_with_it(ledger: Ledger) -> None:
    note(ledger, 30)
    assert removed(Server(), ledger) == []
    assert noted(ledger) == 0
