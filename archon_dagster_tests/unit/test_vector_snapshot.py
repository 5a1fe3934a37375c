"""Real snapshots of real servers: complete ones are read, damaged ones found, unreadable ones told apart."""

from __future__ import annotations

import io
import tarfile
import threading
import uuid
from pathlib import Path
from typing import Any

import pytest

from archon_dagster.errors import Cancelled
from archon_dagster.stores.base import Work
from archon_dagster.stores.vectors import engine, fingerprint, snapshot
from archon_dagster.stores.vectors.snapshot import DamagedSnapshot
from archon_dagster.stores.vectors.version import Version
from archon_dagster_tests.unit.vector_data import COLLECTIONS, expected, recorded, repack, snapshot_of

NEW, OLD = Version(1, 18, 3), Version(1, 7, 4)
needs_engine = pytest.mark.skipif(not engine.installed(), reason="qdrant-edge-py is not installed")


@pytest.fixture
def named(tmp_path: Path) -> Path:
    return snapshot_of("1.18.3", "named", tmp_path)


@needs_engine
@pytest.mark.parametrize("collection", COLLECTIONS)
def test_the_engine_counts_what_the_server_held(collection: str, tmp_path: Path) -> None:
    file = snapshot_of("1.18.3", collection, tmp_path)
    reading = engine.read(file, snapshot.inspect(file), NEW, tmp_path)
    assert reading.count == reading.points.count == expected()[collection]["count"]
    assert not any(tmp_path.iterdir())


@needs_engine
@pytest.mark.parametrize("collection", COLLECTIONS)
def test_points_come_back_with_their_ids_payloads_and_vectors(collection: str, tmp_path: Path) -> None:
    file = snapshot_of("1.18.3", collection, tmp_path)
    snapshot.unpack(file, tmp_path / "shards")
    found = {str(p.id): p for p in _points(tmp_path / "shards" / "0")}
    wanted = expected()[collection]["points"]
    assert found.keys() == wanted.keys()
    for key, point in wanted.items():
        assert found[key].payload == point["payload"]
        assert fingerprint.canonical_json(found[key].payload) == fingerprint.canonical_json(point["payload"])
        for name, head in _heads(point).items():
            vector = found[key].vector[name] if name else found[key].vector
            assert _head(vector) == pytest.approx(_head(head), abs=1e-6)


@pytest.mark.parametrize("version", ["1.18.3", "1.7.4"])
@pytest.mark.parametrize("collection", COLLECTIONS)
def test_complete_snapshots_of_both_versions_are_complete(version: str, collection: str, tmp_path: Path) -> None:
    contents = snapshot.inspect(snapshot_of(version, collection, tmp_path))
    assert contents.shards == ("0",)
    assert contents.remote_shards == ()
    assert contents.rocksdb == (version == "1.7.4")


@needs_engine
def test_an_old_servers_snapshot_is_not_verifiable_here_and_not_damaged(tmp_path: Path) -> None:
    file = snapshot_of("1.7.4", "named", tmp_path)
    with pytest.raises(engine.NotVerifiableHere, match="RocksDB"):
        engine.read(file, snapshot.inspect(file), OLD, tmp_path)


@needs_engine
def test_a_format_from_the_future_is_not_verifiable_here(named: Path, tmp_path: Path) -> None:
    broken = repack_segment(named, tmp_path / "s", "segment.json", b"{}")
    with pytest.raises(engine.NotVerifiableHere, match=r"1\.25\.0"):
        engine.read(broken, snapshot.inspect(broken), Version(1, 25), tmp_path)


@pytest.mark.parametrize("version", ["1.18.3", "1.7.4"])
def test_a_truncated_snapshot_is_found_wherever_it_was_cut(version: str, tmp_path: Path) -> None:
    whole = snapshot_of(version, "named", tmp_path).read_bytes()
    cut = tmp_path / "cut.snapshot"
    for length in (0, 1, 511, 512, 1000, len(whole) // 3, len(whole) // 2, len(whole) - 1025, len(whole) - 1):
        cut.write_bytes(whole[:length])
        with pytest.raises(DamagedSnapshot):
            snapshot.inspect(cut)


def test_a_snapshot_cut_between_two_members_is_found(named: Path, tmp_path: Path) -> None:
    whole = named.read_bytes()
    with tarfile.open(named) as tar:
        boundaries = [member.offset for member in tar.getmembers()]
    cut = tmp_path / "cut.snapshot"
    for boundary in boundaries[1:]:
        cut.write_bytes(whole[:boundary])
        with pytest.raises(DamagedSnapshot):
            snapshot.inspect(cut)


def test_the_end_mark_alone_does_not_make_it_complete(named: Path, tmp_path: Path) -> None:
    whole = named.read_bytes()
    with tarfile.open(named) as tar:
        last = tar.getmembers()[-1]
    cut = tmp_path / "cut.snapshot"
    cut.write_bytes(whole[: last.offset] + bytes(1024))
    with pytest.raises(DamagedSnapshot, match=r"payload_index\.json"):
        snapshot.inspect(cut)


@pytest.mark.parametrize("member", ["config.json", "payload_index.json", "0/shard_config.json", "0/replica_state.json"])
def test_a_missing_final_member_is_named(member: str, named: Path, tmp_path: Path) -> None:
    broken = repack(named, tmp_path / "s", lambda name, data: None if name == member else data)
    with pytest.raises(DamagedSnapshot, match=member):
        snapshot.inspect(broken)


def test_a_missing_write_ahead_log_is_named(named: Path, tmp_path: Path) -> None:
    broken = repack(named, tmp_path / "s", lambda name, data: None if "/wal/" in name else data)
    with pytest.raises(DamagedSnapshot, match="write-ahead log"):
        snapshot.inspect(broken)


def test_a_segment_without_its_final_members_is_named(named: Path, tmp_path: Path) -> None:
    broken = repack_segment(named, tmp_path / "s", "version.info", None)
    with pytest.raises(DamagedSnapshot, match=r"segments/.*version\.info"):
        snapshot.inspect(broken)


def test_a_flipped_byte_in_a_header_is_found(named: Path, tmp_path: Path) -> None:
    data = bytearray(named.read_bytes())
    data[100] ^= 0xFF
    (tmp_path / "s").write_bytes(data)
    with pytest.raises(DamagedSnapshot, match="header"):
        snapshot.inspect(tmp_path / "s")


@needs_engine
def test_a_flipped_byte_in_a_vector_changes_the_fingerprint(tmp_path: Path) -> None:
    file = snapshot_of("1.18.3", "generous", tmp_path)
    good = engine.read(file, snapshot.inspect(file), NEW, tmp_path)
    flipped = repack_segment(file, tmp_path / "s", "matrix.dat", lambda old: old[:500] + b"\x55" + old[501:])
    assert engine.read(flipped, snapshot.inspect(flipped), NEW, tmp_path).points != good.points


@needs_engine
def test_a_lost_vector_file_is_damage_although_every_point_is_counted(tmp_path: Path) -> None:
    broken = repack_segment(snapshot_of("1.18.3", "generous", tmp_path), tmp_path / "s", "matrix.dat", b"garbage")
    with pytest.raises(DamagedSnapshot, match="lost its vector"):
        engine.read(broken, snapshot.inspect(broken), NEW, tmp_path)


@needs_engine
@pytest.mark.parametrize("member", ["segment.json", "status.dat"])  # the second makes the engine panic
def test_a_segment_the_engine_cannot_read_is_damage(member: str, tmp_path: Path) -> None:
    broken = repack_segment(snapshot_of("1.18.3", "generous", tmp_path), tmp_path / "s", member, b"garbage")
    with pytest.raises(DamagedSnapshot, match="engine"):
        engine.read(broken, snapshot.inspect(broken), NEW, tmp_path)


def test_members_that_would_leave_the_directory_are_refused(named: Path, tmp_path: Path) -> None:
    evil = tmp_path / "evil"
    with tarfile.open(evil, "w") as tar:
        member = tarfile.TarInfo("0/../../outside")
        member.size = 1
        tar.addfile(member, io.BytesIO(b"x"))
    with pytest.raises(DamagedSnapshot, match="does not belong"):
        snapshot.unpack(evil, tmp_path / "inside" / "deep")
    assert not (tmp_path / "outside").exists()


@needs_engine
def test_a_cancelled_reading_leaves_nothing_behind(named: Path, tmp_path: Path) -> None:
    contents, work = snapshot.inspect(named), Work(scratch=tmp_path, cancel=threading.Event())
    work.cancel.set()
    with pytest.raises(Cancelled):
        engine.read(named, contents, NEW, tmp_path, check=work.check)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("version", ["1.18.3", "1.7.4"])
def test_a_server_and_its_snapshot_have_the_same_schema(version: str, tmp_path: Path) -> None:
    contents = snapshot.inspect(snapshot_of(version, "archon_vectors", tmp_path))
    live = recorded(version, "info restored")["result"]
    assert fingerprint.schema(live["config"], live["payload_schema"]) == fingerprint.schema(
        contents.config, contents.indexes
    )
    assert set(fingerprint.schema(live["config"], live["payload_schema"])["indexes"]) >= {"content", "where"}


@needs_engine
@pytest.mark.parametrize("version", ["1.18.3", "1.7.4"])
def test_a_point_is_the_same_record_from_a_servers_answer_and_from_the_engine(version: str, tmp_path: Path) -> None:
    snapshot.unpack(snapshot_of("1.18.3", "named", tmp_path), tmp_path / "shards")
    engines = {p.id: p for p in _points(tmp_path / "shards" / "0")}
    answered = recorded(version, "retrieve named")["result"]
    assert len(answered) == 2
    for point in answered:
        mine = engines[point["id"]]
        assert fingerprint.record(point["id"], point["vector"], point["payload"]) == fingerprint.record(
            mine.id, mine.vector, mine.payload
        )


def repack_segment(source: Path, target: Path, member: str, data: Any) -> Path:
    """Replace (or leave out, or change with a function) one file in every segment that has it."""

    def inner(name: str, old: bytes) -> bytes | None:
        if name.rsplit("/", 1)[-1] != member:
            return old
        replaced = data(old) if callable(data) else data
        return replaced if replaced is None else bytes(replaced)

    def outer(name: str, old: bytes) -> bytes:
        if not name.endswith(".tar"):
            return old
        part = target.with_suffix(".part")
        part.write_bytes(old)
        return repack(part, target.with_suffix(".new"), inner).read_bytes()

    repack(source, target, outer)
    for suffix in (".part", ".new"):
        target.with_suffix(suffix).unlink(missing_ok=True)
    return target


@pytest.mark.parametrize("version", ["1.7.4", "1.18.3"])
def test_indexes_a_restored_collection_does_not_know_of_are_found_in_its_segments(version: str, tmp_path: Path) -> None:
    whole = snapshot_of(version, "archon_vectors", tmp_path)

    def forget(name: str, data: bytes) -> bytes:
        return b'{"schema":{}}' if name.endswith("payload_index.json") else data

    forgetful = snapshot.inspect(repack(whole, tmp_path / "forgetful", forget))
    assert len(forgetful.indexes) >= 5
    assert forgetful.indexes == snapshot.inspect(whole).indexes


def _points(directory: Path) -> list[Any]:
    import qdrant_edge

    shard = qdrant_edge.EdgeShard.load(str(directory))
    try:
        request = qdrant_edge.ScrollRequest(limit=100_000, with_payload=True, with_vector=True)
        points, _ = shard.scroll(request)
        assert all(isinstance(point.id, int | uuid.UUID | str) for point in points)
        return list(points)
    finally:
        shard.close()


def _heads(point: dict[str, Any]) -> dict[str, Any]:
    if "vectors" in point:
        return dict(point["vectors"])
    return {"": point["cosine_normalised_head"]}


def _head(vector: Any) -> list[float]:
    if isinstance(vector, dict):
        return [*map(float, vector["indices"]), *vector["values"]]
    if hasattr(vector, "indices"):
        return [*map(float, vector.indices), *vector.values]
    return list(vector[:4])
