"""The graph artifact: read to its end without a server, and not believed where it is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from archon_dagster.errors import Cancelled, ConfigurationError, DamagedBackup, StoreError
from archon_dagster.platform.settings import Settings
from archon_dagster.repository.manifest import Fingerprint
from archon_dagster.stores.base import Verdict, Work
from archon_dagster.stores.graph.store import GraphStore, open_graph
from archon_dagster_tests.artifacts import MemorySink, MemorySource
from archon_dagster_tests.unit.memgraph_double import MemgraphDouble

NAME = "memgraph/graph"


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(scratch=tmp_path)


def small() -> MemgraphDouble:
    return MemgraphDouble(
        nodes=[(0, ["A", "B"], {"x": 1, "text": "line\nbreak\u2028"}), (7, [], {}), (8, ["A"], {"f": 1.0})],
        relationships=[("R", 0, 7, {"w": 0.5}), ("R", 0, 7, {"w": 0.5}), ("S", 8, 8, {})],
    )


def store(server: MemgraphDouble) -> GraphStore:
    return GraphStore("bolt://127.0.0.1:7687", driver=server.open)


@pytest.fixture
def backup(work: Work) -> MemorySource:
    sink = MemorySink()
    store(small()).export(sink, work)
    assert sink.cuts == {NAME: "lines"}
    return sink.source()


def verdict(backup: MemorySource, work: Work) -> Verdict:
    (found,) = store(MemgraphDouble()).verify(backup, work)
    return found


def lines(backup: MemorySource) -> list[bytes]:
    return backup.data[NAME].splitlines(keepends=True)


def test_a_whole_artifact_is_verified(backup: MemorySource, work: Work) -> None:
    found = verdict(backup, work)
    assert (found.state, found.counts) == ("verified", {"nodes": 3, "relationships": 3})
    artifact = backup.one(NAME)
    assert (artifact.kind, artifact.media_type) == ("graph-export", "application/x-ndjson")
    assert artifact.details["labels"] == {"A:B": 1, "": 1, "A": 1}
    assert artifact.details["types"] == {"R": 2, "S": 1}


def test_every_line_is_one_json_record(backup: MemorySource) -> None:
    records = [json.loads(line) for line in lines(backup)]
    assert records[0]["format"] == "archon-graph"
    assert records[-1] == {"end": {"nodes": 3, "relationships": 3}}


def test_equal_content_is_equal_bytes(backup: MemorySource, work: Work) -> None:
    again = MemorySink()
    server = small()
    server.nodes[0] = (0, ["A", "B"], dict(reversed(server.nodes[0][2].items())))
    store(server).export(again, work)
    assert again.data[NAME] == backup.data[NAME]


Damage = Callable[[list[bytes]], list[bytes]]


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda rows: [], "ends after line 0"),
        (lambda rows: rows[:-1], "without its last record"),
        (lambda rows: [*rows[:-2], rows[-2][:9]], "not a record"),
        (lambda rows: rows[1:], "out of order"),
        (lambda rows: [rows[0], rows[4], *rows[1:4], *rows[5:]], "out of order"),
        (lambda rows: [*rows, rows[-1]], "out of order"),
        (lambda rows: [*rows[:2], *rows[1:]], "node 0 occurs twice"),
        (lambda rows: [*rows[:2], *rows[3:]], "not among the nodes"),
        (lambda rows: [*rows[:-2], rows[-1]], "its last record says"),
        (lambda rows: [row.replace(b'"1"', b'"2"') for row in rows], "different content"),
        (lambda rows: [row.replace(b'{"int":"1"}', b"1") for row in rows], "node 0"),
        (lambda rows: [row.replace(b'"version":1', b'"version":9') for row in rows], "format version 9"),
        (lambda rows: [rows[0], b"[1]\n", *rows[1:]], "line 2"),
        (lambda rows: [rows[0], b"\xff\n", *rows[1:]], "line 2"),
    ],
)
def test_damage_that_digests_do_not_see_is_found_and_named(
    damage: Damage, says: str, backup: MemorySource, work: Work
) -> None:
    backup.replace(NAME, b"".join(damage(lines(backup))))
    found = verdict(backup, work)
    assert found.state == "damaged"
    assert says in found.detail


def test_a_changed_byte_is_damage_too(backup: MemorySource, work: Work) -> None:
    backup.data[NAME] = backup.data[NAME].replace(b"break", b"broke")
    assert verdict(backup, work).state == "damaged"


def test_an_artifact_of_another_kind_is_not_judged(backup: MemorySource, work: Work) -> None:
    backup.replace(NAME, kind="cypher-dump")
    assert verdict(backup, work).state == "not verifiable here"


def test_a_damaged_backup_is_refused_before_anything_is_touched(backup: MemorySource, work: Work) -> None:
    backup.replace(NAME, b"".join(lines(backup)[:-1]))
    server = small()
    with pytest.raises(DamagedBackup, match="nothing was touched"):
        store(server).restore(backup, work)
    assert [s.text for s in server.log] == ["SHOW VERSION"]


def test_a_manifest_that_promises_something_else_is_refused(backup: MemorySource, work: Work) -> None:
    backup.replace(NAME, fingerprint=Fingerprint(parts={}))
    with pytest.raises(DamagedBackup, match="not what the manifest says"):
        store(small()).restore(backup, work)


def test_a_backup_without_a_graph_says_so(work: Work) -> None:
    with pytest.raises(StoreError, match="no graph-export"):
        store(small()).restore(MemorySource([], {}), work)


def test_a_restore_makes_the_same_content_again(backup: MemorySource, work: Work) -> None:
    target = MemgraphDouble(nodes=[(5, ["Old"], {})])
    graph = store(target)
    graph.restore(backup, work)
    assert (graph.report.nodes, graph.report.relationships, graph.report.warnings) == (3, 3, [])


def test_a_cancelled_export_leaves_no_artifact(tmp_path: Path) -> None:
    work, sink = Work(scratch=tmp_path), MemorySink()
    work.cancel.set()
    with pytest.raises(Cancelled):
        store(small()).export(sink, work)
    assert sink.artifacts == []


def test_the_password_never_shows() -> None:
    settings = Settings.model_validate(
        {"MEMGRAPH_URI": "bolt://neo:hunter2@graph:7687", "MEMGRAPH_USER": "neo", "MEMGRAPH_PASSWORD": "hunter2"}
    )
    graph = open_graph(settings)
    assert "hunter2" not in f"{graph!r} {graph._endpoint!r}"
    assert repr(graph) == "GraphStore('bolt://graph:7687', database=None)"


@pytest.mark.parametrize("uri", ["http://127.0.0.1:7687", "127.0.0.1:7687", ""])
def test_an_address_that_is_none_is_a_configuration_error(uri: str) -> None:
    with pytest.raises(ConfigurationError, match="bolt://"):
        GraphStore(uri).describe()
