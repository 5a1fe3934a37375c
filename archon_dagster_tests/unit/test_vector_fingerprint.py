"""The canonical form of points: the same content gives the same digest, anything else another one."""

from __future__ import annotations

import json
import math
import struct
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archon_dagster.repository.manifest import Fingerprint, Part
from archon_dagster.stores.vectors import fingerprint
from archon_dagster.stores.vectors.fingerprint import PointDigest, record
from archon_dagster.stores.vectors.transport import path

ids = st.one_of(st.integers(0, 2**64 - 1), st.uuids().map(str))
singles = st.floats(width=32, allow_nan=False, allow_infinity=False)
dense = st.lists(singles, min_size=1, max_size=8)
sparse = st.dictionaries(st.integers(0, 2**32 - 1), singles, min_size=1, max_size=6).map(
    lambda d: {"indices": list(d), "values": list(d.values())}
)
multi = st.lists(st.lists(singles, min_size=2, max_size=2), min_size=1, max_size=4)
vectors = st.one_of(dense, st.dictionaries(st.text(max_size=5), st.one_of(dense, sparse, multi), max_size=3))
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.text(max_size=8),
              st.floats(allow_nan=False, allow_infinity=False)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)),
    max_leaves=6,
)  # fmt: skip
payloads = st.dictionaries(st.text(max_size=6), values, max_size=4)


@given(ids, vectors, payloads)
def test_a_record_survives_json(point_id: Any, vector: Any, payload: Any) -> None:
    through = json.loads(json.dumps([point_id, vector, payload]))
    assert record(*through) == record(point_id, vector, payload)


@given(ids, sparse)
def test_the_order_of_sparse_indices_does_not_matter(point_id: Any, vector: Any) -> None:
    turned = {"indices": vector["indices"][::-1], "values": vector["values"][::-1]}
    assert record(point_id, {"words": turned}, None) == record(point_id, {"words": vector}, None)


@given(ids, vectors, payloads)
def test_the_order_of_keys_does_not_matter(point_id: Any, vector: Any, payload: Any) -> None:
    turned = dict(reversed(list(payload.items())))
    assert record(point_id, vector, turned) == record(point_id, vector, payload)


@given(st.lists(st.tuples(ids, dense, payloads), max_size=6), st.randoms())
def test_the_order_of_points_does_not_matter(points: list[Any], chance: Any) -> None:
    mixed = list(points)
    chance.shuffle(mixed)
    assert _digest(mixed) == _digest(points)


@given(dense, st.integers(0, 7))
def test_one_changed_component_changes_the_record(vector: list[float], place: int) -> None:
    place %= len(vector)
    changed = list(vector)
    changed[place] = vector[place] + max(1.0, abs(vector[place]))
    if not math.isinf(struct.unpack("<f", struct.pack("<f", min(changed[place], 3e38)))[0]):
        assert record(1, changed, None) != record(1, vector, None)


@pytest.mark.parametrize(("one", "other"), [
    ({"a": 1}, {"a": 1.0}), ({"a": True}, {"a": 1}), ({"a": None}, {}), ({"a": "1"}, {"a": 1}),
    ({"a": [1, 2]}, {"a": [2, 1]}), ({"a": 2**63}, {"a": 2**63 + 1}), ({"a": 0.0}, {"a": -0.0}),
])  # fmt: skip
def test_different_payloads_are_different(one: Any, other: Any) -> None:
    assert record(1, [1.0], one) != record(1, [1.0], other)


@pytest.mark.parametrize("nothing", [None, {}])
def test_no_payload_is_an_empty_payload(nothing: Any) -> None:
    assert record(7, [1.0], nothing) == record(7, [1.0], {})


@pytest.mark.parametrize("nothing", [None, {}, []])
def test_no_vector_is_no_vector_however_it_is_written(nothing: Any) -> None:
    assert record(7, nothing, {}) == record(7, None, {})


def test_single_precision_is_what_counts() -> None:
    assert record(1, [0.1], None) == record(1, [0.10000000149011612], None)


def test_a_uuid_is_one_whatever_its_spelling() -> None:
    one = uuid.UUID("0a1b2c3d-0000-4000-8000-00000000abcd")
    assert record(one, [1.0], None) == record(str(one).upper(), [1.0], None)


def test_a_number_and_a_uuid_of_the_same_bits_are_two_points() -> None:
    assert record(5, [1.0], None) != record(str(uuid.UUID(int=5)), [1.0], None)


@pytest.mark.parametrize("wrong", [-1, 2**64, "not-a-uuid", True])
def test_what_cannot_be_an_id_is_refused(wrong: Any) -> None:
    with pytest.raises((ValueError, struct.error)):
        record(wrong, [1.0], None)


def test_names_of_vectors_belong_to_the_content() -> None:
    assert record(1, {"a": [1.0], "b": [2.0]}, None) != record(1, {"a": [2.0], "b": [1.0]}, None)


def test_what_services_patch_and_where_files_lie_is_no_schema() -> None:
    base = {"params": {"vectors": {"size": 4, "distance": "Dot"}}, "hnsw_config": {"m": 16, "ef_construct": 100}}
    patched = base | {
        "params": {"vectors": {"size": 4, "distance": "Dot", "on_disk": True}, "on_disk_payload": True},
        "optimizer_config": {"indexing_threshold": 1000}, "wal_config": {"wal_retain_closed": 1}, "uuid": None,
    }  # fmt: skip
    assert fingerprint.schema(patched, {}) == fingerprint.schema(base, {})


def test_the_three_spellings_of_an_index_are_one() -> None:
    written: list[dict[str, Any]] = [
        {"f": "keyword"},
        {"f": {"data_type": "keyword", "points": 7}},
        {"f": {"type": "keyword", "on_disk": True}},
    ]
    assert len({str(fingerprint.index_schemas(spelling)) for spelling in written}) == 1


def test_an_index_of_other_parameters_is_another_schema() -> None:
    one = {"f": {"type": "text", "tokenizer": "word"}}
    assert fingerprint.schema_part({}, one) != fingerprint.schema_part({}, {"f": "text"})


def test_points_that_were_only_counted_are_compared_by_their_count() -> None:
    counted = Fingerprint(parts={"a/points": Part.unread(2)})
    read = Fingerprint(parts={"a/points": _digest([(1, [1.0], {}), (2, [1.0], {})])})
    assert counted.differences(read) == []
    assert Fingerprint(parts={"a/points": Part.unread(3)}).differences(read)


def test_a_vector_may_be_called_size() -> None:
    named = {"params": {"vectors": {"size": {"size": 4, "distance": "Dot"}}}}
    unnamed = {"params": {"vectors": {"size": 4, "distance": "Dot"}}}
    assert fingerprint.dense_vectors(named) == {"size": {"size": 4, "distance": "Dot"}}
    assert list(fingerprint.dense_vectors(unnamed)) == [""]
    assert fingerprint.schema_part(named, {}) != fingerprint.schema_part(unnamed, {})


def test_paths_are_quoted() -> None:
    assert path("collections", "a/b ☃?") == "/collections/a%2Fb%20%E2%98%83%3F"


def _digest(points: list[Any]) -> Part:
    digest = PointDigest()
    for point in points:
        digest.add(*point)
    return digest.part()
