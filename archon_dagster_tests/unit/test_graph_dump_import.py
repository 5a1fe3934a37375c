"""A dump becomes the graph it was made of, but for what a dump loses; and what it cannot say is said."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from archon_dagster.errors import Cancelled
from archon_dagster.stores.base import Progress, Work
from archon_dagster.stores.graph.connection import Bolt
from archon_dagster.stores.graph.driver import Endpoint
from archon_dagster.stores.graph.dump.importing import DumpReport, import_dump
from archon_dagster.stores.graph.dump.model import Statement, UnreadableDump
from archon_dagster.stores.graph.dump.reading import Problems, nodes, outline
from archon_dagster.stores.graph.dump.statements import parse
from archon_dagster.stores.graph.export import ARTIFACT
from archon_dagster.stores.graph.memgraph import Memgraph
from archon_dagster.stores.graph.records import Node, Relationship, read_records
from archon_dagster.stores.graph.schema import SchemaObject
from archon_dagster.stores.graph.survey import survey
from archon_dagster.stores.graph.values import decode, encode
from archon_dagster_tests.artifacts import MemorySink
from archon_dagster_tests.recorded import larger
from archon_dagster_tests.unit.dump_printer import after_a_dump, csv_of, table_of
from archon_dagster_tests.unit.memgraph_double import DATA, WITH_DATA, MemgraphDouble, recorded
from archon_dagster_tests.unit.test_graph_values import from_record

UPSTREAM = sorted((DATA.parent / "upstream-dumps").glob("*.cypher"))
EVERY_TYPE = DATA / "every-type.dump.cypher"
NODE = 'CREATE (:__mg_vertex__:`L` {{__mg_id__: {0}, `name`: "n{0}"}});\n'
RELATIONSHIP = (
    "MATCH (u:__mg_vertex__), (v:__mg_vertex__) WHERE u.__mg_id__ = {} AND v.__mg_id__ = {} CREATE (u)-[:`T`]->(v);\n"
)
END = "MATCH (u) REMOVE u:__mg_vertex__, u.__mg_id__;\n"


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(scratch=tmp_path)


class Imported:
    """What an import has made."""

    def __init__(self, path: Path, work: Work, **options: Any):
        self.sink = MemorySink()
        self.report: DumpReport = import_dump(path, self.sink, work, **options)
        source = self.sink.source()
        self.artifact = source.one(ARTIFACT)
        with source.open(self.artifact) as stream:
            self.records = list(read_records(stream))
        with source.open(self.artifact) as stream:
            self.survey = survey(stream, self.artifact, work)

    @property
    def nodes(self) -> list[Node]:
        return [record for record in self.records if isinstance(record, Node)]

    @property
    def relationships(self) -> list[Relationship]:
        return [record for record in self.records if isinstance(record, Relationship)]

    @property
    def schema(self) -> list[SchemaObject]:
        return [record for record in self.records if isinstance(record, SchemaObject)]

    def said(self, what: str) -> bool:
        return any(what in said for _, said in self.sink.left_out)


def dump(folder: Path, text: str) -> Path:
    path = folder / "dump.cypher"
    path.write_text(text, newline="\n")
    return path


# recorded dumps ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", UPSTREAM, ids=lambda path: path.stem)
def test_every_dump_of_memgraphs_own_tests_is_understood(path: Path, work: Work) -> None:
    found = Imported(path, work)
    text = path.read_text()
    assert found.report.left_out == 0
    assert len(found.nodes) == text.count("CREATE (:__mg_vertex__")
    assert len(found.relationships) == text.count("]->(v);")
    scaffold = 3 if found.nodes else 0
    assert len(found.schema) == len(text.splitlines()) - len(found.nodes) - len(found.relationships) - scaffold


def test_the_nodes_of_every_type_are_those_the_server_held(work: Work) -> None:
    rows = next(a for a in recorded("show-with-data.json") if a["q"] == "MATCH (n) RETURN n ORDER BY id(n)")["rows"]
    real = {node["__node"][0]: (sorted(node["labels"]), properties_of(node["props"])) for (node,) in rows}
    found = {node.id: (sorted(node.labels), node.properties) for node in Imported(EVERY_TYPE, work).nodes}
    assert found.keys() <= real.keys()
    for node, (labels, properties) in found.items():
        assert labels == real[node][0]
        assert properties == {name: encode(after_a_dump(decode(value))) for name, value in real[node][1].items()}


def test_every_statement_the_server_itself_could_not_replay_is_understood() -> None:
    replay = json.loads((DATA / "replay-of-the-dump.json").read_text())
    refused = [row["q"] for row in replay["rows"] if not row["ok"]]
    assert len(refused) == 19
    enums = frozenset({"Status::Good", "Status::Bad one"})
    assert all(parse(Statement(1, text), enums) for text in refused)


def properties_of(recorded_properties: dict[str, Any]) -> dict[str, Any]:
    return {name: from_record(value) for name, value in recorded_properties.items()}


def test_the_schema_of_every_type_is_the_one_the_server_showed(work: Work) -> None:
    with Bolt(Endpoint("bolt://x"), work, MemgraphDouble(shows=dict(WITH_DATA)).open) as bolt:
        shown = Memgraph("3.2.1").schema(bolt)
    found = Imported(EVERY_TYPE, work).schema
    assert sorted(json.dumps(one_line(item), sort_keys=True) for item in found) == sorted(
        json.dumps(one_line(item), sort_keys=True) for item in shown
    )


def one_line(item: SchemaObject) -> Any:
    """What is compared of a schema object; a dump has the lines of a trigger in one."""
    if item.kind == "trigger":
        return {**item.as_json(), "options": {k: " ".join(v.split()) for k, v in item.options.items()}}
    return item.as_json() if item.kind == "enum" else item.identity


def test_the_vector_index_asks_for_the_capacity_the_dump_asks_for(work: Work) -> None:
    made = [statement for item in Imported(EVERY_TYPE, work).schema for statement in Memgraph("3.2.1").create(item)]
    assert any('"dimension": 2' in statement and '"capacity": 10' in statement for statement in made)
    assert any('"dimension": 3' in statement and '"capacity": 100' in statement for statement in made)


def test_an_archon_graph_is_what_was_in_the_server_but_for_the_named_losses(work: Work) -> None:
    recorded = larger() / "memgraph/v3.2.1"
    found = Imported(recorded / "archon.dump.cypher", work)
    nodes, relationships = expected(recorded / "archon.expected.jsonl")
    assert {node.id: (sorted(node.labels), node.properties) for node in found.nodes} == nodes
    triples = [(item.type, item.start, item.end, json.dumps(item.properties, sort_keys=True)) for item in
               found.relationships]  # fmt: skip
    assert sorted(triples) == sorted(relationships)
    assert {suspect.partition(":")[0] for suspect in found.report.suspects} == {
        "File.quality_score", "Entity.confidence_score", "RELATES.confidence_score",
    }  # fmt: skip


def expected(path: Path) -> tuple[dict[int, Any], list[tuple[str, int, int, str]]]:
    """What was there, as a dump can say it."""
    nodes: dict[int, Any] = {}
    relationships: list[tuple[str, int, int, str]] = []
    for line in path.read_text().splitlines():
        record = json.loads(line)
        properties = {name: as_dumped(value) for name, value in record["properties"].items()}
        if "node" in record:
            nodes[record["node"]] = (sorted(record["labels"]), properties)
        else:
            text = json.dumps(properties, sort_keys=True)
            relationships.append((record["relationship"], record["from"], record["to"], text))
    return nodes, relationships


def as_dumped(value: Any) -> Any:
    if isinstance(value, list):
        return [as_dumped(item) for item in value]
    if isinstance(value, dict) and "DateTime" in value:
        return {"LocalDateTime": value["DateTime"]}
    return encode(after_a_dump(decode(value)))


@pytest.mark.parametrize("make", [table_of, csv_of])
def test_what_mgconsole_makes_of_a_dump_imports_as_the_same_graph(
    tmp_path: Path, work: Work, make: Callable[[list[str]], str]
) -> None:
    from archon_dagster.stores.graph.dump.unwrapping import statements

    wrapped = dump(tmp_path, make([statement.text for statement in statements(EVERY_TYPE)]))
    assert Imported(wrapped, work).artifact.sha256 == Imported(EVERY_TYPE, work).artifact.sha256


# what is wrong with a dump -------------------------------------------------------------------------------------------


def test_a_relationship_whose_end_is_missing_is_an_error_with_its_line(tmp_path: Path, work: Work) -> None:
    path = dump(tmp_path, NODE.format(0) + RELATIONSHIP.format(0, 0) + RELATIONSHIP.format(0, 7) + END)
    with pytest.raises(UnreadableDump, match="line 3 cannot be applied: node 0 or node 7 is not there"):
        Imported(path, work)


def test_with_skip_what_hangs_on_a_node_that_is_left_out_is_left_out_and_named(tmp_path: Path, work: Work) -> None:
    bad = 'CREATE (:__mg_vertex__:`L` {__mg_id__: 1, `p`: NOW("x")});\n'
    path = dump(tmp_path, NODE.format(0) + bad + RELATIONSHIP.format(0, 1) + RELATIONSHIP.format(0, 0) + END)
    with pytest.raises(UnreadableDump, match="line 2 cannot be applied: unknown function NOW"):
        Imported(path, work)
    found = Imported(path, work, skip=True)
    assert [problem.line for problem in found.report.problems] == [2, 3]
    assert (found.report.nodes, found.report.relationships, found.report.left_out) == (1, 1, 2)
    assert found.said("line 2: unknown function NOW") and found.said("line 3: node 0 or node 1 is not there")


def test_what_a_server_would_not_keep_is_left_out_with_its_line(tmp_path: Path, work: Work) -> None:
    def refuses(record: Node | Relationship) -> str | None:
        return "the server says no" if b"n1" in record.line else None

    path = dump(tmp_path, NODE.format(0) + NODE.format(1) + RELATIONSHIP.format(1, 0) + END)
    found = Imported(path, work, skip=True, refuses=refuses)
    assert str(found.report.problems[0]).startswith("line 2: the server says no: CREATE (")
    assert [problem.line for problem in found.report.problems] == [2, 3]


def test_two_nodes_of_one_number_are_an_error(tmp_path: Path, work: Work) -> None:
    with pytest.raises(UnreadableDump, match="two nodes have the __mg_id__ 5"):
        Imported(dump(tmp_path, NODE.format(5) + NODE.format(5) + RELATIONSHIP.format(5, 5) + END), work)


@pytest.mark.parametrize(("statement", "reason"), [
    ('ENABLE TTL EVERY "1d" AT "02:00:00";', "cannot make it again"),
    ("CREATE KAFKA STREAM s TOPICS t TRANSFORM m.t;", "cannot make it again"),
    ("CREATE USER alice;", "not a statement of a dump"),
    ("CREATE TRIGGER t BEFORE COMMIT EXECUTE // why   RETURN 1;", "the comment in it hides"),
    ("CREATE VECTOR INDEX v ON :`L`(`e`) WITH CONFIG { \"dimension\": 3 };", "lacks metric"),
])  # fmt: skip
def test_schema_that_cannot_be_made_again_is_named_with_its_line(
    tmp_path: Path, work: Work, statement: str, reason: str
) -> None:
    found = Imported(dump(tmp_path, f"{NODE.format(0)}{statement}\n{END}"), work)
    assert [problem.line for problem in found.report.problems] == [2]
    assert reason in found.report.problems[0].reason
    assert found.said(f"not applied: line 2: {found.report.problems[0].reason}")


@pytest.mark.parametrize("statement", ["MERGE (n:L {id: 1});", "MATCH (n) SET n.x = 1;", "CREATE (a)-[:T]->(b);"])
def test_a_script_that_writes_data_otherwise_is_not_half_imported(tmp_path: Path, work: Work, statement: str) -> None:
    with pytest.raises(UnreadableDump, match="line 2 cannot be applied"):
        Imported(dump(tmp_path, f"{NODE.format(0)}{statement}\n{END}"), work)


def test_a_users_own_label_and_property_of_the_dumps_names_survive(tmp_path: Path, work: Work) -> None:
    text = "CREATE (:__mg_vertex__:`__mg_vertex__` {__mg_id__: 3, `__mg_id__`: 9});\n"
    (node,) = Imported(dump(tmp_path, text + END), work).nodes
    assert (node.id, node.labels, node.properties) == (3, ["__mg_vertex__"], {"__mg_id__": {"int": "9"}})


def test_relationships_before_their_nodes_are_understood(tmp_path: Path, work: Work) -> None:
    found = Imported(dump(tmp_path, RELATIONSHIP.format(0, 1) + NODE.format(0) + NODE.format(1) + END), work)
    assert len(found.relationships) == 1


def test_bytes_that_are_no_text_are_named_with_their_line(tmp_path: Path, work: Work) -> None:
    path = tmp_path / "dump.cypher"
    path.write_bytes(NODE.format(0).encode() + b'CREATE (:`L` {`p`: "\xff"});\n' + END.encode())
    with pytest.raises(UnreadableDump, match="line 2 cannot be applied: it has bytes that are not UTF-8"):
        Imported(path, work)


def test_what_a_dump_loses_by_nature_is_always_said(work: Work) -> None:
    found = Imported(EVERY_TYPE, work)
    assert found.said("1.0 as 1") and found.said("users, roles") and found.said("resize coefficient 3")


WHOLE = [
    (DATA.parent / "upstream-dumps" / "v24_all_snapshot.cypher").read_bytes(),
    EVERY_TYPE.read_bytes()[-4000:].partition(b"\n")[2],
]


@pytest.mark.parametrize("data", WHOLE, ids=["upstream", "every type"])
def test_a_dump_cut_off_at_any_byte_is_refused_or_has_all_its_data(tmp_path: Path, work: Work, data: bytes) -> None:
    path = tmp_path / "cut.cypher"
    path.write_bytes(data)
    whole = import_dump(path, MemorySink(), work, skip=True)
    for length in range(len(data)):
        path.write_bytes(data[:length])
        try:
            found = import_dump(path, MemorySink(), work, skip=True)
        except UnreadableDump as error:
            assert any(word in error.what for word in ("line ", "no end", "empty", "no dump"))
        else:
            # nothing tells a dump that ends before its first node from one of a graph without nodes: it is said
            assert (found.nodes, found.relationships) == (whole.nodes, whole.relationships) or (
                not found.nodes and any("empties the graph" in what for what in found.lost)
            )


def test_a_dump_much_larger_than_the_memory_it_may_take_is_imported(tmp_path: Path, work: Work) -> None:
    path = tmp_path / "big.cypher"
    peaks = []
    for copies in (1, 3):
        with path.open("w") as out:
            for number in range(5_000 * copies):
                out.write(f'CREATE (:__mg_vertex__:`L` {{__mg_id__: {number}, `t`: "{"x" * 500}"}});\n')
            out.write(END)
        tracemalloc.start()
        import_dump(path, Forgetting(), work)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 2 * 2**20


class Forgetting(MemorySink):
    """Keeps nothing of what it is given."""

    def artifact(self, *args: Any, **options: Any) -> Any:
        opened = super().artifact(*args, **options)
        return _Forgetful(opened)


class _Forgetful:
    def __init__(self, opened: Any):
        self._opened = opened

    def __enter__(self) -> Any:
        writer = self._opened.__enter__()
        writer.write = lambda data: len(data)
        return writer

    def __exit__(self, *exc: Any) -> Any:
        return self._opened.__exit__(*exc)


def test_a_cancelled_import_stops(work: Work) -> None:
    work.cancel.set()
    with pytest.raises(Cancelled):
        import_dump(EVERY_TYPE, MemorySink(), work)


@pytest.mark.parametrize("step", ["read the dump", "read the nodes of the dump", "read the relationships of the dump"])
def test_an_import_that_is_cancelled_midway_stops_at_once_and_leaves_no_artifact(
    tmp_path: Path, work: Work, step: str
) -> None:
    count, sink, news = 11_000, MemorySink(), list[Progress]()
    data = [NODE.format(number) for number in range(count)]
    data += [RELATIONSHIP.format(number, count - 1 - number) for number in range(count)]

    def cancel(one: Progress) -> None:
        news.append(one)
        if one.step == step and one.done > 1:  # some of it has been read
            work.cancel.set()

    with pytest.raises(Cancelled):
        import_dump(dump(tmp_path, "".join([*data, END])), sink, replace(work, report=cancel))
    assert news[-1].step == step
    assert (sink.artifacts, sink.cuts, sink.left_out) == ([], {}, [])


def test_a_cancelled_import_does_not_read_another_statement(tmp_path: Path, work: Work) -> None:
    """However long each is: no number of them may pass between two looks."""
    path = dump(tmp_path, NODE.format(1) + NODE.format(2) + END)
    reading = nodes(path, outline(path, work), work, Problems())
    assert next(reading)[1].id == 1
    work.cancel.set()
    with pytest.raises(Cancelled):
        next(reading)


@given(st.binary(max_size=200))
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_at_all_are_refused_or_understood(tmp_path: Path, work: Work, data: bytes) -> None:
    path = tmp_path / "bytes"
    path.write_bytes(data)
    with suppress(UnreadableDump):
        import_dump(path, MemorySink(), work, skip=True)


@given(st.lists(st.tuples(st.integers(0, 10_700), st.integers(0, 255)), min_size=1, max_size=4))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_dump_with_flipped_bytes_is_refused_or_imports_what_can_be_read_back(
    tmp_path: Path, work: Work, flips: list[tuple[int, int]]
) -> None:
    data = bytearray(EVERY_TYPE.read_bytes())
    for place, byte in flips:
        data[place] = byte
    path = tmp_path / "flipped.cypher"
    path.write_bytes(data)
    with suppress(UnreadableDump):
        Imported(path, work, skip=True)
