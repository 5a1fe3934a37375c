"""The Memgraph dialect, on what a real 3.2.1 answered."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import pytz  # type: ignore[import-untyped]
from neo4j.time import DateTime

from archon_dagster.errors import StoreError
from archon_dagster.stores.base import Work
from archon_dagster.stores.graph.memgraph import CONFLICTS, Memgraph, size_in_bytes
from archon_dagster.stores.graph.schema import SchemaObject
from archon_dagster.stores.graph.store import GraphStore
from archon_dagster.stores.graph.values import decode, encode
from archon_dagster_tests.artifacts import MemorySink
from archon_dagster_tests.unit.memgraph_double import (
    DATA,
    WITH_DATA,
    MemgraphDouble,
    Statement,
    recorded,
    server_error,
)
from archon_dagster_tests.unit.test_graph_values import exact, from_record

TRANSIENT = "Memgraph.TransientError.MemgraphError.MemgraphError"


def every_type() -> MemgraphDouble:
    """The every-type graph of the recordings: its nodes, its schema, and some relationships between its nodes."""
    answers = recorded("show-with-data.json")
    rows = next(a for a in answers if a["q"] == "MATCH (n) RETURN n ORDER BY id(n)")["rows"]
    nodes = [
        (node["__node"][0], node["labels"], {k: decode(from_record(v)) for k, v in node["props"].items()})
        for (node,) in rows
    ]
    relationships: list[tuple[str, int, int, dict[str, Any]]] = [
        ("KNOWS", 87, 88, {"w": 1.0}),
        ("KNOWS", 87, 88, {"w": 1.0}),
        ("LI`KES it", 88, 87, {"a b": [1, {"c": 2}]}),
        ("SELF", 87, 87, {}),
    ]
    return MemgraphDouble(shows=dict(WITH_DATA), nodes=nodes, relationships=relationships)


def store(server: MemgraphDouble) -> GraphStore:
    return GraphStore("bolt://127.0.0.1:7687", driver=server.open)


def exported(server: MemgraphDouble, work: Work) -> MemorySink:
    sink = MemorySink()
    store(server).export(sink, work)
    return sink


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(scratch=tmp_path)


def schema_of(server: MemgraphDouble, work: Work) -> list[SchemaObject]:
    from archon_dagster.stores.graph.connection import Bolt
    from archon_dagster.stores.graph.driver import Endpoint

    with Bolt(Endpoint("bolt://x"), work, server.open) as bolt:
        return Memgraph("3.2.1").schema(bolt)


def normal(statement: str) -> str:
    """A statement of ours and one of the dump's, spelled alike."""
    statement = re.sub(r"\s+", " ", statement.rstrip(";").replace("(u:", "(n:").replace("u.`", "n.`"))
    return statement.replace("`", "") if statement.startswith(("CREATE ENUM", "CREATE TRIGGER")) else statement


def test_the_schema_read_from_a_server_makes_the_statements_of_its_own_dump(work: Work) -> None:
    dump = (DATA / "every-type.dump.cypher").read_text().splitlines()
    wanted = {
        normal(line)
        for line in dump
        if line.startswith("CREATE ") and not line.startswith(("CREATE (", "CREATE VECTOR")) and "__mg_id__" not in line
    }
    made = {normal(text) for item in schema_of(every_type(), work) for text in Memgraph("3.2.1").create(item)}
    assert {text for text in made if not text.startswith("CREATE VECTOR")} == wanted


def test_a_trigger_keeps_its_lines(work: Work) -> None:
    trigger = next(item for item in schema_of(every_type(), work) if item.name == "t2")
    assert Memgraph("3.2.1").create(trigger) == [
        "CREATE TRIGGER `t2` ON --> UPDATE BEFORE COMMIT EXECUTE UNWIND updatedEdges AS e\n  RETURN 1"
    ]


@pytest.mark.parametrize(("asked", "shown"), [(10, 64), (100, 256)])
def test_a_vector_index_is_asked_for_so_that_its_capacity_stays_what_it_was(asked: int, shown: int, work: Work) -> None:
    index = next(i for i in schema_of(every_type(), work) if i.options.get("capacity") == shown)
    (statement,) = Memgraph("3.2.1").create(index)
    capacity = int(re.search(r'"capacity": (\d+)', statement)[1])  # type: ignore[index]
    assert capacity >= asked
    rounded = max(64, 1 << (capacity * 3 // 2 - 1).bit_length())  # the index library's own rule
    assert rounded == shown


@pytest.mark.parametrize(
    ("row", "statement"),
    [
        (
            ("label_text (name: my ix)", "Doc", ["title", "body"]),
            "CREATE TEXT INDEX `my ix` ON :`Doc`(`title`, `body`)",
        ),
        (("edge-type_text (name: rel)", "R", ["t"]), "CREATE TEXT EDGE INDEX `rel` ON :`R`(`t`)"),
        (("text (name: old)", "Doc", None), "CREATE TEXT INDEX `old` ON :`Doc`"),
        (("edge-property", None, "w"), "CREATE GLOBAL EDGE INDEX ON :(`w`)"),
        (("label+property", "A", ["a.b", "c"]), "CREATE INDEX ON :`A`(`a`.`b`, `c`)"),
    ],
)
def test_index_rows_of_other_versions_are_understood(row: tuple[Any, ...], statement: str, work: Work) -> None:
    columns = dict(zip(("index type", "label", "property"), row, strict=True))
    server = MemgraphDouble(shows={**WITH_DATA, "SHOW INDEX INFO": [columns], "SHOW VECTOR INDEX INFO": []})
    (index,) = [item for item in schema_of(server, work) if item.kind == "index"]
    assert Memgraph("3.6.2").create(index) == [statement]


def test_an_edge_vector_index_keeps_its_scalar_kind(work: Work) -> None:
    row = {"index_name": "v", "label": "R", "property": "e", "capacity": 64, "dimension": 2, "metric": "cos",
           "size": 0, "scalar_kind": "i8", "index_type": "edge-type+property_vector"}  # fmt: skip
    server = MemgraphDouble(shows={**WITH_DATA, "SHOW INDEX INFO": [], "SHOW VECTOR INDEX INFO": [row]})
    (index,) = [item for item in schema_of(server, work) if item.kind == "index"]
    config = '{"dimension": 2, "metric": "cos", "capacity": 42, "scalar_kind": "i8"}'
    assert Memgraph("3.6.2").create(index) == [f"CREATE VECTOR EDGE INDEX `v` ON :`R`(`e`) WITH CONFIG {config}"]
    assert Memgraph("3.6.2").drop(index) == ["DROP VECTOR INDEX `v`"]


def test_a_vector_index_of_the_usual_kind_is_the_same_where_the_kind_is_shown_and_where_it_is_not(work: Work) -> None:
    row = {"index_name": "v", "label": "A", "property": "e", "capacity": 64, "dimension": 2, "metric": "cos", "size": 0}
    newer = {**row, "scalar_kind": "f32", "index_type": "label+property_vector"}
    shows = [{**WITH_DATA, "SHOW INDEX INFO": [], "SHOW VECTOR INDEX INFO": [kind]} for kind in (row, newer)]
    old, new = ([i.identity for i in schema_of(MemgraphDouble(shows=show), work)] for show in shows)
    assert old == new


def test_vector_indexes_are_taken_once_whatever_their_row_among_the_others_says(work: Work) -> None:
    rows = [
        {"index type": kind, "label": "A", "property": "e"}
        for kind in ("vector", "label+property_vector", "edge-type+property_vector", "label+property_vector (name: v)")
    ]
    server = MemgraphDouble(shows={**WITH_DATA, "SHOW INDEX INFO": rows, "SHOW VECTOR INDEX INFO": []})
    assert [item for item in schema_of(server, work) if item.kind == "index"] == []


def test_a_unique_constraint_is_the_same_in_whatever_order_a_server_names_its_properties() -> None:
    from archon_dagster.stores.graph.memgraph_schema import constraint_of, index_of

    row = {"constraint type": "unique", "label": "B", "properties": ["x", "y"], "data_type": ""}
    assert constraint_of(row).identity == constraint_of({**row, "properties": ["y", "x"]}).identity
    index = {"index type": "label+property", "label": "B", "property": ["x", "y"]}
    assert index_of(None, index).identity != index_of(None, {**index, "property": ["y", "x"]}).identity


@pytest.mark.parametrize("shown", ["ZONED DATE TIME", "ZONED_DATE_TIME", "ZONEDDATETIME"])
def test_a_type_constraint_is_written_as_the_grammar_wants_it(shown: str) -> None:
    from archon_dagster.stores.graph.memgraph_schema import constraint_of

    row = {"constraint type": "data_type", "label": "A", "properties": "x", "data_type": shown}
    assert Memgraph("3.2.1").create(constraint_of(row)) == [
        "CREATE CONSTRAINT ON (n:`A`) ASSERT n.`x` IS TYPED ZONEDDATETIME"
    ]


def test_an_unknown_kind_of_index_is_recorded_said_and_not_compared(work: Work) -> None:
    row = {"index type": "quantum", "label": "A", "property": ["x"]}
    server = MemgraphDouble(shows={**WITH_DATA, "SHOW INDEX INFO": [row], "SHOW VECTOR INDEX INFO": []})
    sink = exported(server, work)
    assert any("quantum" in what for _, what in sink.left_out)
    assert b'"type":"quantum"' in sink.data["memgraph/graph"]
    plain = exported(MemgraphDouble(shows={**server.shows, "SHOW INDEX INFO": []}), work)
    assert sink.artifacts[0].fingerprint == plain.artifacts[0].fingerprint


# how a backup reads --------------------------------------------------------------------------------------------------


def test_the_graph_is_read_in_one_read_transaction_without_time_limit(work: Work) -> None:
    server = every_type()
    exported(server, work)
    inside = [s for s in server.log if s.kind == "transaction"]
    assert [s.text.split(" RETURN ")[0] for s in inside] == [
        "MATCH (n)", "MATCH ()-[r]->()", "MATCH (n)", "MATCH (a)-[r]->(b)", "DUMP DATABASE",
    ]  # fmt: skip
    assert {(s.mode, s.timeout) for s in inside} == {("READ", 0)}
    assert server.closed >= 1


def moment_of_capture(server: MemgraphDouble, work: Work) -> int:
    """How many statements of the read transaction had been answered when the writers were let go."""
    moments: list[int] = []
    watching = Work(
        scratch=work.scratch,
        captured=lambda: moments.append(sum(s.kind == "transaction" for s in server.log)),
    )
    exported(server, watching)
    (moment,) = moments
    return moment


def test_writers_go_on_as_soon_as_the_snapshot_is_taken(work: Work) -> None:
    assert moment_of_capture(every_type(), work) == 2  # the two counts; the graph itself is read afterwards


@pytest.mark.parametrize(
    ("name", "value"),
    [("storage_mode", "IN_MEMORY_ANALYTICAL"), ("global_isolation_level", "READ_COMMITTED")],
)
def test_writers_wait_to_the_end_where_there_is_no_snapshot(name: str, value: str, work: Work) -> None:
    rows = [{**row, "value": value} if row["storage info"] == name else row for row in WITH_DATA["SHOW STORAGE INFO"]]
    server = every_type()
    server.shows["SHOW STORAGE INFO"] = rows
    assert moment_of_capture(server, work) == 4


def test_a_relationship_to_nowhere_is_an_error_where_the_snapshot_should_forbid_it(work: Work) -> None:
    server = every_type()
    server.relationships.append(("R", 87, 4711, {}))
    with pytest.raises(StoreError, match="R from node 87 to node 4711"):
        exported(server, work)


def test_users_settings_and_what_vector_indexes_hide_are_named(work: Work) -> None:
    server = every_type()
    server.shows["SHOW USERS"] = [{"user": "bk"}]
    said = " / ".join(what for _, what in exported(server, work).left_out)
    assert "users" in said
    assert "bk" in said
    assert "settings" in said
    assert "resize coefficient" in said


def test_no_licence_key_gets_into_the_manifest(work: Work) -> None:
    server = every_type()
    server.shows["SHOW DATABASE SETTINGS"] = [
        {"setting_name": "enterprise.license", "setting_value": "mglk-secret"},
        {"setting_name": "timezone", "setting_value": "UTC"},
    ]
    details = exported(server, work).artifacts[0].details
    assert details["settings"] == {"timezone": "UTC"}


def test_every_value_of_a_real_server_comes_back_to_the_driver_as_it_was(work: Work) -> None:
    server = every_type()
    before = {exact(properties) for _, _, properties in server.nodes}
    source = exported(server, work).source()
    target = MemgraphDouble()
    store(target).restore(source, work)
    assert {exact(properties) for _, _, properties in target.nodes} == before


@pytest.mark.parametrize("zone", [0, 330, "Etc/UTC", "Europe/Vienna"])
def test_a_datetime_keeps_its_zone_or_its_offset(zone: int | str, work: Work) -> None:
    tz = pytz.FixedOffset(zone) if isinstance(zone, int) else pytz.timezone(zone)
    moment = DateTime(2026, 11, 24, 3, 0, 0, 123_456_000, tzinfo=pytz.UTC).as_timezone(tz)
    server = MemgraphDouble(nodes=[(0, ["A"], {"at": moment, "in": [moment, {"a map": moment}]})])
    sink = exported(server, work)
    target = MemgraphDouble()
    store(target).restore(sink.source(), work)
    assert exact(target.nodes[0][2]) == exact(server.nodes[0][2])


BORN = DateTime(1815, 12, 10, 6, 0, 0, 1_000)


@pytest.mark.parametrize("ends", [False, True])
def test_a_local_datetime_before_1970_comes_back_also_where_it_cannot_be_a_parameter(ends: bool, work: Work) -> None:
    server = MemgraphDouble(
        nodes=[(0, ["A"], {"born": BORN, "x": 1}), (1, ["A"], {"born": DateTime(1970, 1, 1)}), (2, ["A"], {"x": 2})],
        relationships=[("R", 0, 1, {"born": BORN})],
    )
    source = exported(server, work).source()
    target = MemgraphDouble(ends_at_early=ends)
    store(target).restore(source, work)
    assert [exact(p) for _, _, p in target.nodes] == [exact(p) for _, _, p in server.nodes]
    assert [exact(p) for *_, p in target.relationships] == [exact(p) for *_, p in server.relationships]
    assert any("localDateTime(" in s.text for s in target.log) is ends


def test_a_local_datetime_before_1970_where_it_cannot_be_sent_is_refused_before_anything_is_touched(work: Work) -> None:
    source = exported(MemgraphDouble(nodes=[(7, ["A"], {"born": [BORN]})]), work).source()
    target = MemgraphDouble(nodes=[(1, [], {})], ends_at_early=True)
    with pytest.raises(StoreError, match="before 1970 inside a list or map in property 'born' of node 7"):
        store(target).restore(source, work)
    assert target.nodes == [(1, [], {})]


def test_nobody_is_asked_about_1970_without_need(work: Work) -> None:
    log = restored(MemgraphDouble(ends_at_early=True), work)
    assert not [s.text for s in log if s.text.startswith("RETURN")]


@pytest.mark.parametrize("whole", [BORN, DateTime(1815, 12, 10, 6, 0, 0, 0)])
def test_what_comes_back_a_second_late_is_sent_a_second_early(whole: DateTime) -> None:
    from archon_dagster.stores.graph.early import Way

    sent = Way(behind=True).sent({"at": [whole]})["at"][0]
    assert sent == (DateTime(1815, 12, 10, 5, 59, 59, 1_000) if whole.nanosecond else whole)
    assert Way(text=True, behind=True).sent(BORN) == "1815-12-10T05:59:59.000001"


# how a restore writes ------------------------------------------------------------------------------------------------


def restored(target: MemgraphDouble, work: Work) -> list[Statement]:
    source = exported(every_type(), work).source()
    store(target).restore(source, work)
    return target.log


def places(log: list[Statement], *beginnings: str) -> list[int]:
    found = [place for place, s in enumerate(log) if s.text.startswith(beginnings)]
    assert found, f"no statement begins with {beginnings}"
    return found


def test_a_restore_keeps_the_order_that_loses_nothing(work: Work) -> None:
    target = MemgraphDouble(shows={**WITH_DATA, "SHOW ENUMS": []}, nodes=[(1, ["Old"], {})])
    log = restored(target, work)
    order = [
        places(log, "DROP TRIGGER"),
        places(log, "DROP CONSTRAINT"),
        places(log, "DROP INDEX", "DROP EDGE", "DROP GLOBAL", "DROP POINT", "DROP VECTOR"),
        places(log, "MATCH ()-[r]->() WITH r"),
        places(log, "MATCH (n) WITH n"),
        places(log, "CREATE ENUM"),
        places(log, "UNWIND $rows AS r CREATE (n"),
        places(log, "UNWIND $rows AS r MATCH (a)"),
        places(log, "CREATE INDEX", "CREATE EDGE", "CREATE GLOBAL", "CREATE POINT", "CREATE VECTOR"),
        places(log, "CREATE CONSTRAINT"),
        places(log, "CREATE TRIGGER"),
    ]
    flat = [place for group in order for place in group]
    assert flat == sorted(flat)


def test_data_go_in_write_transactions_without_time_limit_and_schema_goes_outside_of_any(work: Work) -> None:
    log = restored(MemgraphDouble(shows={**WITH_DATA, "SHOW ENUMS": []}), work)
    data = [s for s in log if s.text.startswith("UNWIND")]
    assert {(s.kind, s.mode, s.timeout) for s in data} == {("transaction", "WRITE", 0)}
    rest = [s for s in log if s.text.startswith(("CREATE", "DROP", "SHOW", "ALTER"))]
    assert {s.kind for s in rest} == {"auto-commit"}


def test_relationships_without_properties_are_made_without_setting_any(work: Work) -> None:
    log = restored(MemgraphDouble(), work)
    made = {s.text.partition(" CREATE ")[2] for s in log if "CREATE (a)" in s.text}
    assert "(a)-[e:`SELF`]->(b) RETURN count(e)" in made
    assert "(a)-[e:`KNOWS`]->(b) SET e = r.p RETURN count(e)" in made


def test_nothing_temporary_gets_into_the_graph(work: Work) -> None:
    log = restored(MemgraphDouble(), work)
    assert not [s.text for s in log if "REMOVE" in s.text or "__" in s.text]


def test_statements_that_empty_a_graph_wholesale_are_never_used(work: Work) -> None:
    log = restored(every_type(), work)
    assert not [s.text for s in log if s.text.startswith(("DROP GRAPH", "RECOVER", "STORAGE MODE", "DROP ALL"))]


def test_an_enum_that_exists_gets_the_values_it_lacks_and_keeps_the_rest_with_a_warning(work: Work) -> None:
    enums = [{"Enum Name": "Status", "Enum Values": ["Good", "Newer"]}, {"Enum Name": "Other", "Enum Values": ["X"]}]
    target = MemgraphDouble(shows={**WITH_DATA, "SHOW ENUMS": enums})
    graph = store(target)
    graph.restore(exported(every_type(), work).source(), work)
    assert "ALTER ENUM `Status` ADD VALUE `Bad one`" in [s.text for s in target.log]
    warnings = " / ".join(graph.report.warnings)
    assert "Newer" in warnings
    assert "Other" in warnings


def test_relationships_that_were_not_created_are_an_error(work: Work) -> None:
    with pytest.raises(StoreError, match="2 relationships KNOWS were sent, 1 were created"):
        restored(MemgraphDouble(lost=1), work)


@pytest.mark.parametrize("text", CONFLICTS)
def test_a_real_conflict_is_tried_again(text: str, work: Work) -> None:
    errors: list[Exception] = [server_error(TRANSIENT, f"{text}. Try again."), server_error(TRANSIENT, text)]
    target = MemgraphDouble(failures={"CREATE INDEX ON :`A`(`id`)": errors})
    restored(target, work)
    assert errors == []


def test_an_error_that_is_only_called_transient_is_not_tried_again(work: Work) -> None:
    message = recorded("errors.json")["ddl: DROP TRIGGER nope"]["message"]  # type: ignore[call-overload]
    errors: list[Exception] = [server_error(TRANSIENT, message)] * 2
    with pytest.raises(StoreError, match="nope"):
        restored(MemgraphDouble(failures={"CREATE TRIGGER `t1`": errors}), work)
    assert len(errors) == 1


def test_an_index_the_server_cannot_make_stops_the_restore_with_the_servers_words(work: Work) -> None:
    refusal = server_error(TRANSIENT.replace("Transient", "Client"), "To use text indices start Memgraph with a flag")
    with pytest.raises(StoreError, match=r"create point index on :Val\(v\).*flag"):
        restored(MemgraphDouble(failures={"CREATE POINT INDEX": [refusal]}), work)


# values of other servers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ({"bytes": "AP8="}, "bytes"),
        ({"Time": "12:00:00.000000000+01:00"}, "Time"),
        ({"Duration": ["1", "0", "0", "0"]}, "months"),
        ({"Duration": ["0", "0", "0", "5"]}, "nanoseconds"),
        ({"Duration": ["0", "0", "90000", "0"]}, "division into days"),
        ({"Duration": ["0", "1", "-5", "0"]}, "division into days"),
        ({"Duration": ["0", "200000000", "0", "0"]}, "so many days"),
        ([{"LocalDateTime": "2024-02-29T23:59:59.123456789"}], "nanoseconds"),
        ({"map": {"x": {"Point": [4711, "0x1p+0", "0x1p+0"]}}}, "4711"),
    ],
)
def test_a_value_memgraph_would_change_is_refused(value: Any, why: str) -> None:
    from archon_dagster.stores.graph.fingerprint import canonical

    reason = Memgraph("3.2.1").refuses(["A"], {"v": value}, canonical({"p": {"v": value}}).encode())
    assert reason is not None
    assert why in reason


def test_no_value_of_a_real_memgraph_is_refused() -> None:
    from archon_dagster.stores.graph.fingerprint import canonical

    for _, labels, properties in every_type().nodes:
        encoded = {key: encode(value) for key, value in properties.items()}
        assert Memgraph("3.2.1").refuses(labels, encoded, canonical({"p": encoded}).encode()) is None


@pytest.mark.parametrize(("text", "size"), [("195.78KiB", 200478), ("0B", 0), ("1.50GiB", 1610612736), (None, None)])
def test_sizes_are_read(text: str | None, size: int | None) -> None:
    assert size_in_bytes(text) == size


def test_a_description_tells_version_counts_size_and_schema() -> None:
    described = store(every_type()).describe()
    assert described.version == "memgraph 3.2.1"
    assert described.counts == {"nodes": 91, "relationships": 4}
    assert described.size_bytes == 200478
    assert "unique constraint on :B(x, y)" in described.details["schema"]
