"""The graph store on a real Neo4j: ``ARCHON_TEST_NEO4J`` names a program that serves one from a DIRECTORY on a PORT."""

from __future__ import annotations

import math
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import neo4j
import pytest
import pytz  # type: ignore[import-untyped]
from neo4j.spatial import CartesianPoint, WGS84Point
from neo4j.time import Date, DateTime, Duration, Time

from archon_dagster.errors import StoreError
from archon_dagster.sandbox.ports import any_free
from archon_dagster.stores.base import Work
from archon_dagster.stores.graph.neo4jlike import Neo4j
from archon_dagster.stores.graph.store import GraphStore
from archon_dagster.stores.graph.values import Json, decode
from archon_dagster_tests.artifacts import MemorySink, MemorySource
from archon_dagster_tests.eventually import eventually

PROGRAM = os.environ.get("ARCHON_TEST_NEO4J", "")
NAME = "memgraph/graph"
START = 180.0  # seconds; a Java program on two busy cores

pytestmark = pytest.mark.skipif(not PROGRAM, reason="needs a real Neo4j: name its program in ARCHON_TEST_NEO4J")

SCHEMA = (
    "CREATE INDEX file_path FOR (n:File) ON (n.path)",
    "CREATE INDEX FOR (n:File) ON (n.a, n.b)",
    "CREATE INDEX weight FOR ()-[r:IMPORTS]-() ON (r.w)",
    "CREATE INDEX `odd ``name` FOR (n:`La bel`) ON (n.`pro``p`)",
    "CREATE TEXT INDEX words FOR (n:File) ON (n.text)",
    "CREATE POINT INDEX places FOR (n:File) ON (n.place)",
    "CREATE FULLTEXT INDEX everywhere FOR (n:File|Document) ON EACH [n.title, n.body]",
    "CREATE VECTOR INDEX meaning FOR (n:Document) ON (n.embedding) "
    "OPTIONS {indexConfig: {`vector.dimensions`: 4, `vector.similarity_function`: 'euclidean'}}",
    "CREATE CONSTRAINT one_of_each FOR (n:Entity) REQUIRE n.id IS UNIQUE",
    "CREATE CONSTRAINT FOR (n:Entity) REQUIRE (n.x, n.y) IS UNIQUE",
    "CREATE CONSTRAINT one_relation FOR ()-[r:RELATES]-() REQUIRE r.id IS UNIQUE",
)
VALUES: dict[str, Any] = {
    "zero": 0, "min": -(2**63), "max": 2**63 - 1, "one": 1.0, "nan": math.nan, "inf": math.inf, "minus": -math.inf,
    "negative_zero": -0.0, "tiny": 5e-324, "true": True, "empty": "", "nul": "a\0b", "emoji": "é😀\u2028",
    "integers": [1, 2], "floats": [1.0, 2.5], "texts": ["a", ""], "none": [], "bytes": b"\0\xff",
    "bools": [True, False], "date": Date(2024, 2, 29), "dates": [Date(1, 1, 1)], "time": Time(23, 59, 59, 999_999_000),
    "zoned_time": Time(1, 2, 3, 5, tzinfo=pytz.FixedOffset(330)), "local": DateTime(2024, 1, 2, 3, 4, 5, 123_456_789),
    "zoned": pytz.timezone("Europe/Vienna").localize(DateTime(2024, 7, 1, 12)), "duration": Duration(1, -2, 3, 4),
    "offset": DateTime(2024, 1, 1, tzinfo=pytz.FixedOffset(-210)), "flat": CartesianPoint((1.0, 2.0)),
    "high": WGS84Point((1.5, 2.5, 3.5)), "points": [WGS84Point((1.5, 2.5))],
}  # fmt: skip


class Live:
    """Direct access to the server, beside the store under test."""

    def __init__(self, uri: str):
        self.uri = uri
        self.driver = neo4j.GraphDatabase.driver(uri, notifications_min_severity=neo4j.NotificationMinimumSeverity.OFF)

    def run(self, query: str, **parameters: Any) -> list[list[Any]]:
        with self.driver.session() as session:
            return [record.values() for record in session.run(query, parameters)]

    def made_by(self) -> set[str]:
        """The statements that make its indexes and constraints, names and settings and all."""
        shown = self.run("SHOW INDEXES YIELD createStatement") + self.run("SHOW CONSTRAINTS YIELD createStatement")
        return {statement for (statement,) in shown}


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    folder, port = tmp_path_factory.mktemp("neo4j"), any_free()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([PROGRAM, str(folder / "data"), str(port)], stdout=log, stderr=log)
    server = Live(f"bolt://127.0.0.1:{port}")
    try:
        eventually(lambda: _answers(server, process), within=START)
        yield server
    finally:
        server.driver.close()
        process.terminate()
        process.wait(60)


def _answers(server: Live, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, "the server has ended"
    try:
        return server.run("RETURN 1") == [[1]]
    except neo4j.exceptions.DriverError:
        return False


@pytest.fixture
def store(live: Live) -> GraphStore:
    return GraphStore(live.uri)


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(scratch=tmp_path)


@pytest.fixture
def backup(live: Live, store: GraphStore, work: Work) -> MemorySource:
    """A graph with one of everything, made new."""
    for kind in ("CONSTRAINT", "INDEX"):
        for name, what in live.run(f"SHOW {kind}{'ES' if kind == 'INDEX' else 'S'} YIELD name, type"):
            if what != "LOOKUP":
                live.run(f"DROP {kind} `{name.replace('`', '``')}`")
    live.run("MATCH (n) DETACH DELETE n")
    for statement in SCHEMA:
        live.run(statement)
    for name, value in VALUES.items():
        live.run("CREATE (n:Value) SET n.name = $name, n.value = $value", name=name, value=value)
    live.run(
        "CREATE (:File:Document {title: 'x', embedding: [0.1, 0.2, 0.3, 0.4], place: point({x: 1, y: 2})}), ({a: 1})"
    )
    live.run(
        "CREATE (a:Entity {id: 1, x: 1, y: 1})-[:RELATES {id: 1}]->(b:Entity {id: 2, x: 1, y: 2}), "
        "(a)-[:RELATES {id: 2}]->(b), (a)-[:SELF]->(a), (b)-[:`odd ``type` {day: date('2024-01-01')}]->(a)"
    )
    live.run("UNWIND range(1, 7000) AS i CREATE (:File {path: toString(i), size: i, f: i / 3.0})")
    live.run(
        "MATCH (a:File), (b:File {path: toString(a.size * 7 % 7000 + 1)}) CREATE (a)-[:IMPORTS {w: a.size / 2.0}]->(b)"
    )
    sink = MemorySink()
    store.export(sink, work)
    return sink.source()


def test_a_graph_with_every_kind_of_index_comes_back_as_it_was(
    live: Live, store: GraphStore, work: Work, backup: MemorySource
) -> None:
    schema, counts = live.made_by(), store.describe().counts
    live.run("MATCH (n:File) DETACH DELETE n")
    live.run("DROP INDEX meaning")
    live.run("CREATE INDEX of_nobody FOR (n:File) ON (n.f)")
    store.restore(backup, work)
    expected = backup.one(NAME).fingerprint
    assert expected is not None
    assert expected.differences(store.fingerprint(work)) == []
    assert (live.made_by(), store.describe().counts, store.report.warnings) == (schema, counts, [])


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"map": {"a": {"int": "1"}}}, "the map in property 'p'"),
        ({"enum": "Status::Good"}, "the enum in property 'p'"),
        ([{"int": "1"}, {"float": "0x1.0p+0"}], "the list of several types of values in property 'p'"),
        ([{"int": "1"}, None], "the list with a null inside in property 'p'"),
        ([[{"int": "1"}]], "the list with a list inside in property 'p'"),
        ([{"bytes": "YQ=="}], "the list with a bytes inside in property 'p'"),
        (
            [{"Point": ["7203", "0x1.0p+0", "0x1.0p+0"]}, {"Point": ["4326", "0x1.0p+0", "0x1.0p+0"]}],
            "the list of several types of values in property 'p'",
        ),
    ],
)
def test_what_is_refused_the_server_rejects_or_changes(live: Live, value: Json, said: str) -> None:
    assert Neo4j("5.26.0").refuses([], {"p": value}, b"") == said
    try:
        ((back,),) = live.run("CREATE (n:Probe) SET n.p = $p RETURN n.p", p=decode(value))
    except neo4j.exceptions.ClientError:
        back = None
    finally:
        live.run("MATCH (n:Probe) DELETE n")
    assert repr(back) != repr(decode(value))


def test_a_backup_it_cannot_keep_is_refused_before_anything_is_touched(
    live: Live, store: GraphStore, work: Work, backup: MemorySource
) -> None:
    before, schema = store.fingerprint(work), live.made_by()
    with backup.open(backup.one(NAME)) as stream:
        content = stream.read()
    assert content.count(b'{"int":"9223372036854775807"}') == 1
    backup.replace(NAME, content.replace(b'{"int":"9223372036854775807"}', b'{"map":{"a":true}}'))
    with pytest.raises(StoreError, match=r"neo4j 5\.26\.0 cannot keep the map in property 'value' of node"):
        store.restore(backup, work)
    assert before.differences(store.fingerprint(work)) == []
    assert live.made_by() == schema
