"""Servers that refuse who asks: the setting to look at is named, no secret is, nothing is left on either side."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from archon_dagster.backup.backup import BackupRequest, take_backup
from archon_dagster.errors import ArchonError, StoreError, StoreUnavailable
from archon_dagster.platform.settings import load_settings
from archon_dagster.sandbox.lifecycle import Sandbox
from archon_dagster.sandbox.ports import any_free
from archon_dagster.stores.base import Sink, Store, Work
from archon_dagster.stores.graph.store import open_graph
from archon_dagster.stores.relational import RelationalStore
from archon_dagster.stores.relational.programs import LocalPrograms
from archon_dagster.stores.vectors.store import VectorStore
from archon_dagster_tests.integration.postgres_server import PASSWORD, Server, running_server
from archon_dagster_tests.integration.store_server import StoreServer
from archon_dagster_tests.unit.platform_double import Platform

pytestmark = pytest.mark.sandbox

WRONG = "wr0ng-secret"


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    return Platform(tmp_path / "platform")


def back_up_with(platform: Platform, store: Store) -> ArchonError:
    """What a backup of the platform says in which this is one of the stores; nothing of it may be left."""
    platform.context.stores[store.name] = store
    with pytest.raises(StoreError) as caught:
        take_backup(platform.context, BackupRequest(quiesce=False))
    assert platform.repository.backups() == []
    assert platform.repository.holder() is None
    assert WRONG not in str(caught.value) + repr(caught.value)
    return caught.value


# the vectors


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[StoreServer]:
    server = StoreServer(tmp_path / "qdrant", key="the-key").start()
    try:
        server.fill("archon_vectors", 3)
        yield server
    finally:
        server.stop()


@pytest.mark.parametrize("key", ["", WRONG])
def test_a_vector_server_that_refuses_the_key(platform: Platform, guarded: StoreServer, key: str) -> None:
    error = back_up_with(platform, VectorStore(guarded.url, key))
    assert error.todo == "set QDRANT_API_KEY to the server's key"
    assert guarded.url in str(error)
    assert guarded.snapshot_files == []


def test_a_vector_server_whose_key_may_only_read(
    platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QDRANT__SERVICE__READ_ONLY_API_KEY", WRONG)
    server = StoreServer(tmp_path / "qdrant", key="the-key").start()
    try:
        server.fill("archon_vectors", 3)
        error = back_up_with(platform, VectorStore(server.url, WRONG))
        assert "QDRANT_API_KEY needs manage access: a read-only or collection key cannot create" in str(error)
        assert server.snapshot_files == []
    finally:
        server.stop()


class Rekeyed(VectorStore):
    """The server gets another key between the questions and the capture."""

    def __init__(self, server: StoreServer):
        super().__init__(server.url, server.key)
        self._server = server

    def export(self, sink: Sink, work: Work) -> None:
        self._server.kill()
        self._server.key = "the-new-key"
        self._server.start()
        super().export(sink, work)


def test_a_key_that_is_changed_during_a_backup(platform: Platform, guarded: StoreServer) -> None:
    error = back_up_with(platform, Rekeyed(guarded))
    assert error.todo == "set QDRANT_API_KEY to the server's key"
    assert guarded.snapshot_files == []


# the relational store


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("postgres"), any_free()) as running:
        running.sql("CREATE ROLE nobody_may NOLOGIN PASSWORD 'x';")
        yield running


@pytest.mark.parametrize(
    ("login", "words"),
    [
        (f"postgres:{WRONG}", "password authentication failed"),
        ("postgres", "no password supplied"),
        (f"stranger:{WRONG}", "failed for user"),
        ("nobody_may:x", "not permitted to log in"),
    ],
)
def test_a_relational_server_that_refuses_the_login(
    platform: Platform, postgres: Server, login: str, words: str
) -> None:
    dsn = f"postgresql://{login}@127.0.0.1:{postgres.port}/postgres"
    error = back_up_with(platform, RelationalStore(LocalPrograms(dsn), "postgres", "postgres"))
    assert words in str(error)
    assert error.where == f"127.0.0.1:{postgres.port}"
    assert error.todo == "check the user and the password in POSTGRES_DSN, or POSTGRES_USER and POSTGRES_PASSWORD"
    assert not isinstance(error, StoreUnavailable)  # it answers: waiting for it would not help
    assert PASSWORD not in str(error)


# the graph


@pytest.mark.parametrize("user", ["", "stranger"])
def test_a_graph_server_that_refuses_the_login(platform: Platform, sandbox: Sandbox, user: str) -> None:
    if not sandbox.settings.memgraph_user:
        pytest.skip("does not hold on a real server without users")
    settings = load_settings(
        ARCHON_HOME=sandbox.home,
        MEMGRAPH_URI=sandbox.settings.memgraph_uri,
        MEMGRAPH_USER=user or sandbox.settings.memgraph_user,
        MEMGRAPH_PASSWORD=WRONG,
    )
    error = back_up_with(platform, open_graph(settings))
    assert error.todo == "check MEMGRAPH_USER and MEMGRAPH_PASSWORD"
