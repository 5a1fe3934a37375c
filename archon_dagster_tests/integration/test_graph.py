"""The graph store against the sandbox's real graph server."""

from __future__ import annotations

import math
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import neo4j
import pytest
import pytz  # type: ignore[import-untyped]
from neo4j.spatial import CartesianPoint, WGS84Point
from neo4j.time import Date, DateTime, Duration, Time

from archon_dagster.errors import Cancelled, StoreError, StoreUnavailable
from archon_dagster.platform.settings import Settings
from archon_dagster.sandbox import lifecycle
from archon_dagster.sandbox.lifecycle import Sandbox
from archon_dagster.stores.base import Progress, Work
from archon_dagster.stores.graph.store import GraphStore, open_graph
from archon_dagster_tests.artifacts import MemorySink, MemorySource
from archon_dagster_tests.eventually import eventually
from archon_dagster_tests.prompt import PROMPT, Cancel

pytestmark = pytest.mark.sandbox
NAME = "memgraph/graph"
VIENNA = pytz.timezone("Europe/Vienna")


class Graph:
    """Direct access to the live graph, beside the store under test."""

    def __init__(self, settings: Settings):
        login = (settings.memgraph_user, settings.memgraph_password.get_secret_value())
        self.database = settings.memgraph_database
        self.driver = neo4j.GraphDatabase.driver(settings.memgraph_uri, auth=login if any(login) else None)
        self.is_memgraph = self._try("SHOW VERSION") is not None

    def _try(self, query: str) -> list[list[Any]] | None:
        try:
            return self.run(query)
        except neo4j.exceptions.Neo4jError:
            return None

    def run(self, query: str, **parameters: Any) -> list[list[Any]]:
        with self.driver.session(database=self.database) as session:
            return [record.values() for record in session.run(query, parameters)]

    def fill(self, nodes: int, relationships: int) -> None:
        ids: list[int] = []
        for first in range(0, nodes, 5000):
            rows = [{"name": f"módulo_{i}", "v": i, "f": i / 3} for i in range(first, min(nodes, first + 5000))]
            ids += [row[0] for row in self.run("UNWIND $rows AS r CREATE (n:File) SET n = r RETURN id(n)", rows=rows)]
        rows = [{"a": ids[i % nodes], "b": ids[i * 7 % nodes], "w": i / 2} for i in range(relationships)]
        self.run(
            "UNWIND $rows AS r MATCH (a), (b) WHERE id(a) = r.a AND id(b) = r.b CREATE (a)-[:IMPORTS {w: r.w}]->(b)",
            rows=rows,
        )

    def empty(self) -> None:
        for kind, plural in (("CONSTRAINT", "CONSTRAINTS"), ("INDEX", "INDEXES")):
            for row in [] if self.is_memgraph else self.run(f"SHOW {plural}"):
                self._try(f"DROP {kind} `{row[1]}`")
        self.run("MATCH (n) DETACH DELETE n")


@pytest.fixture
def graph(sandbox: Sandbox) -> Iterator[Graph]:
    live = Graph(sandbox.settings)
    try:
        live.empty()
        yield live
    finally:
        live.driver.close()


@pytest.fixture
def store(sandbox: Sandbox, graph: Graph) -> GraphStore:
    return open_graph(sandbox.settings)


def stepping(settings: Settings) -> GraphStore:
    """The same store, restoring in many small transactions."""
    password = settings.memgraph_password.get_secret_value()
    return GraphStore(
        settings.memgraph_uri, settings.memgraph_user, password, settings.memgraph_database, batch_rows=100
    )


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(scratch=tmp_path)


def exported(store: GraphStore, work: Work) -> MemorySink:
    sink = MemorySink()
    store.export(sink, work)
    return sink


def assert_restores(store: GraphStore, source: MemorySource, work: Work) -> None:
    store.restore(source, work)
    expected = source.one(NAME).fingerprint
    assert expected is not None
    assert expected.differences(store.fingerprint(work)) == []


VALUES: dict[str, Any] = {
    "zero": 0, "min": -(2**63), "max": 2**63 - 1, "one": 1.0, "nan": math.nan, "inf": math.inf, "minus": -math.inf,
    "negative_zero": -0.0, "tiny": 5e-324, "huge": 1e300, "true": True, "false": False, "empty": "", "nul": "a\0b",
    "control": "".join(map(chr, range(1, 32))), "emoji": "é中😀\u2028", "list": [1, 1.0, "x", None, True, [1, [2]]],
    "no_list": [], "date": Date(2024, 2, 29), "first": Date(1, 1, 1), "time": Time(23, 59, 59, 999_999_000),
    "local": DateTime(2024, 2, 29, 23, 59, 59, 123_456_000),
    "zoned": VIENNA.localize(DateTime(2024, 2, 29, 23, 59, 59, 5_000)),
    "utc": datetime(2026, 11, 24, 3, 0, 0, 123_456, tzinfo=UTC), "named": DateTime(2026, 11, 24, tzinfo=pytz.UTC),
    "summer": VIENNA.localize(DateTime(2024, 10, 27, 2, 30, 0, 0), is_dst=True),
    "winter": VIENNA.localize(DateTime(2024, 10, 27, 2, 30, 0, 0), is_dst=False),
    "days": Duration(days=-1, seconds=-3, nanoseconds=-5_000), "flat": CartesianPoint((1.0, 2.5)),
    "solid": CartesianPoint((1.0, 2.5, -3.0)), "place": WGS84Point((16.37, 48.2)),
    "height": WGS84Point((16.37, 48.2, 100.0)),
}  # fmt: skip
ONLY_HERE: dict[str, Any] = {  # what the sandbox's server takes and Memgraph does not
    "bytes": b"\0\xff", "nanoseconds": DateTime(2024, 2, 29, 23, 59, 59, 123_456_789),
    "offset": Time(12, 0, 0, 5, tzinfo=pytz.FixedOffset(-90)), "months": Duration(months=1, days=2),
}  # fmt: skip


def test_every_type_of_value_comes_back(store: GraphStore, graph: Graph, work: Work) -> None:
    values = VALUES if graph.is_memgraph else VALUES | ONLY_HERE
    for name, value in values.items():
        graph.run("CREATE (n:Value {name: $name}) SET n.v = $value", name=name, value=value)
    query = "MATCH (n:Value) RETURN n.name, n.v ORDER BY n.name"
    before = repr(graph.run(query))
    source = exported(store, work).source()
    graph.empty()
    assert_restores(store, source, work)
    assert repr(graph.run(query)) == before


OFFSETS = ("2026-11-24T03:00:00.123456789+02:00", "0001-01-01T00:00:00-18:00", "1969-12-31T23:59:59.5-03:30")


@pytest.mark.parametrize("indexed", [False, True])
def test_a_datetime_with_an_offset_and_no_zone_comes_back_with_its_offset(
    indexed: bool, store: GraphStore, graph: Graph, work: Work
) -> None:
    if indexed and not graph.is_memgraph:
        graph.run("CREATE INDEX FOR (n:Moment) ON (n.at)")
    for text in OFFSETS:
        text = text.replace("789", "000") if graph.is_memgraph else text
        graph.run("CREATE (a:Moment {at: datetime($t)})-[:THEN {at: datetime($t), no: 1}]->(:Moment {no: 2})", t=text)
    query = "MATCH (a)-[r]->(b) RETURN a.at, r.at, r.no, b.no ORDER BY a.at"
    before = repr(graph.run(query))
    source = exported(store, work).source()
    graph.empty()
    store.preflight(source, work)
    assert_restores(store, source, work)
    assert repr(graph.run(query)) == before and "FixedOffset(120)" in before


def test_parallel_relationships_self_loops_and_label_sets_come_back(
    store: GraphStore, graph: Graph, work: Work
) -> None:
    graph.run(
        "CREATE (a:A:B {k: 1}), (b:`we``ird la\\bel` {`pr``op`: 2}), (c {k: 3}), (d) "
        "CREATE (a)-[:T {w: 1}]->(b), (a)-[:T {w: 1}]->(b), (b)-[:T]->(a), (a)-[:`LI``KES it`]->(a), (d)-[:T]->(c)"
    )
    sink = exported(store, work)
    assert sink.artifacts[0].counts == {"nodes": 4, "relationships": 5}
    assert sink.artifacts[0].details["types"] == {"T": 4, "LI`KES it": 1}
    graph.run("MATCH (n) DETACH DELETE n")
    assert_restores(store, sink.source(), work)
    assert graph.run("MATCH (a:A:B)-[r:T]->() RETURN count(r)") == [[2]]
    assert graph.run("MATCH (a)-[r:`LI``KES it`]->(a) RETURN count(r)") == [[1]]


def test_what_was_not_in_the_backup_is_gone(store: GraphStore, graph: Graph, work: Work) -> None:
    graph.fill(10, 10)
    source = exported(store, work).source()
    graph.run("CREATE (:Later)-[:THAN]->(:Backup)")
    graph.run("MATCH (n:File {v: 3}) SET n.v = -3")
    assert_restores(store, source, work)
    assert graph.run("MATCH (n:Later) RETURN count(n)") == [[0]]


def test_an_empty_graph_is_a_backup_too(store: GraphStore, graph: Graph, work: Work) -> None:
    sink = exported(store, work)
    assert sink.artifacts[0].counts == {"nodes": 0, "relationships": 0}
    graph.fill(5, 5)
    assert_restores(store, sink.source(), work)


def test_indexes_and_constraints_come_back_and_others_go(store: GraphStore, graph: Graph, work: Work) -> None:
    if graph.is_memgraph:
        pytest.skip("only as a Neo4j-style server: the statements are Memgraph's own there")
    graph.fill(10, 10)
    graph.run("CREATE INDEX FOR (n:File) ON (n.name)")
    graph.run("CREATE CONSTRAINT FOR (n:File) REQUIRE n.v IS UNIQUE")
    graph.run("CREATE INDEX FOR ()-[r:IMPORTS]-() ON (r.w)")
    source = exported(store, work).source()
    graph.empty()
    graph.run("CREATE INDEX FOR (n:Other) ON (n.x)")
    assert_restores(store, source, work)
    assert set(store.describe().details["schema"]) == {
        "label+property index on :File(name)",
        "unique constraint on :File(v)",
        "edge-type+property index on :IMPORTS(w)",
    }


def test_nothing_of_ours_is_left_in_the_graph(store: GraphStore, graph: Graph, work: Work) -> None:
    graph.fill(50, 50)
    before = store.describe()
    assert_restores(store, exported(store, work).source(), work)
    after = store.describe()
    assert (after.counts, after.details) == (before.counts, before.details)
    assert graph.run("MATCH (n) UNWIND keys(n) AS k RETURN DISTINCT k ORDER BY k") == [["f"], ["name"], ["v"]]
    assert graph.run("MATCH (n) UNWIND labels(n) AS l RETURN DISTINCT l") == [["File"]]


def test_a_value_the_server_cannot_keep_is_named_before_anything_is_touched(
    store: GraphStore, graph: Graph, work: Work
) -> None:
    graph.fill(5, 0)
    source = exported(store, work).source()
    value = b'{"bytes":"AA=="}' if graph.is_memgraph else b'{"map":{"a":{"int":"1"}}}'
    data = source.data[NAME].replace(b'"v":{"int":"3"}', b'"v":' + value)
    source.replace(NAME, data, fingerprint=None)
    with pytest.raises(StoreError, match="in property 'v' of node"):
        store.restore(source, work)
    assert graph.run("MATCH (n) RETURN count(n)") == [[5]]


@contextmanager
def writing(graph: Graph) -> Iterator[threading.Event]:
    """Somebody who adds, links and deletes nodes all the time; the event is set once he has begun."""
    begun, stop, errors = threading.Event(), threading.Event(), []

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            try:
                graph.run("CREATE (a:Live {i: $i})-[:NEXT]->(:Live {i: -$i})", i=number)
                if number % 3 == 0:
                    graph.run("MATCH (n:Live {i: $i}) DETACH DELETE n", i=number - 2)
            except neo4j.exceptions.Neo4jError as error:
                errors.append(error)
            begun.set()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield begun
    finally:
        stop.set()
        thread.join()


def test_a_backup_taken_while_somebody_writes_is_whole_and_restores(
    store: GraphStore, graph: Graph, work: Work
) -> None:
    graph.fill(2000, 2000)
    with writing(graph) as begun:
        assert begun.wait(30)
        source = exported(store, work).source()
    (verdict,) = store.verify(source, work)
    assert verdict.state == "verified", verdict.detail
    assert source.one(NAME).fingerprint.parts["nodes/File"].count == 2000  # type: ignore[union-attr]
    assert_restores(store, source, work)


def graph_pid(sandbox: Sandbox) -> int:
    (status,) = [one for one in sandbox.runtime.status() if one.service == "memgraph"]
    return int(status.instance)


def at_step(step: str, action: Any) -> Any:
    """A reporter that does something once, when the step is first reported."""
    done: list[str] = []

    def report(news: Progress) -> None:
        if news.step == step and not done:
            done.append(step)
            action()

    return report


@pytest.mark.long
@pytest.mark.parametrize("step", ["load nodes", "load relationships"])
def test_a_server_killed_during_a_restore_is_an_error_and_the_next_restore_is_whole(
    step: str, sandbox: Sandbox, store: GraphStore, graph: Graph, work: Work
) -> None:
    graph.fill(600, 600)
    source = exported(store, work).source()
    small_steps = stepping(sandbox.settings)
    killing = Work(scratch=work.scratch, report=at_step(step, lambda: lifecycle.kill(sandbox.home, "memgraph")))
    try:
        with pytest.raises(StoreUnavailable, match=r"of 600") as caught:
            small_steps.restore(source, killing)
    finally:
        lifecycle.start(sandbox.home, "memgraph")
    assert "bolt://" in str(caught.value)
    assert_restores(store, source, work)


def test_a_server_killed_during_a_backup_leaves_no_artifact(
    sandbox: Sandbox, store: GraphStore, graph: Graph, work: Work
) -> None:
    graph.fill(6_000, 0)
    killing = Work(scratch=work.scratch, report=at_step("read nodes", lambda: lifecycle.kill(sandbox.home, "memgraph")))
    sink = MemorySink()
    try:
        with pytest.raises(StoreUnavailable, match="gone while trying to read"):
            store.export(sink, killing)
    finally:
        lifecycle.start(sandbox.home, "memgraph")
    assert sink.artifacts == []


@contextmanager
def hanging(sandbox: Sandbox) -> Iterator[None]:
    pid = graph_pid(sandbox)
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextmanager
def hung(sandbox: Sandbox, then: Callable[[], object] = lambda: None) -> Iterator[Callable[[], None]]:
    """Something that freezes the server and does one thing more; the server goes on after the block."""
    pid = graph_pid(sandbox)

    def hang() -> None:
        os.kill(pid, signal.SIGSTOP)
        then()

    try:
        yield hang
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.mark.long
@pytest.mark.parametrize("verb", ["describe", "fingerprint", "export"])
def test_a_frozen_server_is_given_up_at_the_greeting_with_what_was_tried(
    verb: str, sandbox: Sandbox, store: GraphStore, graph: Graph, tmp_path: Path
) -> None:
    work = Work(scratch=tmp_path, silence=1.0)
    verbs: dict[str, Callable[[], object]] = {
        "describe": store.describe,
        "fingerprint": lambda: store.fingerprint(work),
        "export": lambda: store.export(MemorySink(), work),
    }
    with hanging(sandbox):
        started = time.monotonic()
        with pytest.raises(StoreUnavailable, match=r"gone while trying to connect") as caught:
            verbs[verb]()
        assert time.monotonic() - started < 15
    assert "for a greeting" in str(caught.value) and "if it is frozen" in str(caught.value)


@pytest.mark.long
def test_a_server_that_freezes_in_the_middle_is_given_up_long_before_the_deadline(
    sandbox: Sandbox, store: GraphStore, graph: Graph, tmp_path: Path
) -> None:
    graph.fill(20_000, 0)
    sink = MemorySink()
    with hung(sandbox) as hang, pytest.raises(StoreUnavailable, match="fell silent while trying to read") as caught:
        store.export(sink, Work(scratch=tmp_path, silence=1.0, report=at_step("read nodes", hang)))
    said = str(caught.value)
    assert "a second connection got no answer either (bolt://" in said
    assert re.search(r"nothing came for \d+ s", said) and "of 20,000 nodes" in said and "ARCHON_STORE_SILENCE" in said
    assert sink.artifacts == []


@pytest.mark.long
def test_a_server_that_freezes_while_it_is_filled_is_given_up(
    sandbox: Sandbox, store: GraphStore, graph: Graph, tmp_path: Path
) -> None:
    graph.fill(600, 0)
    source = exported(store, Work(scratch=tmp_path)).source()
    with hung(sandbox) as hang, pytest.raises(StoreUnavailable, match="fell silent while trying to create nodes"):
        work = Work(scratch=tmp_path, silence=1.0, report=at_step("load nodes", hang))
        stepping(sandbox.settings).restore(source, work)
    assert_restores(store, source, Work(scratch=tmp_path))


@pytest.mark.long
def test_a_server_that_is_slow_but_answers_on_another_connection_is_waited_for(
    sandbox: Sandbox, store: GraphStore, graph: Graph, tmp_path: Path
) -> None:
    graph.fill(20_000, 0)
    pid, sink = graph_pid(sandbox), MemorySink()

    def come_back() -> None:
        threading.Timer(2.8, os.kill, (pid, signal.SIGCONT)).start()  # after the question, before its limit

    with hung(sandbox, come_back) as hang:
        store.export(sink, Work(scratch=tmp_path, silence=2.0, report=at_step("read nodes", hang)))
    assert sink.artifacts[0].counts["nodes"] == 20_000


@pytest.mark.long
def test_a_slow_receiver_is_not_the_servers_silence(store: GraphStore, graph: Graph, tmp_path: Path) -> None:
    graph.fill(50, 0)
    done = threading.Event()
    slow = at_step("read nodes", lambda: done.wait(3.0))  # the time itself is the fault here: six times the deadline
    store.export(MemorySink(), Work(scratch=tmp_path, silence=0.5, deadline=0.5, report=slow))


@pytest.mark.long
@pytest.mark.parametrize("moment", ["before", "in the middle"])
def test_a_cancelled_run_does_not_wait_for_a_frozen_server(
    moment: str, sandbox: Sandbox, store: GraphStore, graph: Graph, tmp_path: Path
) -> None:
    graph.fill(20_000, 0)
    cancel = Cancel()

    def later() -> None:
        threading.Timer(0.5, cancel.set).start()

    with hung(sandbox, later) as hang, pytest.raises(Cancelled):
        if moment == "before":
            hang()
        store.export(MemorySink(), Work(scratch=tmp_path, cancel=cancel, report=at_step("read nodes", hang)))
    assert cancel.passed < PROMPT
    eventually(lambda: graph.run("RETURN 1") == [[1]])


def test_a_server_that_is_down_is_said_to_be_down(sandbox: Sandbox, tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:1\b"):
        GraphStore("bolt://127.0.0.1:1").describe()


def test_a_wrong_password_is_told_without_telling_it(sandbox: Sandbox, graph: Graph, work: Work) -> None:
    if not sandbox.settings.memgraph_user:
        pytest.skip("does not hold on a real server without users")
    wrong = GraphStore(sandbox.settings.memgraph_uri, sandbox.settings.memgraph_user, "hunter2", graph.database)
    with pytest.raises(StoreError, match="MEMGRAPH_PASSWORD") as caught:
        wrong.fingerprint(work)
    assert "hunter2" not in str(caught.value)


def test_the_agent_string_alone_does_not_make_a_memgraph(store: GraphStore, graph: Graph) -> None:
    version = store.describe().version
    assert version.startswith("memgraph " if graph.is_memgraph else "arcadedb ")
