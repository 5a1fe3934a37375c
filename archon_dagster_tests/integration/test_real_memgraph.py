"""The graph store on a real Memgraph: set ``ARCHON_TEST_MEMGRAPH_URI`` to one whose content may be destroyed.

What only a real server can tell: that our statements are its grammar, that its schema comes back, and that every
value it can hold is handed out after a restore as it was before. ``ARCHON_TEST_MEMGRAPH_USER`` and ``…_PASSWORD`` where
it wants a login.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import neo4j
import pytest
import pytz  # type: ignore[import-untyped]
from neo4j.time import DateTime, Duration

from archon_dagster.errors import StoreError
from archon_dagster.stores.base import Work
from archon_dagster.stores.graph.connection import Bolt
from archon_dagster.stores.graph.dialect import choose
from archon_dagster.stores.graph.driver import Endpoint, open_driver
from archon_dagster.stores.graph.dump import artifact
from archon_dagster.stores.graph.dump.importing import import_dump
from archon_dagster.stores.graph.load import Loader
from archon_dagster.stores.graph.records import Node, Relationship, read_records
from archon_dagster.stores.graph.store import GraphStore
from archon_dagster.stores.graph.values import decode, encode
from archon_dagster_tests.artifacts import MemorySink, MemorySource
from archon_dagster_tests.unit.dump_printer import after_a_dump

URI = os.environ.get("ARCHON_TEST_MEMGRAPH_URI", "")
LOGIN = (os.environ.get("ARCHON_TEST_MEMGRAPH_USER", ""), os.environ.get("ARCHON_TEST_MEMGRAPH_PASSWORD", ""))
RECORDED = Path(__file__).parents[1] / "data" / "memgraph" / "v3.2.1" / "build-every-type.json"
NAME = "memgraph/graph"

pytestmark = pytest.mark.skipif(not URI, reason="needs a real Memgraph: set ARCHON_TEST_MEMGRAPH_URI")


class Live:
    """Direct access to the server, beside the store under test."""

    def __init__(self) -> None:
        self.driver = neo4j.GraphDatabase.driver(
            URI, auth=LOGIN if any(LOGIN) else None, notifications_min_severity=neo4j.NotificationMinimumSeverity.OFF
        )

    def run(self, query: str, **parameters: Any) -> list[list[Any]]:
        with self.driver.session() as session:
            return [record.values() for record in session.run(query, parameters)]

    def refusal(self, query: str) -> str:
        """What the server says against a statement; empty where it did it."""
        try:
            self.run(query)
        except neo4j.exceptions.Neo4jError as error:
            return str(error.message)
        return ""


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(scratch=tmp_path)


@pytest.fixture
def live(work: Work) -> Iterator[Live]:
    """The server, emptied with the very code that a restore empties it with."""
    with Bolt(Endpoint(URI, *LOGIN), work, open_driver) as bolt:
        dialect = choose(bolt)
        assert dialect.name == "memgraph"
        loader = Loader(bolt, dialect, work)
        loader._drop(dialect.schema(bolt))
        loader._empty()
        assert [item for item in dialect.schema(bolt) if item.kind != "enum"] == []
    server = Live()
    try:
        yield server
    finally:
        server.driver.close()


@pytest.fixture
def store() -> GraphStore:
    return GraphStore(URI, *LOGIN)


def exported(store: GraphStore, work: Work) -> MemorySource:
    sink = MemorySink()
    store.export(sink, work)
    return sink.source()


def assert_restores(store: GraphStore, source: MemorySource, work: Work) -> None:
    expected = source.one(NAME).fingerprint
    assert expected is not None
    assert expected.differences(store.fingerprint(work)) == []
    store.restore(source, work)
    assert expected.differences(store.fingerprint(work)) == []


def every_type(live: Live) -> None:
    """The statements that made the recorded every-type graph, as far as this version takes them."""
    for answer in json.loads(RECORDED.read_text()):
        if answer["ok"] and answer["q"].startswith(("CREATE", "MATCH")):
            with live.driver.session() as session:
                try:
                    session.run(answer["q"], {"n": "name"}).consume()
                except neo4j.exceptions.Neo4jError as error:
                    assert "already exists" in str(error.message) or "$" in answer["q"], answer["q"]


def test_every_type_and_every_schema_object_come_back(live: Live, store: GraphStore, work: Work) -> None:
    every_type(live)
    query = "MATCH (n) RETURN labels(n), properties(n)"
    before = sorted(map(repr, live.run(query)))
    schema = store.describe().details["schema"]
    assert len(before) > 50
    assert len(schema) > 15
    assert_restores(store, exported(store, work), work)
    assert sorted(map(repr, live.run(query))) == before
    assert sorted(store.describe().details["schema"]) == sorted(schema)
    assert [said for said in store.report.warnings if not said.endswith("stays: it cannot be dropped")] == []


@pytest.mark.parametrize(
    "moment",
    [
        datetime(2026, 11, 24, 3, 0, 0, 123_456, tzinfo=UTC),
        DateTime(2026, 11, 24, 3, 0, 0, 0, tzinfo=pytz.UTC),
        DateTime(2026, 11, 24, 3, 0, 0, 0, tzinfo=pytz.FixedOffset(-210)),
        pytz.timezone("Europe/Vienna").localize(DateTime(2024, 10, 27, 2, 30, 0, 0), is_dst=True),
        pytz.timezone("Europe/Vienna").localize(DateTime(2024, 10, 27, 2, 30, 0, 0), is_dst=False),
        Duration(days=-1, seconds=-3, nanoseconds=-5_000),
    ],
    ids=str,
)
def test_a_moment_keeps_its_zone_or_its_offset(moment: Any, live: Live, store: GraphStore, work: Work) -> None:
    live.run("CREATE (n:At) SET n.at = $at, n.inside = [$at, {a: $at}]", at=moment)
    before = repr(live.run("MATCH (n:At) RETURN n.at, n.inside"))
    assert_restores(store, exported(store, work), work)
    assert repr(live.run("MATCH (n:At) RETURN n.at, n.inside")) == before


@pytest.mark.parametrize("text", ["1969-12-31T23:59:58.500000", "1969-12-30T12:30:15", "1815-12-10T06:00:00.000001"])
def test_a_local_datetime_before_1970_comes_back(text: str, live: Live, store: GraphStore, work: Work) -> None:
    live.run(f'CREATE (a:Born {{at: localDateTime("{text}")}}) CREATE (a)-[:R {{at: localDateTime("{text}")}}]->(a)')
    query = "MATCH (a)-[r]->(a) RETURN a.at, r.at, toString(a.at)"
    before = live.run(query)
    assert_restores(store, exported(store, work), work)
    assert live.run(query) == before


def test_a_unique_constraint_is_the_same_after_its_properties_were_learned_the_other_way_round(
    live: Live, store: GraphStore, work: Work
) -> None:
    live.run("CREATE CONSTRAINT ON (n:Pair) ASSERT n.zz_first, n.aa_second IS UNIQUE")
    source = exported(store, work)
    live.run("DROP CONSTRAINT ON (n:Pair) ASSERT n.zz_first, n.aa_second IS UNIQUE")
    live.run("CREATE CONSTRAINT ON (n:Pair) ASSERT n.aa_second, n.zz_first IS UNIQUE")
    assert_restores(store, source, work)


def test_a_graph_of_many_batches_comes_back(live: Live, store: GraphStore, work: Work) -> None:
    live.run("UNWIND range(1, 20000) AS i CREATE (:File {i: i, f: i / 3.0})")
    live.run("CREATE INDEX ON :File(i)")
    live.run("UNWIND range(1, 20000) AS i MATCH (a:File {i: i}), (b:File {i: 20001 - i}) CREATE (a)-[:R {w: i}]->(b)")
    live.run("MATCH (a:File {i: 7}) CREATE (a)-[:BARE]->(a), (a)-[:BARE]->(a)")
    assert_restores(store, exported(store, work), work)
    assert live.run("MATCH ()-[r]->() RETURN count(r)") == [[20_002]]


def test_a_restore_waits_for_a_transaction_that_is_soon_over(live: Live, store: GraphStore, work: Work) -> None:
    live.run("CREATE (:A {x: 1})")
    live.run("CREATE CONSTRAINT ON (n:A) ASSERT EXISTS (n.x)")
    source = exported(store, work)
    with live.driver.session(default_access_mode=neo4j.READ_ACCESS) as session:
        transaction = session.begin_transaction()
        transaction.run("MATCH (n) RETURN count(n)").consume()
        assert "access" in live.refusal("CREATE CONSTRAINT ON (n:Other) ASSERT EXISTS (n.x)")
        ending = threading.Timer(4.0, transaction.close)
        ending.start()
        try:
            assert_restores(store, source, work)
        finally:
            ending.join()


def test_what_memgraph_cannot_keep_is_refused_before_anything_is_touched(
    live: Live, store: GraphStore, work: Work
) -> None:
    live.run("CREATE (:A {x: 1})")
    source = exported(store, work)
    data = source.data[NAME].replace(b'{"int":"1"}', b'{"bytes":"AA=="}')
    source.replace(NAME, data, fingerprint=None)
    with pytest.raises(StoreError, match="the bytes value in property 'x'"):
        store.restore(source, work)
    assert live.run("MATCH (n) RETURN count(n)") == [[1]]


def dumped(source: MemorySource, folder: Path, work: Work) -> MemorySource:
    """The graph of the backup's own ``DUMP DATABASE``."""
    path, again = folder / "dump.cypher", MemorySink()
    path.write_bytes(source.data[artifact.ARTIFACT])
    assert import_dump(path, again, work).left_out == 0
    return again.source()


def content(source: MemorySource) -> list[str]:
    """Every node and relationship as text, in no order, without ids, and as a dump can say it."""
    found: list[str] = []
    with source.open(source.one(NAME)) as stream:
        for record in read_records(stream):
            if isinstance(record, (Node, Relationship)):
                what = sorted(record.labels) if isinstance(record, Node) else record.type
                properties = {name: encode(after_a_dump(decode(value))) for name, value in record.properties.items()}
                found.append(json.dumps([what, properties], sort_keys=True))
    return sorted(found)


def test_the_dump_beside_the_export_says_the_same_graph(
    live: Live, store: GraphStore, work: Work, tmp_path: Path
) -> None:
    every_type(live)
    source = exported(store, work)
    assert content(dumped(source, tmp_path, work)) == content(source)


def test_a_dump_restores_into_the_server_that_printed_it(
    live: Live, store: GraphStore, work: Work, tmp_path: Path
) -> None:
    every_type(live)
    source = dumped(exported(store, work), tmp_path, work)
    store.restore(source, work)
    promised = source.one(NAME).fingerprint
    assert promised is not None
    assert promised.differences(store.fingerprint(work)) == []
