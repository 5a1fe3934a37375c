"""The vectors store against a running server."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from archon_dagster.errors import Cancelled, DamagedBackup, StoreError, StoreUnavailable, VersionMismatch
from archon_dagster.repository.manifest import Fingerprint
from archon_dagster.stores.base import Progress, Work
from archon_dagster.stores.vectors import engine, loading
from archon_dagster.stores.vectors.client import Client
from archon_dagster.stores.vectors.loading import Candidate
from archon_dagster.stores.vectors.snapshot import Contents
from archon_dagster.stores.vectors.store import VectorStore
from archon_dagster.stores.vectors.transport import Transport
from archon_dagster.stores.vectors.version import Version
from archon_dagster_tests.artifacts import MemorySink, MemorySource
from archon_dagster_tests.eventually import eventually
from archon_dagster_tests.integration.store_server import DEADLINE, StoreServer
from archon_dagster_tests.prompt import PROMPT, Cancel

pytestmark = pytest.mark.sandbox
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
def server(start: Callable[..., StoreServer]) -> StoreServer:
    return start()


@pytest.fixture
def work(tmp_path: Path) -> Work:
    (tmp_path / "scratch").mkdir()
    return Work(scratch=tmp_path / "scratch", deadline=60.0)


@pytest.fixture
def filled(server: StoreServer) -> StoreServer:
    server.fill("archon_vectors", 300, size=16)
    server.fill("quality_vectors", 0)
    index = {"field_name": "entity_id", "field_schema": "keyword"}
    server.call("PUT", "/collections/archon_vectors/index?wait=true", index)
    alias = {"collection_name": "archon_vectors", "alias_name": "live"}
    server.call("POST", "/collections/aliases", {"actions": [{"create_alias": alias}]})
    return server


def store(server: StoreServer, **options: object) -> VectorStore:
    return VectorStore(server.url, server.key or None, cleanup=20.0, **options)  # type: ignore[arg-type]


def backup(server: StoreServer, work: Work, **options: object) -> MemorySource:
    sink = MemorySink()
    store(server, **options).export(sink, work)
    return sink.source(vectors=f"qdrant {server.version}")


def promised(source: MemorySource) -> Fingerprint:
    """What a restored server must look like, as the manifest has it."""
    return Fingerprint(
        parts={name: p for a in source.items if a.fingerprint for name, p in a.fingerprint.parts.items()}
    )


def readable(server: StoreServer) -> bool:
    """Whether the engine reads what this server writes: old real ones are not verifiable here."""
    return engine.knows(Version.parse(store(server).describe().version))


def digests(server: StoreServer, work: Work, **options: object) -> dict[str, str]:
    return {name: part.digest for name, part in store(server, **options).fingerprint(work).parts.items()}


def test_the_fingerprint_of_the_artifacts_is_that_of_the_live_server(filled: StoreServer, work: Work) -> None:
    source = backup(filled, work)
    assert promised(source).differences(store(filled).fingerprint(work)) == []
    sources = {a.details["fingerprint_source"] for a in source.items if a.kind == "collection-snapshot"}
    assert all(told.startswith("artifact" if readable(filled) else "live") for told in sources)


def test_an_export_says_when_the_writers_may_go_on_and_leaves_nothing_on_the_server(
    filled: StoreServer, work: Work
) -> None:
    on_server: list[list[str]] = []
    sink = MemorySink()
    store(filled).export(sink, replace(work, captured=lambda: on_server.append(filled.snapshot_files)))
    assert [len(files) for files in on_server] == [2]
    assert filled.snapshot_files == []
    assert list(work.scratch.iterdir()) == []
    assert sink.cuts["qdrant/archon_vectors"] == "tar"


def test_an_export_tells_what_its_parts_took(filled: StoreServer, work: Work) -> None:
    parts: dict[str, float] = {}

    def took(part: str, seconds: float) -> None:
        parts[part] = parts.get(part, 0.0) + seconds

    begun = time.monotonic()
    store(filled).export(MemorySink(), replace(work, portable=True, took=took))
    assert parts.keys() == {"snapshots on the server", "transfer", "chunking", "fingerprint", "portable copy"}
    assert all(seconds > 0 for seconds in parts.values())
    assert sum(parts.values()) <= time.monotonic() - begun


def test_an_emptied_server_gets_back_everything_with_aliases_and_indexes(
    filled: StoreServer, start: Callable[..., StoreServer], work: Work
) -> None:
    source, before = backup(filled, work), digests(filled, work)
    other = start("b")
    other.fill("extra", 10)
    store(other).restore(source, work)
    assert digests(other, work) == before
    assert other.names() == ["archon_vectors", "quality_vectors"]
    assert other.snapshot_files == []


def test_a_live_collection_is_put_back_to_what_the_backup_holds(filled: StoreServer, work: Work) -> None:
    source, before = backup(filled, work), digests(filled, work)
    filled.call("POST", "/collections/archon_vectors/points/delete?wait=true",
                {"filter": {"must": [{"key": "flag", "match": {"value": True}}]}})  # fmt: skip
    filled.call("DELETE", "/collections/archon_vectors/index/entity_id?wait=true")
    filled.call("PUT", "/collections/archon_vectors/index?wait=true", {"field_name": "score", "field_schema": "float"})
    filled.call("POST", "/collections/aliases", {"actions": [
        {"delete_alias": {"alias_name": "live"}},
        {"create_alias": {"alias_name": "wrong", "collection_name": "quality_vectors"}}]})  # fmt: skip
    assert digests(filled, work) != before
    store(filled).restore(source, work)
    assert digests(filled, work) == before


def test_a_collection_of_other_dimensions_is_replaced(filled: StoreServer, work: Work) -> None:
    source, before = backup(filled, work), digests(filled, work)
    filled.call("DELETE", "/collections/archon_vectors")
    filled.fill("archon_vectors", 5, size=4)
    store(filled).restore(source, work)
    assert digests(filled, work) == before


def test_an_alias_in_the_place_of_a_collection_does_not_redirect_the_restore(filled: StoreServer, work: Work) -> None:
    source, before = backup(filled, work), digests(filled, work)
    filled.call("DELETE", "/collections/quality_vectors")
    filled.call("POST", "/collections/aliases", {"actions": [
        {"create_alias": {"alias_name": "quality_vectors", "collection_name": "archon_vectors"}}]})  # fmt: skip
    store(filled).restore(source, work)
    assert digests(filled, work) == before


def test_an_empty_server_can_be_backed_up_and_restored(server: StoreServer, work: Work) -> None:
    source = backup(server, work)
    server.fill("later", 3)
    store(server).restore(source, work)
    assert server.names() == []
    assert [a.name for a in source.items] == ["qdrant/collections"]


def test_a_large_collection_is_compared_by_count_and_sample(server: StoreServer, work: Work) -> None:
    server.fill("archon_vectors", 500)
    source = backup(server, work)
    found = store(server, live_limit=10).fingerprint(work)
    assert found.scope == "sample"
    artifact = source.one("qdrant/archon_vectors")
    assert artifact.fingerprint is not None
    part = found.parts["archon_vectors/points"]
    assert part.count == 500
    assert part.sample_count
    assert part.sample_digest == artifact.fingerprint.parts["archon_vectors/points"].sample_digest


def test_verify_tells_verified_from_damaged(filled: StoreServer, work: Work) -> None:
    source = backup(filled, work)
    good = "verified" if readable(filled) else "not verifiable here"
    assert {v.artifact: v.state for v in store(filled).verify(source, work)} == {
        "qdrant/archon_vectors": good, "qdrant/quality_vectors": good, "qdrant/collections": "verified",
    }  # fmt: skip
    source.replace("qdrant/archon_vectors", source.data["qdrant/archon_vectors"][:-2048])
    states = {v.artifact: v.state for v in store(filled).verify(source, work)}
    assert states["qdrant/archon_vectors"] == "damaged"


def test_a_damaged_snapshot_never_touches_the_live_collection(filled: StoreServer, work: Work) -> None:
    source, before = backup(filled, work), digests(filled, work)
    source.replace("qdrant/archon_vectors", source.data["qdrant/quality_vectors"])
    with pytest.raises(DamagedBackup, match="nothing was touched"):
        store(filled).restore(source, work)
    assert digests(filled, work) == before
    assert filled.snapshot_files == []


def test_versions_that_do_not_go_together_are_refused_before_a_byte_is_sent(
    filled: StoreServer, start: Callable[..., StoreServer], work: Work
) -> None:
    source = backup(filled, work)
    newer = start("b", version="1.20.0")
    newer.fill("archon_vectors", 5)
    with pytest.raises(VersionMismatch, match=r"made on Qdrant 1\.18\.3, this server is 1\.20\.0"):
        store(newer).restore(source, work)
    assert newer.count("archon_vectors") == 5


def test_a_trial_load_may_decide_instead(filled: StoreServer, start: Callable[..., StoreServer], work: Work) -> None:
    source, before = backup(filled, work), digests(filled, work)
    newer = start("b", version="1.20.0")
    store(newer, trial_load=True).restore(source, work)
    assert digests(newer, work) == before
    assert newer.names() == ["archon_vectors", "quality_vectors"]
    assert newer.snapshot_files == []


def test_an_old_server_is_fingerprinted_live_while_nothing_is_written(
    start: Callable[..., StoreServer], work: Work
) -> None:
    old = start("old", version="1.7.4")
    old.fill("archon_vectors", 50)
    source = backup(old, work)
    artifact = source.one("qdrant/archon_vectors")
    assert artifact.fingerprint is not None
    assert artifact.details["fingerprint_source"].startswith("live")
    expected = artifact.fingerprint.parts["archon_vectors/points"]
    assert expected.digest == digests(old, work)["archon_vectors/points"]


def test_a_dead_collection_fails_the_export_by_name(filled: StoreServer, work: Work) -> None:
    kill_collection(filled, "quality_vectors")
    description = store(filled).describe()
    assert list(description.details["dead"]) == ["quality_vectors"]
    assert description.counts == {"archon_vectors": 300}
    with pytest.raises(StoreError, match="quality_vectors"):
        store(filled).export(MemorySink(), work)
    assert filled.snapshot_files == []


def test_restoring_repairs_a_dead_collection(filled: StoreServer, work: Work) -> None:
    source, before = backup(filled, work), digests(filled, work)
    kill_collection(filled, "archon_vectors")
    store(filled).restore(source, work)
    assert digests(filled, work) == before


def kill_collection(server: StoreServer, collection: str) -> None:
    """Overwrite its segments' state and start the server again, as a broken disk would."""
    server.kill()
    broken = list((server.storage / "collections" / collection).rglob("segment.json"))
    assert broken
    for file in broken:
        file.write_text("garbage")
    server.start()


def test_a_cancel_while_downloading_removes_the_server_side_files(filled: StoreServer, work: Work) -> None:
    cancel = threading.Event()

    def stop(progress: Progress) -> None:
        if progress.step.startswith("download"):
            cancel.set()

    with pytest.raises(Cancelled):
        store(filled).export(MemorySink(), replace(work, cancel=cancel, report=stop))
    assert filled.snapshot_files == []
    assert list(work.scratch.iterdir()) == []


def test_a_server_that_dies_and_comes_back_is_cleaned_up(filled: StoreServer, work: Work) -> None:
    def die() -> None:
        filled.kill()
        threading.Timer(2.0, filled.start).start()

    sink = MemorySink()
    store(filled).export(sink, replace(work, captured=die))
    assert len(sink.artifacts) == 3
    assert filled.snapshot_files == []


def test_a_server_that_stays_dead_is_reported_with_what_it_keeps(filled: StoreServer, work: Work) -> None:
    with pytest.raises(StoreUnavailable) as caught:
        VectorStore(filled.url, cleanup=1.0).export(
            MemorySink(), replace(work, deadline=2.0, captured=filled.kill)
        )  # fmt: skip
    for name in filled.snapshot_files:
        assert name in str(caught.value)


def test_the_next_export_removes_what_a_killed_run_left(filled: StoreServer, work: Work, tmp_path: Path) -> None:
    ledger = tmp_path / "home" / "snapshots.json"
    with pytest.raises(StoreUnavailable):
        VectorStore(filled.url, cleanup=1.0, ledger=ledger).export(
            MemorySink(), replace(work, deadline=2.0, captured=filled.kill)
        )  # fmt: skip
    assert filled.snapshot_files
    filled.start()
    backup(filled, work, ledger=ledger)
    assert filled.snapshot_files == []


def test_a_frozen_server_does_not_hold_up_a_cancel(filled: StoreServer, work: Work) -> None:
    cancel = Cancel()
    filled.freeze()
    threading.Timer(0.5, cancel.set).start()
    with pytest.raises(Cancelled):
        store(filled).fingerprint(replace(work, cancel=cancel))
    assert cancel.passed < PROMPT
    filled.thaw()


def test_a_key_is_sent_and_never_shown(start: Callable[..., StoreServer], work: Work) -> None:
    guarded = start("k", key="s3cret-key")
    guarded.fill("archon_vectors", 3)
    assert store(guarded).describe().counts == {"archon_vectors": 3}
    assert "s3cret" not in repr(store(guarded))
    with pytest.raises(StoreError, match="QDRANT_API_KEY") as caught:
        VectorStore(guarded.url, "wr0ng-key").describe()
    assert "wr0ng" not in str(caught.value)


def test_odd_names_survive(server: StoreServer, work: Work) -> None:
    server.fill("collections", 3)
    server.fill("odd name+100%", 4)
    source, before = backup(server, work), digests(server, work)
    for name in server.names():
        server.call("DELETE", f"/collections/{name}")
    store(server).restore(source, work)
    assert digests(server, work) == before


def test_a_backup_of_chosen_collections_leaves_the_others_alone(filled: StoreServer, work: Work) -> None:
    source = backup(filled, work, collections=["archon_vectors"])
    filled.fill("other", 2)
    store(filled).restore(source, work)
    assert filled.names() == ["archon_vectors", "other", "quality_vectors"]


def test_writers_that_keep_writing_do_not_break_a_backup(filled: StoreServer, work: Work) -> None:
    stop = threading.Event()

    def write() -> None:
        number = 10_000
        while not stop.is_set():
            filled.fill_more("archon_vectors", number, 16)
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        eventually(lambda: filled.count("archon_vectors") > 305, DEADLINE)
        source = backup(filled, work)
    finally:
        stop.set()
        writer.join()
    assert "damaged" not in {v.state for v in store(filled).verify(source, work)}
    store(filled).restore(source, work)
    assert promised(source).differences(store(filled).fingerprint(work)) == []


def test_a_server_that_dies_while_restoring_is_named_and_the_next_restore_repairs_it(
    filled: StoreServer, work: Work
) -> None:
    source, before = backup(filled, work), digests(filled, work)

    def die(progress: Progress) -> None:
        if progress.step.startswith("restore "):
            filled.kill()

    with pytest.raises(StoreUnavailable, match="repairs the collection"):
        VectorStore(filled.url, cleanup=1.0).restore(source, replace(work, deadline=3.0, report=die))
    filled.start()
    store(filled).restore(source, work)
    assert digests(filled, work) == before
    assert filled.snapshot_files == []


def test_a_cancelled_restore_leaves_no_file_on_the_server(filled: StoreServer, work: Work) -> None:
    source = backup(filled, work)
    cancel = threading.Event()

    def stop(progress: Progress) -> None:
        if progress.step.startswith("restore "):
            cancel.set()

    with pytest.raises(Cancelled):
        store(filled).restore(source, replace(work, cancel=cancel, report=stop))
    assert filled.snapshot_files == []


def test_a_server_without_room_is_refused_before_anything_is_made(filled: StoreServer, work: Work) -> None:
    with pytest.raises(StoreError, match="MiB free"):
        store(filled, free_space=lambda: 1).export(MemorySink(), work)
    assert filled.snapshot_files == []


def test_what_a_killed_restore_left_is_removed_by_the_next(filled: StoreServer, work: Work) -> None:
    source = backup(filled, work)
    filled.fill("archon_vectors__archon_trial_0123abcd", 2)
    assert "archon_vectors__archon_trial_0123abcd" not in store(filled).describe().counts
    store(filled).restore(source, work)
    assert filled.names() == ["archon_vectors", "quality_vectors"]


def test_a_refused_upload_to_a_new_name_leaves_neither_file_nor_collection(server: StoreServer, work: Work) -> None:
    file = work.scratch / "garbage"
    file.write_bytes(b"garbage")
    contents = Contents(config={}, indexes={}, shards=("0",), remote_shards=(), rocksdb=False)
    with Transport(server.url, None) as transport, pytest.raises(StoreError, match="nothing was touched"):
        loading.trial(Client(transport), Candidate("absent", file, "0" * 64, contents, 0), work, 10.0)
    assert server.names() == []
    assert server.snapshot_files == []


def test_a_live_fingerprint_that_went_stale_is_not_recorded(start: Callable[..., StoreServer], work: Work) -> None:
    old = start("old", version="1.7.4")
    old.fill("archon_vectors", 20)
    number = iter(range(1000, 10_000))

    def write(progress: Progress) -> None:
        if progress.step.startswith("read "):
            old.fill_more("archon_vectors", next(number), 8)

    sink = MemorySink()
    with_writer = replace(work, report=write)
    store(old).export(sink, with_writer)
    details = sink.source().one("qdrant/archon_vectors").details
    assert details["fingerprint_source"].startswith(("artifact", "none: the collection was written"))
