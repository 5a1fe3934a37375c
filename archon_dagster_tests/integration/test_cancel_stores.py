"""Runs terminated in the UI while one store is exported or restored: nothing is left of them, or all is put back."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from archon_dagster.context import open_context
from archon_dagster.repository.backends.opening import open_backend
from archon_dagster.repository.repository import Repository
from archon_dagster.restore.journal import JournalFile
from archon_dagster.restore.steps import PUT_BACK
from archon_dagster.sandbox import lifecycle
from archon_dagster.sandbox.lifecycle import Sandbox
from archon_dagster.sandbox.seed import seed
from archon_dagster.stores.base import StoreName
from archon_dagster_tests.eventually import eventually
from archon_dagster_tests.integration.slow_wire import SlowWire, slow_wire
from archon_dagster_tests.integration.terminating import PROMPT, ask_to_end, is_cancelled, launched, terminate
from archon_dagster_tests.integration.test_round_trip import no_residue
from archon_dagster_tests.integration.test_up import Up, running_up

pytestmark = [pytest.mark.sandbox, pytest.mark.long, pytest.mark.timeout(300)]

TRICKLE = (64, 0.1)  # bytes, and every so many seconds: an export would take a day
FIRST = 32 << 10  # bytes of a connection before that: what a question is answered with is less, an export is more
STORES = ("vectors", "graph", "relational")


@dataclass
class Case:
    """A control plane that reaches each server of its platform over a wire of its own."""

    up: Up
    sandbox: Sandbox
    wires: dict[str, SlowWire]
    environment: dict[str, str]

    @property
    def repository(self) -> Repository:
        return Repository.on(open_backend(self.sandbox.settings.repository))

    def sessions(self) -> str:
        """How many of ours PostgreSQL has."""
        query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'archon'"
        with self.sandbox.runtime.exec("postgres", ["psql", "-qtAX", "-c", query]) as command:
            command.stdin.close()
            return command.stdout.read().decode().strip()


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    home = tmp_path_factory.mktemp("cancel-stores") / "home"
    sandbox = lifecycle.up(home, owner_pid=os.getpid())
    with ExitStack() as stack:
        stack.callback(lifecycle.down, home)
        settings = sandbox.settings
        seed(settings, sandbox.runtime, limit=40, max_points=200)
        servers = {
            "vectors": urlsplit(settings.qdrant_url).netloc,
            "graph": urlsplit(settings.memgraph_uri).netloc,
            "relational": f"{settings.postgres_host}:{settings.postgres_port}",
        }
        wires = {
            name: stack.enter_context(slow_wire(host, int(port)))
            for name, (host, _, port) in ((name, place.partition(":")) for name, place in servers.items())
        }
        password = settings.postgres_password
        environment = {
            "QDRANT_URL": wires["vectors"].url,
            "MEMGRAPH_URI": f"bolt://127.0.0.1:{wires['graph'].port}",
            "POSTGRES_DSN": f"postgresql://{settings.postgres_user}:{password.get_secret_value() if password else ''}"
            f"@127.0.0.1:{wires['relational'].port}/{settings.postgres_db}",
        }
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        for name, value in environment.items():
            patch.setenv(name, value)
        up = stack.enter_context(running_up(home, "--no-platform"))
        yield Case(up, sandbox, wires, environment)


@pytest.fixture(autouse=True)
def its_variables(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in case.environment.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("store", STORES)
def test_a_backup_terminated_while_a_store_is_exported(store: str, case: Case, tmp_path: Path) -> None:
    wire, said = case.wires[store], tmp_path / "said"
    wire.trickles.clear()
    wire.slow_down(*TRICKLE, later=True, first=FIRST)
    with launched(case.up, said, "backup") as run:
        eventually(wire.trickles.is_set, 60)
        eventually(lambda: "ask the stores" in said.read_text(), 60)  # it was the export, no question, that trickles
        assert case.repository.holder() is not None
        taken = terminate(case.up, run)
    wire.slow_down(0)
    assert taken < PROMPT, said.read_text()
    assert case.repository.holder() is None
    assert case.repository.backups() == []
    assert list((case.up.home / "scratch").iterdir()) == []
    assert {status.state for status in case.sandbox.runtime.status()} == {"running"}  # the writers too
    no_residue(case.sandbox.settings)
    eventually(lambda: case.sessions() == "0", 20)


def test_the_next_backup_succeeds(case: Case) -> None:
    done = case.up.archon("backup")
    assert done.returncode == 0, done.stderr
    assert [entry.state for entry in case.repository.backups()] == ["complete"]


@pytest.mark.parametrize("store", ["graph", "relational"])
def test_a_restore_terminated_while_a_store_is_loaded_puts_back_what_was_there(
    store: StoreName, case: Case, tmp_path: Path
) -> None:
    wire, said, settings = case.wires[store], tmp_path / "said", case.sandbox.settings
    before = open_context(settings).fingerprints((store,))
    wire.trickles.clear()
    wire.slow_down(*TRICKLE, later=True, first=FIRST, up=True)  # a backup, the safety copy too, does not say so much
    with launched(case.up, said, "restore", "latest", "--only", store, "--confirm", "RESTORE") as run:
        eventually(wire.trickles.is_set, 120)
        began = time.monotonic()
        ask_to_end(case.up, run)
        eventually(lambda: (journal := JournalFile(settings).read()) is not None and journal.step == PUT_BACK, 60)
        taken = time.monotonic() - began
        wire.slow_down(0)
        eventually(lambda: is_cancelled(case.up, run), 120)
    assert taken < PROMPT, said.read_text()
    assert open_context(settings).fingerprints((store,)) == before
    assert JournalFile(settings).read() is None
    assert case.repository.holder() is None
    assert {status.state for status in case.sandbox.runtime.status()} == {"running"}
    eventually(lambda: case.sessions() == "0", 20)
