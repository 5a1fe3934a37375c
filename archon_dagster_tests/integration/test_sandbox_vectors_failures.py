"""The sandbox's vector server fails the way the real one was measured to fail."""

import io
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from archon_dagster.sandbox.vectors import tarball
from archon_dagster_tests.integration.vector_server import VectorServer, running, upload, wait_until
from archon_dagster_tests.integration.vector_transcript import DATA

pytestmark = pytest.mark.sandbox

GOOD = (DATA / "v1.18.3" / "snapshots" / "generous.snapshot").read_bytes()
OTHER = (DATA / "v1.18.3" / "snapshots" / "named.snapshot").read_bytes()
COUNT = 600
GARBAGE = b"garbage"

Change = Callable[[str, bytes], bytes | None]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VectorServer]:
    with running(tmp_path_factory.mktemp("failures")) as started:
        yield started


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[VectorServer]:
    """One that a test may leave in any state."""
    with running(tmp_path / "own") as started, started.http() as connected:
        assert upload(connected, "live", GOOD).status_code == 200
        yield started


@pytest.fixture
def client(server: VectorServer) -> Iterator[httpx.Client]:
    """A server with two collections of known content, ``live`` and ``bystander``."""
    with server.http() as connected:
        assert upload(connected, "live", GOOD).status_code == 200
        assert upload(connected, "bystander", OTHER).status_code == 200
        yield connected


def count(client: httpx.Client, name: str) -> httpx.Response:
    return client.post(f"/collections/{name}/points/count", json={"exact": True})


def counted(client: httpx.Client, name: str) -> int:
    answer = count(client, name)
    assert answer.status_code == 200, answer.text
    return int(answer.json()["result"]["count"])


def rewritten(snapshot: bytes, change: Change) -> bytes:
    """A snapshot with some members changed, or left out where ``change`` gives ``None``; nested tars included.

    Members that stay as they are keep their raw bytes, holes and all.
    """
    target = io.BytesIO()
    writer = tarball.TarWriter(target)
    with tarfile.open(fileobj=io.BytesIO(snapshot), mode="r:") as tar:
        found = tar.getmembers()
        ends = [*(member.offset for member in found[1:]), tar.offset]
    for member, end in zip(found, ends, strict=True):
        raw = snapshot[member.offset : end]
        content = raw[512 : 512 + member.size]
        nested = member.name.startswith("0/segments/")
        new = rewritten(content, change) if nested else change(member.name, content)
        if new == content:
            target.write(raw)
        elif new is not None:
            writer.add_bytes(member.name, new)
    writer.close()
    return target.getvalue()


def broken(*names: str) -> bytes:
    """The good snapshot with some of its files overwritten by a few bytes."""
    return rewritten(GOOD, lambda name, content: GARBAGE if name.endswith(names) else content)


def assert_dead(client: httpx.Client, name: str) -> None:
    answers = [
        count(client, name),
        client.post(f"/collections/{name}/points/scroll", json={}),
        client.get(f"/collections/{name}"),
    ]
    assert [answer.status_code for answer in answers] == [500, 500, 500]
    assert all(answer.json()["status"]["error"] for answer in answers)


def assert_looks_healthy(client: httpx.Client) -> None:
    assert client.get("/readyz").text == "all shards are ready"
    assert client.get("/healthz").status_code == 200
    listed = {one["name"] for one in client.get("/collections").json()["result"]["collections"]}
    assert listed >= {"live", "bystander"}
    assert counted(client, "bystander") == 21


def test_the_rewritten_snapshot_is_good_where_nothing_was_changed(client: httpx.Client) -> None:
    assert upload(client, "live", rewritten(GOOD, lambda name, content: content)).status_code == 200
    assert counted(client, "live") == COUNT


DEADLY = ["segment.json", "id_tracker.mappings", "id_tracker.versions", "payload_storage/page_0.dat", "wal/open-1"]


@pytest.mark.parametrize("name", DEADLY)
def test_a_broken_segment_kills_the_live_collection_behind_a_happy_readyz(client: httpx.Client, name: str) -> None:
    assert upload(client, "live", broken(name)).status_code == 500
    assert_dead(client, "live")
    assert_looks_healthy(client)


def test_a_dead_collection_is_still_dead_after_a_restart(client: httpx.Client, server: VectorServer) -> None:
    upload(client, "live", broken("segment.json"))
    server.terminate()
    server.start()
    with server.http() as again:
        assert_dead(again, "live")
        assert "Dirty shard" in count(again, "live").json()["status"]["error"]
        assert_looks_healthy(again)


def test_a_good_snapshot_repairs_a_dead_collection(client: httpx.Client) -> None:
    upload(client, "live", broken("segment.json"))
    assert upload(client, "live", GOOD).status_code == 200
    assert counted(client, "live") == COUNT


def test_a_dead_collection_can_be_deleted(client: httpx.Client) -> None:
    upload(client, "live", broken("segment.json"))
    assert client.delete("/collections/live").json()["result"] is True
    assert count(client, "live").status_code == 404


def without(prefix: str) -> bytes:
    return rewritten(GOOD, lambda name, content: None if name.startswith(prefix) else content)


HARMLESS = {
    "broken config.json": lambda: rewritten(GOOD, lambda name, content: GARBAGE if name == "config.json" else content),
    "broken shard_config.json": lambda: broken("shard_config.json"),
    "broken replica_state.json": lambda: broken("replica_state.json"),
    "truncated": lambda: GOOD[: len(GOOD) // 2],
    "truncated to one block": lambda: GOOD[:512],
    "garbage": lambda: b"not a tar",
    "empty": lambda: b"",
    "without a log": lambda: without("0/wal/"),
}


@pytest.mark.parametrize("kind", HARMLESS)
def test_a_snapshot_that_is_refused_at_once_leaves_the_live_data_alone(client: httpx.Client, kind: str) -> None:
    answer = upload(client, "live", HARMLESS[kind]())
    assert answer.status_code in (400, 500)
    assert answer.json()["status"]["error"]
    assert counted(client, "live") == COUNT


def test_a_snapshot_without_a_log_is_refused_in_the_servers_words(client: httpx.Client) -> None:
    answer = upload(client, "live", without("0/wal/"))
    assert answer.status_code == 400
    assert "expected Some(ManualRecovery)" in answer.json()["status"]["error"]


def test_a_wrong_checksum_leaves_live_data_and_no_file(client: httpx.Client) -> None:
    before = client.get("/collections/live/snapshots").json()["result"]
    answer = upload(client, "live", GOOD, f"wait=true&checksum={'0' * 64}")
    assert answer.status_code == 400
    assert counted(client, "live") == COUNT
    assert client.get("/collections/live/snapshots").json()["result"] == before


def test_an_upload_leaves_its_file_on_the_server(client: httpx.Client) -> None:
    listed = client.get("/collections/live/snapshots").json()["result"]
    assert [(one["name"], one["size"], "checksum" in one) for one in listed] == [("s.snapshot", len(GOOD), False)]


def test_a_snapshot_with_other_vectors_is_refused(client: httpx.Client) -> None:
    answer = upload(client, "live", OTHER)
    assert answer.status_code == 400
    assert "Snapshot is not compatible with existing collection" in answer.json()["status"]["error"]
    assert counted(client, "live") == COUNT


def test_a_snapshot_of_another_collection_with_the_same_vectors_replaces_silently(client: httpx.Client) -> None:
    client.put("/collections/twin", json={"vectors": {"size": 32, "distance": "Cosine"}})
    assert upload(client, "twin", GOOD).status_code == 200
    assert counted(client, "twin") == COUNT


def test_broken_vectors_are_accepted_and_only_a_search_shows_it(client: httpx.Client) -> None:
    assert upload(client, "live", broken("matrix.dat")).status_code == 200
    assert counted(client, "live") == COUNT
    assert client.get("/collections/live").json()["result"]["status"] == "green"
    upload(client, "intact", GOOD)
    page = client.post("/collections/intact/points/scroll", json={"limit": 1, "with_vector": True}).json()
    question = {"query": page["result"]["points"][0]["vector"], "limit": 1}
    answers = [client.post(f"/collections/{name}/points/query", json=question) for name in ("intact", "live")]
    assert [len(answer.json()["result"]["points"]) for answer in answers] == [1, 0]


def test_without_waiting_a_failed_restore_looks_accepted(client: httpx.Client) -> None:
    assert upload(client, "live", broken("segment.json"), "wait=false").status_code == 202
    wait_until(lambda: count(client, "live").status_code == 500, what="the collection dies")


def test_a_damaged_segment_on_disk_is_found_at_the_next_start(client: httpx.Client, server: VectorServer) -> None:
    server.terminate()
    for path in (server.storage / "collections" / "live" / "0" / "segments").rglob("segment.json"):
        path.write_bytes(GARBAGE)
    server.start()
    with server.http() as again:
        assert_dead(again, "live")
        assert "Failed to load local shard" in count(again, "live").json()["status"]["error"]
        assert_looks_healthy(again)
        assert upload(again, "live", GOOD).status_code == 200
        assert counted(again, "live") == COUNT


def test_a_damaged_collection_configuration_keeps_the_server_from_starting(
    client: httpx.Client, server: VectorServer
) -> None:
    server.terminate()
    directory = server.storage / "collections" / "live"
    (directory / "config.json").write_bytes(GARBAGE)
    assert server.launch().wait(timeout=20) == 101
    assert "panicked: Can't read collection config" in server.log
    directory.rename(server.root / "aside")
    server.start()
    with server.http() as again:
        assert counted(again, "bystander") == 21


def test_an_emptied_storage_starts_healthy_and_empty(own_server: VectorServer) -> None:
    server = own_server
    server.terminate()
    server.storage.rename(server.root / "lost")
    server.start()
    with server.http() as again:
        assert again.get("/collections").json()["result"]["collections"] == []
        assert again.get("/readyz").status_code == 200


def test_in_recovery_mode_every_collection_is_a_dummy_that_takes_uploads(
    own_server: VectorServer,
) -> None:
    server = own_server
    server.terminate()
    server.environment = {"QDRANT__STORAGE__RECOVERY_MODE": "out of memory"}
    server.start()
    with server.http() as again:
        assert "out of memory" in count(again, "live").json()["status"]["error"]
        assert upload(again, "live", GOOD).status_code == 200
