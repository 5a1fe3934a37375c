"""Portable vectors: out of a snapshot or a live server into Parquet, and onto a server of any version."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
import numpy
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from archon_dagster.backup.backup import BackupRequest, take_backup
from archon_dagster.context import OperationContext
from archon_dagster.errors import Cancelled, DamagedBackup, StoreError, StoreUnavailable, VersionMismatch
from archon_dagster.repository.manifest import Fingerprint, Part
from archon_dagster.restore.restore import RestoreRequest, restore_backup
from archon_dagster.stores.base import Progress, Work
from archon_dagster.stores.vectors.configuration import NAME
from archon_dagster.stores.vectors.portable import layout
from archon_dagster.stores.vectors.portable.reading import opened
from archon_dagster.stores.vectors.store import VectorStore
from archon_dagster_tests.artifacts import MemorySink, MemorySource
from archon_dagster_tests.integration.old_vector_server import OldServer, old_server
from archon_dagster_tests.integration.store_server import StoreServer
from archon_dagster_tests.integration.test_vector_store_kinds import KINDS
from archon_dagster_tests.integration.vector_server import upload
from archon_dagster_tests.prompt import PROMPT, Cancel
from archon_dagster_tests.unit.platform_double import Platform
from archon_dagster_tests.unit.vector_data import COLLECTIONS, snapshot_of

pytestmark = [pytest.mark.sandbox, pytest.mark.long]
pytest.importorskip("qdrant_edge")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., StoreServer]]:
    servers: list[StoreServer] = []

    def begin(name: str = "a", **options: str) -> StoreServer:
        servers.append(StoreServer(tmp_path / name, **options))
        return servers[-1].start()

    yield begin
    for server in servers:
        server.stop()


@pytest.fixture
def work(tmp_path: Path) -> Work:
    (tmp_path / "scratch").mkdir()
    return Work(scratch=tmp_path / "scratch", deadline=60.0, portable=True)


def store(server: StoreServer, **options: object) -> VectorStore:
    return VectorStore(server.url, cleanup=20.0, **options)  # type: ignore[arg-type]


def backup(server: StoreServer, work: Work, **options: object) -> MemorySource:
    sink = MemorySink()
    store(server, **options).export(sink, work)
    return sink.source(vectors=f"qdrant {server.version}")


def promised(source: MemorySource) -> Fingerprint:
    return Fingerprint(
        parts={name: p for a in source.items if a.fingerprint for name, p in a.fingerprint.parts.items()}
    )


def made_on(source: MemorySource, version: str) -> MemorySource:
    """The same backup, but its manifest and its document say another version."""
    document = json.loads(source.data[NAME]) | {"version": version}
    source.replace(NAME, json.dumps(document).encode())
    return source


def fill(server: StoreServer) -> StoreServer:
    server.fill("archon_vectors", 300, size=16)
    server.fill("empty", 0)
    for field, schema in (("entity_id", "keyword"), ("text", {"type": "text", "tokenizer": "word"})):
        index = {"field_name": field, "field_schema": schema}
        server.call("PUT", "/collections/archon_vectors/index?wait=true", index)
    alias = {"collection_name": "archon_vectors", "alias_name": "live"}
    server.call("POST", "/collections/aliases", {"actions": [{"create_alias": alias}]})
    return server


def rows(source: MemorySource, collection: str, scratch: Path) -> list[tuple[Any, dict[str, Any], Any]]:
    file = scratch / "rows.parquet"
    file.write_bytes(source.data[f"qdrant-portable/{collection}"])
    with opened(file, collection) as found:
        points = list(found.points())
    file.unlink()
    return points


@pytest.mark.parametrize("collection", COLLECTIONS)
def test_the_points_of_a_real_snapshot_come_back_on_a_fresh_server(
    collection: str, start: Callable[..., StoreServer], work: Work, tmp_path: Path
) -> None:
    first, second = start("a"), start("b")
    with httpx.Client(base_url=first.url, timeout=60) as client:
        assert upload(client, collection, snapshot_of("1.18.3", collection, tmp_path).read_bytes()).status_code == 200
    source = backup(first, work)
    heard: list[str] = []
    store(second).restore(source, replace(work, warn=heard.append))
    assert promised(source).differences(store(second).fingerprint(work)) == []
    assert heard == []
    assert second.snapshot_files == []


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_vector_comes_back(kind: str, start: Callable[..., StoreServer], work: Work) -> None:
    _, config, vectors = KINDS[kind]
    if config.get("shard_number", 1) > 1:
        pytest.skip("the sandbox's own server has one shard")
    first, second = start("a"), start("b")
    first.call("PUT", f"/collections/{kind}", config)
    points = [{"id": number, "vector": vector, "payload": {"n": number}} for number, vector in enumerate(vectors)]
    first.call("PUT", f"/collections/{kind}/points?wait=true", {"points": points})
    source = backup(first, work)
    store(second).restore(source, work)
    assert promised(source).differences(store(second).fingerprint(work)) == []


def test_an_unnamed_vector_beside_a_sparse_one_comes_back(start: Callable[..., StoreServer], work: Work) -> None:
    first, second = start("a"), start("b")
    config = {"vectors": {"size": 2, "distance": "Cosine"}, "sparse_vectors": {"s": {}}}
    first.call("PUT", "/collections/c", config)
    vectors = [
        {"": [1.0, 2.0], "s": {"indices": [7, 3], "values": [0.5, 1.5]}},
        [3.0, 1.0],
        {"s": {"indices": [1], "values": [2.0]}},
    ]
    points = [{"id": number, "vector": vector, "payload": {}} for number, vector in enumerate(vectors)]
    first.call("PUT", "/collections/c/points?wait=true", {"points": points})
    source = backup(first, work)
    store(second).restore(source, work)
    assert promised(source).differences(store(second).fingerprint(work)) == []


def test_a_scratch_directory_without_room_leaves_the_copy_out_and_says_so(
    start: Callable[..., StoreServer], work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, sink = fill(start()), MemorySink()
    usage = shutil.disk_usage(work.scratch)._replace(free=1 << 20)
    monkeypatch.setattr("archon_dagster.stores.vectors.portable.exporting.shutil.disk_usage", lambda _: usage)
    store(server).export(sink, work)
    assert "qdrant/archon_vectors" in sink.data
    assert any("no portable copy of collection archon_vectors: it may need" in what for _, what in sink.left_out)


def test_the_portable_artifact_has_the_fingerprint_of_its_snapshot(
    start: Callable[..., StoreServer], work: Work
) -> None:
    source = backup(fill(start()), work)
    portable, snapshot = source.one("qdrant-portable/archon_vectors"), source.one("qdrant/archon_vectors")
    assert portable.fingerprint == snapshot.fingerprint
    assert portable.counts == snapshot.counts == {"archon_vectors": 300}
    assert portable.media_type == "application/vnd.apache.parquet"
    assert portable.details["source"] == "snapshot"
    assert portable.details["consistent"] is True
    assert portable.details["aliases"] == ["live"]
    assert any("normalised" in line for line in portable.details["lost"])


def test_unchanged_points_give_the_same_bytes(start: Callable[..., StoreServer], work: Work) -> None:
    server = fill(start())
    name = "qdrant-portable/archon_vectors"
    assert backup(server, work).data[name] == backup(server, work).data[name]


def test_ids_and_payloads_reach_the_file_as_they_are(
    start: Callable[..., StoreServer], work: Work, tmp_path: Path
) -> None:
    server = start()
    server.call("PUT", "/collections/c", {"vectors": {"size": 2, "distance": "Dot"}})
    deep: Any = {"end": "☃\u0000"}
    for _ in range(60):
        deep = [deep]
    payload = {"big": 2**64 - 1, "low": -(2**63), "past": 2**53 + 1, "whole": 1.0, "tiny": 5e-324, "deep": deep}
    points = [{"id": 2**64 - 1, "vector": [1.5, -0.0], "payload": payload}]
    server.call("PUT", "/collections/c/points?wait=true", {"points": points})
    source, other = backup(server, work), start("b")
    ((point_id, vectors, found),) = rows(source, "c", tmp_path)
    assert point_id == 2**64 - 1
    assert [str(value) for value in vectors[""]] == ["1.5", "-0.0"]
    assert json.dumps(found, sort_keys=True) == json.dumps(payload, sort_keys=True)
    store(other).restore(source, work)
    assert promised(source).differences(store(other).fingerprint(work)) == []


def test_without_being_asked_no_portable_copy_is_made(start: Callable[..., StoreServer], work: Work) -> None:
    source = backup(fill(start()), replace(work, portable=False))
    assert [a.name for a in source.items if a.kind == layout.KIND] == []


def test_a_backup_the_version_rule_forbids_is_restored_point_by_point(
    start: Callable[..., StoreServer], work: Work
) -> None:
    source = made_on(backup(fill(start()), work), "1.7.4")
    other = start("b")
    other.fill("archon_vectors", 5)
    other.fill("extra", 5)
    plain = replace(work, portable=False)
    store(other).preflight(source, plain)
    store(other).restore(source, plain)
    assert promised(source).differences(store(other).fingerprint(work)) == []
    assert other.names() == ["archon_vectors", "empty"]
    assert list(work.scratch.iterdir()) == []


def test_without_a_portable_copy_the_refusal_names_the_way(start: Callable[..., StoreServer], work: Work) -> None:
    plain = replace(work, portable=False)
    source = made_on(backup(fill(start()), plain), "1.7.4")
    other = start("b")
    other.fill("archon_vectors", 5)
    with pytest.raises(VersionMismatch, match=r"made on Qdrant 1\.7\.4, this server is 1\.18\.3") as caught:
        store(other).preflight(source, plain)
    assert "take a backup with portable copies on Qdrant 1.7.4" in str(caught.value)
    assert other.count("archon_vectors") == 5


def test_an_old_server_is_read_by_pages_and_goes_onto_a_new_one(start: Callable[..., StoreServer], work: Work) -> None:
    old, new = fill(start("old", version="1.7.4")), start("new")
    source = backup(old, work)
    assert source.one("qdrant-portable/archon_vectors").details["source"] == "scroll"
    store(new).restore(source, replace(work, portable=False))
    assert promised(source).differences(store(new).fingerprint(work)) == []


def test_an_old_server_that_is_written_to_reads_its_own_snapshot(start: Callable[..., StoreServer], work: Work) -> None:
    old = fill(start("old", version="1.7.4"))
    written = iter([True])

    def write(progress: Progress) -> None:
        if progress.step.startswith("download") and next(written, False):
            old.fill_more("archon_vectors", 9999, 16)

    source = backup(old, replace(work, report=write))
    portable = source.one("qdrant-portable/archon_vectors")
    assert portable.details["source"] == "snapshot"
    assert portable.counts == {"archon_vectors": 300}
    assert old.names() == ["archon_vectors", "empty"]
    assert old.snapshot_files == []


def test_a_copy_that_cannot_be_made_is_named_in_the_manifest_and_the_backup_goes_on(
    start: Callable[..., StoreServer], work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = fill(start("old", version="1.7.4"))

    def write(progress: Progress) -> None:
        if progress.step.startswith("download archon"):
            old.fill_more("archon_vectors", 9999, 16)

    monkeypatch.setattr("archon_dagster.stores.vectors.portable.exporting.LOADED", 1)
    sink = MemorySink()
    store(old).export(sink, replace(work, report=write))
    assert "qdrant/archon_vectors" in sink.data
    assert "qdrant-portable/archon_vectors" not in sink.data
    assert any("no portable copy of collection archon_vectors" in what for _, what in sink.left_out)


def test_a_server_that_knows_less_says_what_is_not_as_it_was(start: Callable[..., StoreServer], work: Work) -> None:
    source = backup(fill(start()), work)
    source = changed(source, "archon_vectors", {"indexes": {"entity_id": {"type": "hologram"}}})
    heard: list[str] = []
    instead: list[Fingerprint] = []
    other = start("b")
    store(other).restore(source, replace(work, warn=heard.append, expect=instead.append))
    assert len(heard) == 1
    assert "the index of entity_id is missing" in heard[0]
    found = store(other).fingerprint(work)
    assert [parts.parts["archon_vectors/schema"] for parts in instead] == [found.parts["archon_vectors/schema"]]


def test_vectors_a_server_cannot_hold_are_refused_before_anything_is_touched(
    start: Callable[..., StoreServer], work: Work
) -> None:
    source = backup(fill(start()), work)
    config = {"params": {"vectors": {"size": 16, "distance": "Hyperbolic"}}}
    source = changed(source, "archon_vectors", {"config": config})
    other = start("b")
    other.fill("archon_vectors", 5)
    with pytest.raises(VersionMismatch, match="cannot make a collection like archon_vectors"):
        store(other).restore(source, work)
    assert other.names() == ["archon_vectors"]
    assert other.count("archon_vectors") == 5


def changed(source: MemorySource, collection: str, about: dict[str, Any]) -> MemorySource:
    """The portable copy with other words about its collection in it."""
    name = f"qdrant-portable/{collection}"
    file = pq.ParquetFile(io.BytesIO(source.data[name]))
    said = json.loads(file.metadata.metadata[layout.METADATA]) | about
    target = io.BytesIO()
    table = file.read()
    with pq.ParquetWriter(target, table.schema, compression="none", use_dictionary=False, store_schema=False) as to:
        to.add_key_value_metadata({layout.METADATA: json.dumps(said).encode()})
        to.write_table(table)
    source.replace(name, target.getvalue())
    return source


def test_verify_reads_the_portable_copy_whole(start: Callable[..., StoreServer], work: Work) -> None:
    source = backup(fill(start()), work)
    verdicts = {v.artifact: v for v in VectorStore("http://127.0.0.1:1").verify(source, work)}
    assert verdicts["qdrant-portable/archon_vectors"].state == "verified"
    assert verdicts["qdrant-portable/archon_vectors"].counts == {"archon_vectors": 300}


@pytest.mark.parametrize(
    ("damage", "where"),
    [
        (lambda data: data[: len(data) // 2], "its footer"),
        (lambda data: data[:5000] + bytes([data[5000] ^ 1]) + data[5001:], "row group 0"),
        (lambda data: b"", "its beginning"),
    ],
    ids=["truncated", "flipped", "empty"],
)
def test_a_damaged_portable_copy_says_where_and_touches_nothing(
    damage: Callable[[bytes], bytes], where: str, start: Callable[..., StoreServer], work: Work
) -> None:
    server = fill(start())
    source = backup(server, work)
    name = "qdrant-portable/archon_vectors"
    source.replace(name, damage(source.data[name]))
    verdicts = {v.artifact: v for v in store(server).verify(source, work)}
    assert verdicts[name].state == "damaged"
    assert where in verdicts[name].detail
    with pytest.raises(DamagedBackup, match=where):
        store(server).restore(source, work)
    assert server.count("archon_vectors") == 300


def test_a_portable_copy_of_other_points_is_damage(start: Callable[..., StoreServer], work: Work) -> None:
    server = fill(start())
    source, name = backup(server, work), "qdrant-portable/archon_vectors"
    server.fill_more("archon_vectors", 5000, 16)
    source.replace(name, backup(server, work).data[name])
    with pytest.raises(DamagedBackup, match="300 points expected, 301 found"):
        store(server).restore(source, work)


def test_a_cancelled_restore_of_points_stops_and_the_next_one_repairs(
    start: Callable[..., StoreServer], work: Work
) -> None:
    server = start()
    server.fill("archon_vectors", 600, size=512)
    source, cancel = backup(server, work), Cancel()

    def stop(progress: Progress) -> None:
        if progress.step.startswith("restore archon"):
            cancel.set()

    with pytest.raises(Cancelled):
        store(server).restore(source, replace(work, cancel=cancel, report=stop))
    assert cancel.passed < PROMPT
    store(server).restore(source, work)
    assert promised(source).differences(store(server).fingerprint(work)) == []


def test_a_server_that_dies_while_points_are_written_is_named(start: Callable[..., StoreServer], work: Work) -> None:
    server = fill(start())
    source = backup(server, work)

    def die(progress: Progress) -> None:
        if progress.step.startswith("restore archon"):
            server.kill()

    with pytest.raises(StoreUnavailable, match="repairs the collection"):
        VectorStore(server.url, cleanup=1.0).restore(source, replace(work, deadline=3.0, report=die))


def test_a_vector_with_nan_is_named_before_anything_is_touched(start: Callable[..., StoreServer], work: Work) -> None:
    server = fill(start())
    source, name = backup(server, work), "qdrant-portable/archon_vectors"
    ((first, *_), *_rest) = rows(source, "archon_vectors", work.scratch)
    source.replace(name, unsound(source.data[name]))
    with pytest.raises(StoreError, match=f"point {first} has NaN or infinity"):
        store(server).restore(source, work)
    assert server.count("archon_vectors") == 300


def unsound(data: bytes) -> bytes:
    """The same file with a NaN as the very first number of a vector."""
    file, target = io.BytesIO(data), io.BytesIO()
    with pq.ParquetFile(file) as read:
        table, said = read.read(), read.metadata.metadata
    vectors = table.column("vector").to_pylist()
    vectors[0][0] = float("nan")
    column = pa.array(vectors, table.schema.field("vector").type)
    table = table.set_column(table.schema.get_field_index("vector"), table.schema.field("vector"), column)
    with pq.ParquetWriter(target, table.schema, compression="none", use_dictionary=False, store_schema=False) as to:
        to.add_key_value_metadata({layout.METADATA: said[layout.METADATA]})
        to.write_table(table)
    return target.getvalue()


class Renormalising(OldServer):
    """A server of old: a vector that is normalised already is normalised once more, and moves its last digit."""

    def answer(self, method: str, target: str, body: bytes) -> tuple[int, Any]:
        route = target.partition("?")[0].split("/")[3:]
        if method == "PUT" and route == ["points"]:
            return self._upsert(unquote(target.split("/")[2]), json.loads(body)["points"])
        if method == "POST" and route == ["points"]:
            held = self.collections[unquote(target.split("/")[2])]
            return 200, {"result": [held[number] for number in json.loads(body)["ids"] if number in held]}
        return super().answer(method, target, body)

    def _upsert(self, collection: str, points: list[dict[str, Any]]) -> tuple[int, Any]:
        for point in points:
            moved = [float(numpy.float32(value) * numpy.float32(self.factor)) for value in point["vector"]]
            self.collections[collection][point["id"]] = {"payload": None} | point | {"vector": moved}
        return 200, {"result": {"status": "completed"}}

    factor = 1.0 + 1e-7


@pytest.fixture
def renormalising(tmp_path: Path) -> Iterator[Renormalising]:
    with old_server(snapshot_of("1.7.4", "quality_vectors", tmp_path), Renormalising) as running:
        yield running


def of_length_one(number: int) -> list[float]:
    return [0.0] * number + [0.6, 0.8] + [0.0] * (1534 - number)


def wide(start: Callable[..., StoreServer], work: Work) -> MemorySource:
    server = start()
    server.call("PUT", "/collections/quality_vectors", {"vectors": {"size": 1536, "distance": "Cosine"}})
    points = [{"id": n, "vector": of_length_one(n), "payload": {"n": n}} for n in range(40)]
    server.call("PUT", "/collections/quality_vectors/points?wait=true", {"points": points})
    return backup(server, work)


def test_vectors_a_server_normalises_again_are_compared_with_what_it_holds(
    renormalising: Renormalising, start: Callable[..., StoreServer], work: Work
) -> None:
    source = wide(start, work)
    heard: list[str] = []
    instead: dict[str, Part] = {}
    old = VectorStore(renormalising.url, cleanup=5.0)
    old.restore(source, replace(work, warn=heard.append, expect=lambda found: instead.update(found.parts)))
    assert any("they differ in the last digit" in line for line in heard)
    expected, found = promised(source), old.fingerprint(work)
    assert expected.differences(found) != []
    assert Fingerprint(parts=expected.parts | instead).differences(found) == []


def test_vectors_that_differ_by_more_than_that_are_an_error(
    renormalising: Renormalising, start: Callable[..., StoreServer], work: Work
) -> None:
    source = wide(start, work)
    renormalising.factor = 1.01
    with pytest.raises(StoreError, match="is not what was sent"):
        VectorStore(renormalising.url, cleanup=5.0).restore(source, work)


@pytest.fixture
def platforms(
    tmp_path: Path, start: Callable[..., StoreServer], monkeypatch: pytest.MonkeyPatch
) -> tuple[OperationContext, OperationContext, StoreServer]:
    """One repository; the platform on a Qdrant of old, and the same on a new one."""
    monkeypatch.setattr("archon_dagster.restore.restore.wait_until_ready", lambda *_, **__: {})
    old, new = fill(start("old", version="1.7.4")), start("new")
    double = Platform(tmp_path / "platform")
    contexts = [replace(double.context, stores=double.stores | {"vectors": store(server)}) for server in (old, new)]
    return contexts[0], contexts[1], new


def test_a_backup_of_an_old_server_is_restored_onto_a_new_one_without_being_asked(
    platforms: tuple[OperationContext, OperationContext, StoreServer],
) -> None:
    old, new, server = platforms
    made = take_backup(old, BackupRequest(quiesce=False))
    assert made.good, made.checks
    result = restore_backup(new, RestoreRequest(made.manifest.id, "RESTORE", ("vectors",)))
    assert result.before["vectors"].differences(result.after["vectors"]) == []
    assert server.names() == ["archon_vectors", "empty"]


def test_without_portable_copies_such_a_restore_is_refused_and_says_what_to_do(
    platforms: tuple[OperationContext, OperationContext, StoreServer],
) -> None:
    old, new, server = platforms
    made = take_backup(old, BackupRequest(quiesce=False, portable=False))
    server.fill("archon_vectors", 5)
    with pytest.raises(VersionMismatch, match=r"take a backup with portable copies on Qdrant 1\.7\.4"):
        restore_backup(new, RestoreRequest(made.manifest.id, "RESTORE", ("vectors",)))
    assert server.count("archon_vectors") == 5
