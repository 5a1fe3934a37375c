"""Portable files: points become rows and come back, and what is wrong with a file is said."""

from __future__ import annotations

import io
import json
import math
import subprocess
import sys
import uuid
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from archon_dagster.repository.manifest import Fingerprint, Part
from archon_dagster.stores.vectors import engine
from archon_dagster.stores.vectors.fingerprint import PointDigest
from archon_dagster.stores.vectors.portable import creating
from archon_dagster.stores.vectors.portable.bodies import BODY, bodies, not_finite
from archon_dagster.stores.vectors.portable.keeping import Keep, Keeper
from archon_dagster.stores.vectors.portable.layout import About, artifact_name
from archon_dagster.stores.vectors.portable.reading import DamagedPortable, digest, opened
from archon_dagster.stores.vectors.portable.writing import (
    LARGE_GROUP,
    SMALL_GROUP,
    PortableWriter,
    group_size,
    row_groups,
)
from archon_dagster.stores.vectors.snapshot import inspect
from archon_dagster.stores.vectors.version import Version
from archon_dagster_tests.unit.vector_data import COLLECTIONS, expected, snapshot_of

Point = tuple[Any, Any, Any]

CONFIG = {
    "params": {
        "vectors": {
            "title": {"size": 3, "distance": "Dot"},
            "parts": {"size": 2, "distance": "Dot", "multivector_config": {"comparator": "max_sim"}},
        },
        "sparse_vectors": {"words": {}},
    }
}
NAMED = About.of("c", "1.18.3", CONFIG, {}, {})
PLAIN = About.of("c", "1.18.3", {"params": {"vectors": {"size": 4, "distance": "Cosine"}}}, {}, {})

singles = st.floats(width=32)
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
payloads = st.none() | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), json_values)
sparse = st.dictionaries(st.integers(0, 2**32 - 1), singles, max_size=5).map(
    lambda pairs: {"indices": list(pairs), "values": list(pairs.values())}
)
vectors = st.fixed_dictionaries(
    {},
    optional={
        "title": st.lists(singles, min_size=3, max_size=3),
        "parts": st.lists(st.lists(singles, min_size=2, max_size=2), min_size=1, max_size=3),
        "words": sparse,
    },
)
ids = st.integers(0, 2**64 - 1) | st.uuids().map(str)


def write(path: Path, about: About, points: list[Point], expected_size: int = 0) -> Part:
    """The file of these points; returns their digest as the fingerprint of a store has it."""
    found = PointDigest()
    with PortableWriter(path, about, expected_size) as writer:
        for point in points:
            writer.add(*point)
            found.add(*point)
    return found.part()


def read(path: Path) -> Part:
    return digest(path, "c", lambda: None, lambda _: None)


def plain(count: int, text: Callable[[int], str] = str) -> list[Point]:
    return [(uuid.UUID(int=n * 7919), [float(n), 0.5, -1.0, n / 7], {"n": n, "text": text(n)}) for n in range(count)]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(points=st.lists(st.tuples(ids, vectors, payloads), max_size=12, unique_by=lambda point: str(point[0])))
def test_any_points_come_back_as_they_were(points: list[Point], tmp_path: Path) -> None:
    file = tmp_path / "points.parquet"
    written = write(file, NAMED, points)
    assert read(file) == written
    with opened(file, "c") as found:
        for (point_id, _, payload), (same, _, back) in zip(points, found.points(), strict=True):
            assert same == point_id
            assert type(same) is type(point_id)
            assert json.dumps(back, sort_keys=True) == json.dumps(payload or None, sort_keys=True)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    points=st.lists(
        st.tuples(ids, vectors.filter(lambda found: "nan" not in str(found) and "inf" not in str(found)), payloads),
        min_size=1, max_size=6, unique_by=lambda point: str(point[0]),
    )
)  # fmt: skip
def test_what_is_sent_to_a_server_is_what_was_read(points: list[Point], tmp_path: Path) -> None:
    file, found = tmp_path / "points.parquet", PointDigest()
    written = write(file, NAMED, points)
    with opened(file, "c") as opened_file:
        for group in opened_file.groups():
            for body, _ in bodies(group.table, NAMED):
                for point in json.loads(body)["points"]:
                    found.add(point["id"], point["vector"], point.get("payload"))
    assert found.part() == written


@pytest.mark.parametrize("collection", COLLECTIONS)
def test_the_rows_of_a_real_snapshot_are_what_its_server_held(collection: str, tmp_path: Path) -> None:
    pytest.importorskip("qdrant_edge")
    snapshot = snapshot_of("1.18.3", collection, tmp_path)
    contents = inspect(snapshot)
    about = About.of(collection, "1.18.3", contents.config, contents.indexes, {"live": collection})
    keep = Keep(tmp_path / "kept.parquet", about, 0)
    reading = engine.read(snapshot, contents, Version(1, 18, 3), tmp_path, keep=keep)
    assert reading.kept == ""
    assert read(keep.file) == reading.points
    wanted = expected()[collection]["points"]
    with opened(keep.file, collection) as file:
        assert file.about == about
        points = {str(point_id): (named, payload) for point_id, named, payload in file.points()}
    assert points.keys() == wanted.keys()
    for key, point in wanted.items():
        named, payload = points[key]
        assert (payload or {}) == point["payload"]
        for name, values in _told(point).items():
            assert _close(named[name], values), f"{key} {name}"


def _told(point: dict[str, Any]) -> dict[str, Any]:
    return dict(point["vectors"]) if "vectors" in point else {"": point["cosine_normalised_head"]}


def _close(mine: Any, theirs: Any) -> bool:
    if isinstance(theirs, dict):
        pairs = sorted(zip(theirs["indices"], theirs["values"], strict=True))
        return list(mine["indices"]) == [i for i, _ in pairs] and _close(mine["values"], [v for _, v in pairs])
    return all(math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-7) for a, b in zip(mine[: len(theirs)], theirs, strict=True))


def test_a_data_tool_reads_the_file_without_us(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    file = tmp_path / "c.parquet"
    words = {"indices": [9, 1], "values": [0.5, -1.0]}
    write(file, NAMED, [(2**64 - 1, {"title": [1.0, 2.0, 3.0], "parts": [[1, 2], [3, 4]], "words": words}, {"a": "é"})])
    assert pq.read_table(file).to_pylist() == [
        {
            "id": "18446744073709551615", "id_kind": "number", "payload": '{"a":"é"}',
            "vector:title": [1.0, 2.0, 3.0], "vector:parts": [[1.0, 2.0], [3.0, 4.0]],
            "vector:words": {"indices": [1, 9], "values": [-1.0, 0.5]},
        }
    ]  # fmt: skip


def test_the_file_says_all_of_its_collection(tmp_path: Path) -> None:
    config = PLAIN.config | {"hnsw_config": {"m": 8}}
    indexes = {"a": {"data_type": "keyword", "points": 17}}
    about = About.of("c", "1.7.4", config, indexes, {"live": "c", "other": "d"})
    file = tmp_path / "c.parquet"
    write(file, about, [])
    with opened(file, "c") as found:
        assert found.about == about
        assert found.about.aliases == ("live",)
        assert found.about.indexes == {"a": {"data_type": "keyword"}}
        assert list(found.points()) == []


def test_a_point_the_file_cannot_hold_is_no_silent_loss(tmp_path: Path) -> None:
    keep = Keep(tmp_path / "c.parquet", PLAIN, 0)
    keeper = Keeper(keep)
    keeper.add(1, [1.0, 2.0, 3.0, 4.0], {})
    assert keeper.add(2, {"unheard": [1.0]}, {}) == {"unheard": [1.0]}
    keeper.add(3, [1.0, 2.0, 3.0, 4.0], {})
    assert "'unheard'" in keeper.close()
    assert not keep.file.exists()


def test_a_full_disk_stops_the_copy_and_not_the_reading(tmp_path: Path) -> None:
    full = tmp_path / "full.parquet"
    full.symlink_to("/dev/full")
    keeper = Keeper(Keep(full, PLAIN, 0))
    for point in plain(20_000, lambda n: "x" * 200):
        keeper.add(*point)
    assert "No space left" in keeper.close()


def test_a_changed_point_changes_one_row_group(tmp_path: Path) -> None:
    before, after = plain(30_000, lambda n: "x" * (n % 97)), plain(30_000, lambda n: "x" * (n % 97))
    after[15_000] = (after[15_000][0], [9.0, 9.0, 9.0, 9.0], {"n": "another text"})
    assert _groups_not_in(tmp_path, before, after) == 1


def test_an_added_point_shifts_no_other_row_group(tmp_path: Path) -> None:
    before = plain(30_000, lambda n: "x" * (n % 97))
    after = [*before[:100], (uuid.UUID(int=100 * 7919 - 1), [1.0, 2.0, 3.0, 4.0], {}), *before[100:]]
    assert _groups_not_in(tmp_path, before, after) <= 2


def _groups_not_in(scratch: Path, before: list[Point], after: list[Point]) -> int:
    first, second = scratch / "1.parquet", scratch / "2.parquet"
    write(first, PLAIN, before)
    write(second, PLAIN, after)
    known = set(_row_groups(first))
    assert len(known) > 5
    return len(set(_row_groups(second)) - known)


def _row_groups(path: Path) -> list[bytes]:
    """The parts the repository stores, without the footer, which every change changes."""
    data = io.BytesIO(path.read_bytes())
    return [data.read(size) for size in row_groups(path)][:-2]


def test_the_parts_of_a_file_are_the_file(tmp_path: Path) -> None:
    write(tmp_path / "1.parquet", PLAIN, plain(20_000))
    assert sum(row_groups(tmp_path / "1.parquet")) == (tmp_path / "1.parquet").stat().st_size
    write(tmp_path / "empty.parquet", PLAIN, [])
    assert sum(row_groups(tmp_path / "empty.parquet")) == (tmp_path / "empty.parquet").stat().st_size


def test_the_same_points_cost_a_second_backup_nothing(tmp_path: Path) -> None:
    for name in ("1.parquet", "2.parquet"):
        write(tmp_path / name, PLAIN, plain(20_000))
    assert (tmp_path / "1.parquet").read_bytes() == (tmp_path / "2.parquet").read_bytes()


@pytest.mark.parametrize(
    ("expected_size", "group"), [(0, SMALL_GROUP), (1 << 30, SMALL_GROUP), (4 << 30, 1 << 20), (1 << 40, LARGE_GROUP)]
)
def test_row_groups_grow_with_the_file_so_that_its_footer_does_not(expected_size: int, group: int) -> None:
    assert group_size(expected_size) == group


@pytest.mark.parametrize("at", range(0, 100, 7))
def test_a_flipped_byte_is_found_and_placed(at: int, tmp_path: Path) -> None:
    file = tmp_path / "c.parquet"
    written = write(file, PLAIN, plain(3000, lambda n: "x" * 100))
    data = bytearray(file.read_bytes())
    data[len(data) * at // 100] ^= 0x10
    file.write_bytes(data)
    try:
        found = read(file)
    except DamagedPortable as error:
        assert any(place in str(error) for place in ("beginning", "footer", "row group"))
    else:
        pytest.fail(f"read without complaint: {found == written}")


@pytest.mark.parametrize("keep", [0, 3, 100, 5000, -1])
def test_a_truncated_file_is_damage(keep: int, tmp_path: Path) -> None:
    file = tmp_path / "c.parquet"
    write(file, PLAIN, plain(3000))
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(DamagedPortable, match="cannot be read"):
        read(file)


def test_a_foreign_parquet_file_is_refused(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = tmp_path / "c.parquet"
    pq.write_table(pa.table({"id": ["1"]}), file)
    with pytest.raises(DamagedPortable, match="not one of ours"):
        read(file)


def test_a_payload_with_nan_is_refused_and_a_vector_with_nan_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "c.parquet"
    with PortableWriter(file, PLAIN) as writer, pytest.raises(ValueError, match="not JSON compliant"):
        writer.add(1, [1.0, 2.0, 3.0, 4.0], {"x": math.nan})
    points: list[Point] = [(1, [1.0, None, math.inf, 4.0], {}), (2, [1.0, 2.0, 3.0, 4.0], {})]
    assert write(file, PLAIN, points) == read(file)
    with opened(file, "c") as found:
        assert [not_finite(group.table, PLAIN) for group in found.groups()] == [[1]]


def test_a_request_has_a_bounded_size(tmp_path: Path) -> None:
    file = tmp_path / "c.parquet"
    write(file, PLAIN, plain(3000, lambda n: "x" * 10_000), expected_size=1 << 40)
    sizes: list[int] = []
    with opened(file, "c") as found:
        for group in found.groups():
            sizes += [len(body) for body, _ in bodies(group.table, PLAIN)]
    assert max(sizes) <= BODY + 4096
    assert len(sizes) > 5


def test_minus_zero_stays_minus_zero_on_the_way_to_a_server(tmp_path: Path) -> None:
    file = tmp_path / "c.parquet"
    write(file, PLAIN, [(1, array("f", [-0.0, 0.0, 1.0, -1.5]), {})])
    with opened(file, "c") as found:
        ((body, count),) = [sent for group in found.groups() for sent in bodies(group.table, PLAIN)]
    assert body == b'{"points":[{"id":1,"vector":[-0.0,0,1,-1.5]}]}'
    assert count == 1


@pytest.mark.parametrize("collection", COLLECTIONS)
def test_the_configuration_of_an_old_snapshot_makes_a_request(collection: str, tmp_path: Path) -> None:
    contents = inspect(snapshot_of("1.7.4", collection, tmp_path))
    body = creating.request(contents.config)
    assert body["vectors"] == contents.config["params"]["vectors"]
    assert body["optimizers_config"]["default_segment_number"] == 2
    assert None not in body["optimizers_config"].values()


@pytest.mark.parametrize(
    ("told", "sent"),
    [
        ("keyword", "keyword"),
        ({"type": "text", "tokenizer": "word"}, {"type": "text", "tokenizer": "word"}),
        ({"data_type": "keyword", "points": 3}, "keyword"),
        ({"data_type": "text", "params": {"type": "text", "lowercase": True}}, {"type": "text", "lowercase": True}),
    ],
)
def test_an_index_is_asked_for_whichever_way_it_was_told(told: Any, sent: Any) -> None:
    assert creating.index_request(told) == sent


def test_an_artifact_name_never_is_that_of_a_snapshot() -> None:
    assert artifact_name("qdrant/odd/name") == "qdrant-portable/odd/name"


def test_the_fingerprint_of_a_manifest_is_the_same_with_and_without_portable_copies(tmp_path: Path) -> None:
    part = write(tmp_path / "c.parquet", PLAIN, plain(10))
    once = Fingerprint(parts={"c/points": part})
    assert once.differences(Fingerprint(parts={**once.parts, "c/points": read(tmp_path / "c.parquet")})) == []


GROWTH = """
import resource, sys
from pathlib import Path
from archon_dagster.stores.vectors.portable.bodies import bodies
from archon_dagster.stores.vectors.portable.reading import digest, opened
from archon_dagster_tests.unit.test_vector_portable import PLAIN, PortableWriter

def points(count):
    for n in range(count):
        yield n * 92233720368547, [float(n), 0.5, -1.0, n / 7], {"n": n, "text": "x" * (n % 200)}

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

def work(count):
    path = Path(sys.argv[1])
    with PortableWriter(path, PLAIN) as writer:
        for point in points(count):
            writer.add(*point)
    assert digest(path, "c", lambda: None, lambda _: None).count == count
    with opened(path, "c") as file:
        for group in file.groups():
            for body, _ in bodies(group.table, PLAIN):
                assert body
    return peak()

few = work(20_000)
print((work(200_000) - few) // 1024)
"""


def test_memory_does_not_grow_with_the_points(tmp_path: Path) -> None:
    command = [sys.executable, "-c", GROWTH, str(tmp_path / "c.parquet")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 32, f"{done.stdout} MiB more for ten times the points"
