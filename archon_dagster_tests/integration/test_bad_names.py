"""Things with awkward names on real servers, through a real repository: backed up, verified, exported, restored."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest

from archon_dagster.repository.manifest import Manifest
from archon_dagster.repository.repository import Repository
from archon_dagster.sandbox.lifecycle import Sandbox
from archon_dagster.sandbox.ports import any_free
from archon_dagster.stores.base import Store, Work
from archon_dagster.stores.graph.store import open_graph
from archon_dagster.stores.relational import RelationalStore
from archon_dagster.stores.relational.programs import ServicePrograms
from archon_dagster.stores.relational.sql import identifier, query
from archon_dagster.stores.vectors.store import VectorStore
from archon_dagster_tests.integration.postgres_server import Server, running_server
from archon_dagster_tests.integration.store_server import StoreServer
from archon_dagster_tests.integration.test_graph import Graph
from archon_dagster_tests.unit.repository.conftest import window

pytestmark = [pytest.mark.sandbox, pytest.mark.long]

COLLECTIONS = ["a.b", "...", ".hidden", "collections", "ünï ☃ 名前", "two\ttabs", "quotes 'n'", "a+b%20c", "x" * 180]
DATABASES = ["..", "globals", "/etc/passwd", "a/b", "a//b", "back\\slash", "two\ttabs", "ünï ☃ \"q\" 'n'", "-d", "a=b"]
TABLES = ["a/b", "a.b", "..", "ünï ☃", "two\nlines", "semi;colon -- x", 'quo"te', "back\\slash", "select"]
LABELS = ["a/b", "a.b", "..", "ünï ☃ 名前", "two\nlines", "semi;colon // x", "quo\"te 'n'", "match"]


@pytest.fixture
def work(tmp_path: Path) -> Work:
    (tmp_path / "scratch").mkdir()
    return Work(scratch=tmp_path / "scratch", deadline=120)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository.open(str(tmp_path / "repository"), create=True)


def back_up(repository: Repository, store: Store, work: Work) -> Manifest:
    """A backup of one store, verified by its digests and by its engine."""
    with repository.begin("manual") as pending:
        store.export(pending, work)
        manifest = pending.seal(window=window(), versions={store.name: store.describe().version})
    assert repository.verify(manifest.id, work).passed
    verdicts = list(store.verify(repository.source(manifest), work))
    assert verdicts and {verdict.state for verdict in verdicts} == {"verified"}, verdicts
    return manifest


def assert_exported_inside(repository: Repository, manifest: Manifest, tmp_path: Path) -> None:
    """Every artifact is a file of its own, below the directory."""
    written = repository.export(manifest, tmp_path / "outer" / "plain")
    files = [path for path in (tmp_path / "outer").rglob("*") if path.is_file()]
    assert {path.parts[: len(tmp_path.parts) + 2] for path in files} == {(tmp_path / "outer" / "plain").parts}
    assert len({path.resolve() for path in written}) >= len(manifest.artifacts)


def restore(repository: Repository, manifest: Manifest, store: Store, work: Work) -> None:
    """What is there afterwards is what the backup promises."""
    store.restore(repository.source(manifest), work)
    expected = manifest.fingerprint(store.name)
    assert expected is not None
    assert expected.differences(store.fingerprint(work)) == []


def test_collections(tmp_path: Path, repository: Repository, work: Work) -> None:
    server = StoreServer(tmp_path / "qdrant").start()
    try:
        for name in COLLECTIONS:
            server.fill(quote(name, safe=""), 3)
        store = VectorStore(server.url)
        manifest = back_up(repository, store, replace(work, portable=True))
        assert_exported_inside(repository, manifest, tmp_path)
        for name in COLLECTIONS:
            server.call("DELETE", f"/collections/{quote(name, safe='')}")
        restore(repository, manifest, store, work)
        assert server.names() == sorted(COLLECTIONS)
        assert server.snapshot_files == []
    finally:
        server.stop()


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("postgres"), any_free()) as running:
        yield running


@pytest.mark.parametrize("database", DATABASES)
def test_databases(postgres: Server, tmp_path: Path, repository: Repository, work: Work, database: str) -> None:
    postgres.sql(f"CREATE DATABASE {identifier(database)};")
    try:
        store = RelationalStore(ServicePrograms(postgres, {}), database, "postgres")
        postgres_sql(store, work, "CREATE TABLE t (x int); INSERT INTO t SELECT generate_series(1, 10);")
        manifest = back_up(repository, store, work)
        assert_exported_inside(repository, manifest, tmp_path)
        postgres_sql(store, work, "DROP TABLE t;")
        restore(repository, manifest, store, work)
    finally:
        postgres.sql(f"DROP DATABASE {identifier(database)} WITH (FORCE);")


def postgres_sql(store: RelationalStore, work: Work, script: str) -> None:
    query(store.programs, work, store.database, script)


def test_tables(postgres: Server, repository: Repository, work: Work) -> None:
    postgres.sql("CREATE DATABASE names;")
    try:
        for name in TABLES:
            create = "CREATE TABLE {0} ({0} text); INSERT INTO {0} VALUES ('1');"
            postgres.sql(create.format(identifier(name)), "names")
        store = RelationalStore(ServicePrograms(postgres, {}), "names", "postgres")
        manifest = back_up(repository, store, work)
        postgres.sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public;", "names")
        restore(repository, manifest, store, work)
        assert sorted(store.describe().counts) == sorted(f"public.{name}" for name in TABLES)
    finally:
        postgres.sql("DROP DATABASE names WITH (FORCE);")


def test_labels_types_and_properties(sandbox: Sandbox, repository: Repository, work: Work) -> None:
    graph = Graph(sandbox.settings)
    try:
        graph.empty()
        for name in LABELS:
            kind = f"{name} 2"  # the sandbox's server has one set of names for labels and types
            graph.run(f"CREATE (:`{name}` {{`{name}`: 1}})-[:`{kind}` {{`{name}`: 2}}]->(:`{name}`)")
        store = open_graph(sandbox.settings)
        manifest = back_up(repository, store, work)
        graph.empty()
        restore(repository, manifest, store, work)
        assert {row[0] for row in graph.run("MATCH ()-[r]->() RETURN type(r)")} == {f"{name} 2" for name in LABELS}
    finally:
        graph.empty()
        graph.driver.close()
