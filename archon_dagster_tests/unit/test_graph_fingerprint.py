"""The graph's fingerprint sees content, and only content."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archon_dagster.repository.manifest import Fingerprint
from archon_dagster.stores.graph.fingerprint import GraphDigest, canonical
from archon_dagster.stores.graph.idtable import DuplicateId, IdTable
from archon_dagster.stores.graph.schema import SchemaObject
from archon_dagster.stores.graph.values import encode_properties
from archon_dagster_tests.unit.graph_values import TEXT, properties

Graph = tuple[list[tuple[list[str], dict[str, Any]]], list[tuple[str, int, int, dict[str, Any]]]]

nodes = st.lists(st.tuples(st.lists(TEXT, max_size=3, unique=True), properties), min_size=1, max_size=6)


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    found = draw(nodes)
    end = st.integers(0, len(found) - 1)
    return found, draw(st.lists(st.tuples(TEXT, end, end, properties), max_size=6))


def fingerprint(graph: Graph, seed: int | None = None, schema: tuple[SchemaObject, ...] = ()) -> Fingerprint:
    """Of a graph whose nodes get other ids, and come in another order, for every seed."""
    shuffle = random.Random(seed)
    found, relationships = graph
    order = list(range(len(found)))
    ids = list(order)
    if seed is not None:
        ids = shuffle.sample(range(-(2**61), 2**61), len(found))
        shuffle.shuffle(order)
        relationships = shuffle.sample(relationships, len(relationships))
    digest = GraphDigest()
    digest.schema(schema)
    for place in order:
        labels, props = found[place]
        digest.node(ids[place], labels[::-1] if seed else labels, canonical(encode_properties(props)))
    rows = [(kind, ids[a], ids[b], canonical(encode_properties(props))) for kind, a, b, props in relationships]
    assert digest.relate(rows) == []
    return digest.fingerprint()


@given(graphs(), st.integers(1, 100))
def test_neither_ids_nor_any_order_matter(graph: Graph, seed: int) -> None:
    assert fingerprint(graph) == fingerprint(graph, seed)


A: Graph = (
    [(["A"], {"x": 1}), (["A"], {"x": 2}), (["B", "A"], {})],
    [("R", 0, 1, {"w": 1.0}), ("R", 0, 1, {"w": 1.0}), ("S", 2, 2, {})],
)


@pytest.mark.parametrize(
    "change",
    [
        ([(["A"], {"x": 1.0}), *A[0][1:]], A[1]),  # an integer became a float
        ([(["A"], {"x": 1, "y": None}), *A[0][1:]], A[1]),
        ([(["A"], {"x": 1}), (["A"], {"x": 2}), (["B"], {})], A[1]),
        (A[0], A[1][1:]),  # one of two parallel relationships
        (A[0], [("R", 1, 0, {"w": 1.0}), *A[1][1:]]),  # its direction
        (A[0], [("R", 0, 1, {"w": 1}), *A[1][1:]]),
        (A[0], [*A[1][:2], ("S", 2, 1, {})]),  # a self-loop that is none any more
        (A[0], [*A[1][:2], ("T", 2, 2, {})]),
    ],
)
def test_any_change_of_content_is_seen(change: Graph) -> None:
    assert fingerprint(A).differences(fingerprint(change))


def test_parts_are_named_by_label_set_and_type() -> None:
    assert set(fingerprint(A).parts) == {"schema", "nodes/A", "nodes/A:B", "relationships/R", "relationships/S"}


def test_an_empty_graph_has_a_fingerprint_too() -> None:
    assert fingerprint(([], [])).parts["schema"].count == 0


def test_schema_counts_but_not_what_a_server_may_round_or_keep() -> None:
    index = SchemaObject("index", "label+property", on="A", properties=("x",))
    vector = SchemaObject("index", "label+property_vector", "v", "A", ("e",), {"dimension": 2, "capacity": 64})
    wider = SchemaObject("index", "label+property_vector", "v", "A", ("e",), {"dimension": 2, "capacity": 128})
    other = SchemaObject("index", "label+property_vector", "v", "A", ("e",), {"dimension": 3, "capacity": 64})
    enum = SchemaObject("enum", name="E", options={"values": ["a"]})
    assert fingerprint(A).differences(fingerprint(A, schema=(index,)))
    assert not fingerprint(A, schema=(vector,)).differences(fingerprint(A, schema=(wider,)))
    assert fingerprint(A, schema=(vector,)).differences(fingerprint(A, schema=(other,)))
    assert not fingerprint(A).differences(fingerprint(A, schema=(enum,)))


def test_relationships_without_an_end_are_named_by_their_place() -> None:
    digest = GraphDigest()
    digest.node(1, ["A"], "{}")
    assert digest.relate([("R", 1, 1, "{}"), ("R", 1, 2, "{}"), ("R", 3, 1, "{}")]) == [1, 2]
    assert digest.counts == {"nodes": 1, "relationships": 1}


def test_a_node_that_comes_twice_is_noticed() -> None:
    digest = GraphDigest()
    for node in (5, 3, 5):
        digest.node(node, [], "{}")
    with pytest.raises(DuplicateId, match="node 5"):
        digest.freeze()


@given(
    st.dictionaries(st.integers(-(2**63), 2**63 - 1), st.binary(min_size=4, max_size=4)), st.lists(st.integers(0, 9))
)
def test_an_id_table_finds_what_was_added(entries: dict[int, bytes], others: list[int]) -> None:
    table = IdTable(4)
    for node, value in entries.items():
        table.add(node, value)
    table.freeze()
    wanted = [*entries, *others]
    assert table.find(wanted) == [entries.get(node) for node in wanted]
