"""The demo's last word: what it compared, and the exit code that goes with it."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from archon_dagster.cli import demo
from archon_dagster.cli.main import app
from archon_dagster.repository.manifest import Fingerprint, Part
from archon_dagster.stores.base import STORES, Description, StoreName


def fingerprint(store: StoreName, count: int) -> Fingerprint:
    return Fingerprint(parts={f"{store}/records": Part(count=count, digest=f"{count:064x}")})


def told(lost: StoreName | None) -> demo.Tale:
    """A tale whose stores came back whole, except the one that has lost a record."""
    tale = demo.Tale()
    for store in STORES:
        now = 1 if store == lost else 2
        tale.before[store], tale.after[store] = fingerprint(store, 2), fingerprint(store, now)
        tale.restored[store] = Description(store, "server 1", "127.0.0.1", {"records": now})
    return tale


def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tale: demo.Tale) -> tuple[int, str]:
    """`archon demo` on servers that have told this tale."""
    monkeypatch.setenv("ARCHON_HOME", str(tmp_path))
    monkeypatch.setattr(demo, "_tell", lambda platform, _: demo._report(tale))
    done = CliRunner().invoke(app, ["demo"])
    return done.exit_code, done.output.strip().splitlines()[-1]


def test_what_came_back_whole_is_identical(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert run(monkeypatch, tmp_path, told(None)) == (0, "DEMO restored=identical")


@pytest.mark.parametrize("store", STORES)
def test_a_lost_record_is_named_and_fails_the_demo(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, store: StoreName
) -> None:
    code, last = run(monkeypatch, tmp_path, told(store))
    assert code == 1
    assert last == f"DEMO restored=different: {store} {store}/records: 2 expected, 1 found"
