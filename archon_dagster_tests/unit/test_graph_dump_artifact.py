"""``DUMP DATABASE`` beside the export: for mgconsole users, of the same instant, and never at the backup's expense."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from neo4j.exceptions import ServiceUnavailable

from archon_dagster.stores.base import Work
from archon_dagster.stores.graph.dump.artifact import ARTIFACT, KIND
from archon_dagster.stores.graph.dump.importing import import_dump
from archon_dagster.stores.graph.dump.unwrapping import statements
from archon_dagster.stores.graph.store import GraphStore
from archon_dagster_tests.artifacts import MemorySink, MemorySource
from archon_dagster_tests.unit.memgraph_double import DATA, MemgraphDouble, server_error

EVERY_TYPE = DATA / "every-type.dump.cypher"
EXPORT = "memgraph/graph"


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(scratch=tmp_path)


def server() -> MemgraphDouble:
    return MemgraphDouble(
        nodes=[(0, ["L"], {"p": 1.0})], relationships=[("T", 0, 0, {})], dump=[s.text for s in statements(EVERY_TYPE)]
    )


def exported(double: MemgraphDouble, work: Work) -> MemorySink:
    sink = MemorySink()
    GraphStore("bolt://127.0.0.1:7687", driver=double.open).export(sink, work)
    return sink


def verdicts(source: MemorySource, work: Work) -> dict[str, str]:
    store = GraphStore("bolt://127.0.0.1:7687", driver=MemgraphDouble().open)
    return {verdict.artifact: verdict.state for verdict in store.verify(source, work)}


def test_the_dump_stands_beside_the_export_one_statement_a_line(work: Work) -> None:
    sink = exported(server(), work)
    assert sink.data[ARTIFACT].decode().rstrip("\n") == EVERY_TYPE.read_text().rstrip("\n")
    assert sink.cuts[ARTIFACT] == "lines"
    artifact = sink.source().one(ARTIFACT)
    assert (artifact.kind, artifact.counts, artifact.fingerprint) == (KIND, {}, None)
    assert artifact.details["by_kind"] == {"nodes": 91, "relationships": 6, "schema": 22}


def test_the_dump_is_asked_for_in_the_transaction_of_the_export(work: Work) -> None:
    double = server()
    exported(double, work)
    asked = next(statement for statement in double.log if statement.text == "DUMP DATABASE")
    assert (asked.kind, asked.mode, asked.timeout) == ("transaction", "READ", 0)


def test_what_was_written_can_be_imported_again(tmp_path: Path, work: Work) -> None:
    path = tmp_path / "dump.cypher"
    path.write_bytes(exported(server(), work).data[ARTIFACT])
    assert import_dump(path, MemorySink(), work).nodes == 91


@pytest.mark.parametrize(("error", "reason"), [
    (server_error("Memgraph.TransientError.MemgraphError.MemgraphError", "out of memory"), "out of memory"),
    (ServiceUnavailable("connection reset"), "connection reset"),
])  # fmt: skip
def test_a_dump_that_fails_is_named_and_costs_nothing_else(work: Work, error: Exception, reason: str) -> None:
    double = server()
    double.failures["DUMP DATABASE"] = [error]
    sink = exported(double, work)
    assert [artifact.name for artifact in sink.artifacts] == [EXPORT]
    (why,) = [what for _, what in sink.left_out if "no DUMP DATABASE beside the export" in what]
    assert reason in why
    assert verdicts(sink.source(), work) == {EXPORT: "verified"}


def test_without_snapshots_the_writers_do_not_wait_for_the_dump_and_that_is_said(work: Work) -> None:
    double = server()
    double.shows["SHOW STORAGE INFO"] = [{"storage info": "storage_mode", "value": "IN_MEMORY_ANALYTICAL"}]
    asked: list[bool] = []
    watching = replace(work, captured=lambda: asked.append(any(s.text == "DUMP DATABASE" for s in double.log)))
    sink = exported(double, watching)
    assert asked == [False]
    assert any("a little later than the export" in what for _, what in sink.left_out)


def test_an_export_that_fails_still_fails(work: Work) -> None:
    double = server()
    double.failures["MATCH (a)-[r]->(b)"] = [server_error("Memgraph.ClientError.MemgraphError.MemgraphError", "no")]
    with pytest.raises(Exception, match="refused to read the relationships"):
        exported(double, work)


def test_an_empty_graph_has_no_dump_and_lacks_nothing(work: Work) -> None:
    sink = exported(MemgraphDouble(), work)
    assert [artifact.name for artifact in sink.artifacts] == [EXPORT]
    assert not any("DUMP" in what for _, what in sink.left_out)


def test_a_whole_dump_is_verified_and_a_shortened_one_is_damaged(work: Work) -> None:
    source = exported(server(), work).source()
    assert verdicts(source, work)[ARTIFACT] == "verified"
    whole = source.data[ARTIFACT]
    for data in (whole[:-20], whole[: whole.rindex(b"CREATE TRIGGER")], whole.replace(b"KNOWS", b"\xffNOWS")):
        source.replace(ARTIFACT, data)
        assert verdicts(source, work)[ARTIFACT] == "damaged"


def test_a_restore_uses_the_export_and_not_the_dump(work: Work) -> None:
    source = exported(server(), work).source()
    target = MemgraphDouble()
    GraphStore("bolt://127.0.0.1:7687", driver=target.open).restore(source, work)
    assert [properties for _, _, properties in target.nodes] == [{"p": 1.0}]
