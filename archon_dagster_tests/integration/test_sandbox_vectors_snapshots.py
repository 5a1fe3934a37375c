"""Snapshots: the real server's layout, consistent, reproducible, and loadable both ways."""

import hashlib
import io
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import qdrant_edge

from archon_dagster.sandbox.vectors import packing
from archon_dagster_tests.integration.vector_server import VectorServer, running, upload, wait_until
from archon_dagster_tests.integration.vector_transcript import DATA
from archon_dagster_tests.recorded import larger

pytestmark = pytest.mark.sandbox

REAL = DATA / "v1.18.3" / "snapshots"
DIMENSION = 16


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VectorServer]:
    with running(tmp_path_factory.mktemp("snapshots")) as started:
        yield started


@pytest.fixture
def client(server: VectorServer) -> Iterator[httpx.Client]:
    with server.http() as connected:
        yield connected


def points(first: int, count: int) -> dict[str, object]:
    numbers = range(first, first + count)
    return {
        "points": [{"id": n, "vector": [n + k / 7 for k in range(DIMENSION)], "payload": {"n": n}} for n in numbers]
    }


def filled(client: httpx.Client, name: str, count: int = 50) -> str:
    client.delete(f"/collections/{name}")
    created = client.put(f"/collections/{name}", json={"vectors": {"size": DIMENSION, "distance": "Dot"}})
    assert created.status_code == 200, created.text
    assert client.put(f"/collections/{name}/points?wait=true", json=points(0, count)).status_code == 200
    return name


def taken(client: httpx.Client, name: str) -> bytes:
    made = client.post(f"/collections/{name}/snapshots?wait=true").json()["result"]
    content = client.get(f"/collections/{name}/snapshots/{made['name']}").content
    assert (len(content), hashlib.sha256(content).hexdigest()) == (made["size"], made["checksum"])
    return content


def counted(client: httpx.Client, name: str) -> int:
    answer = client.post(f"/collections/{name}/points/count", json={"exact": True})
    assert answer.status_code == 200, answer.text
    return int(answer.json()["result"]["count"])


def members(content: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as tar:
        return {member.name: member for member in tar}


def test_members_are_those_of_a_real_snapshot(client: httpx.Client) -> None:
    ours = members(taken(client, filled(client, "layout")))
    real = members((REAL / "named.snapshot").read_bytes())
    optional = {"0/newest_clocks.json"}
    assert {name for name in ours if "/segments/" not in name} == {
        name for name in real if "/segments/" not in name
    } - optional
    assert [name for name in ours if name.startswith("0/segments/") and name.endswith(".tar")]


def test_preallocated_files_take_no_room(client: httpx.Client) -> None:
    content = taken(client, filled(client, "sparse"))
    wal = members(content)["0/wal/open-1"]
    assert wal.size == 32 * 1024 * 1024
    assert len(content) < 1024 * 1024


def test_the_archive_ends_as_tar_demands(client: httpx.Client) -> None:
    content = taken(client, filled(client, "ending"))
    assert content[-1024:] == bytes(1024)
    assert len(content) % 512 == 0


def test_an_unchanged_collection_gives_the_same_bytes(client: httpx.Client) -> None:
    name = filled(client, "same")
    assert taken(client, name) == taken(client, name)


def test_the_offline_engine_loads_a_snapshot(client: httpx.Client, tmp_path: Path) -> None:
    archive = tmp_path / "ours.snapshot"
    archive.write_bytes(taken(client, filled(client, "offline", 321)))
    packing.unpack(archive, tmp_path / "unpacked")
    shard = qdrant_edge.EdgeShard.load(str(tmp_path / "unpacked" / "0"))
    try:
        assert shard.count(qdrant_edge.CountRequest(exact=True)) == 321
    finally:
        shard.close()


@pytest.mark.parametrize(("name", "count"), [("generous", 600), ("named", 21), ("quality_vectors", 0)])
def test_snapshots_of_a_real_server_are_restored(client: httpx.Client, name: str, count: int) -> None:
    answer = upload(client, f"real_{name}", (REAL / f"{name}.snapshot").read_bytes())
    assert (answer.status_code, counted(client, f"real_{name}")) == (200, count)


@pytest.mark.parametrize(
    ("name", "count"),
    [("archon_vectors", 237), ("code_generation_patterns", 300), ("incremental-4-one-percent-added", 4040)],
)
def test_larger_snapshots_of_a_real_server_are_restored(client: httpx.Client, name: str, count: int) -> None:
    snapshot = larger() / "qdrant/v1.18.3/snapshots" / f"{name}.snapshot"
    answer = upload(client, f"large_{name}", snapshot.read_bytes())
    assert (answer.status_code, counted(client, f"large_{name}")) == (200, count)


def test_writes_after_a_restore_are_kept(client: httpx.Client, server: VectorServer) -> None:
    """Operation numbers must go on where the snapshot's segments ended, or the engine drops new writes as old."""
    upload(client, "goes_on", (REAL / "generous.snapshot").read_bytes())
    vector = [0.5] * 32
    body = {"points": [{"id": 5_000_000, "vector": vector}, {"id": 0, "vector": vector, "payload": {"new": 1}}]}
    assert client.put("/collections/goes_on/points?wait=true", json=body).status_code == 200
    assert counted(client, "goes_on") == 601
    assert client.get("/collections/goes_on/points/0").json()["result"]["payload"] == {"new": 1}


def test_a_restored_copy_of_a_copy_is_complete(client: httpx.Client) -> None:
    upload(client, "first_copy", (REAL / "named.snapshot").read_bytes())
    upload(client, "second_copy", taken(client, "first_copy"))
    pages = [
        client.post(f"/collections/{name}/points/scroll", json={"limit": 100, "with_vector": True}).json()["result"]
        for name in ("first_copy", "second_copy")
    ]
    assert pages[0] == pages[1]
    assert len(pages[0]["points"]) == 21


def test_a_snapshot_taken_while_a_writer_runs_is_a_prefix_of_what_it_wrote(
    client: httpx.Client, server: VectorServer
) -> None:
    name, batch = filled(client, "busy", 20), 20
    stop, written = threading.Event(), [20]

    def write() -> None:
        with server.http() as writer:
            while not stop.is_set():
                assert writer.put(f"/collections/{name}/points?wait=true", json=points(written[0], batch)).is_success
                written[0] += batch

    writer = threading.Thread(target=write)
    writer.start()
    try:
        wait_until(lambda: written[0] > 200, what="some batches")
        content = taken(client, name)
    finally:
        stop.set()
        writer.join()
    upload(client, "busy_copy", content)
    page = client.post("/collections/busy_copy/points/scroll", json={"limit": 100_000, "with_payload": False}).json()
    ids = [point["id"] for point in page["result"]["points"]]
    assert ids == list(range(len(ids)))
    assert len(ids) % batch == 0
    assert 200 < len(ids) <= written[0]


def test_the_server_answers_while_a_snapshot_is_taken(client: httpx.Client, server: VectorServer) -> None:
    name = filled(client, "slow", 2000)
    done = threading.Event()

    def snapshot() -> None:
        with server.http() as other:
            for _ in range(5):
                other.post(f"/collections/{name}/snapshots?wait=true")
        done.set()

    thread = threading.Thread(target=snapshot)
    thread.start()
    answers = []
    while not done.is_set():
        answers.append(client.get("/healthz").elapsed.total_seconds())
    thread.join()
    assert max(answers) < 1.0


def test_two_snapshots_within_a_second_are_one(client: httpx.Client) -> None:
    name = filled(client, "collides", 1)

    def names_of_two() -> set[str]:
        made = [client.post(f"/collections/{name}/snapshots?wait=true").json()["result"]["name"] for _ in range(2)]
        return {*made}

    one = wait_until(lambda: (found := names_of_two()) and len(found) == 1 and found, what="two in one second")
    listed = [entry["name"] for entry in client.get(f"/collections/{name}/snapshots").json()["result"]]
    assert sorted(set(listed)) == sorted(listed)
    assert one <= set(listed)


def test_an_upload_to_an_alias_restores_the_collection_behind_it(client: httpx.Client) -> None:
    name = filled(client, "behind", 10)
    content = taken(client, name)
    action = {"create_alias": {"collection_name": name, "alias_name": "front"}}
    client.post("/collections/aliases", json={"actions": [action]})
    client.post(f"/collections/{name}/points/delete?wait=true", json={"points": [1, 2, 3]})
    assert upload(client, "front", content).status_code == 200
    assert counted(client, name) == 10
    assert "front" not in [one["name"] for one in client.get("/collections").json()["result"]["collections"]]


def test_payload_indexes_come_back_with_a_snapshot(client: httpx.Client) -> None:
    name = filled(client, "indexed", 10)
    client.put(f"/collections/{name}/index?wait=true", json={"field_name": "n", "field_schema": "integer"})
    upload(client, "indexed_copy", taken(client, name))
    schema = client.get("/collections/indexed_copy").json()["result"]["payload_schema"]
    assert schema == {"n": {"data_type": "integer", "points": 10}}
