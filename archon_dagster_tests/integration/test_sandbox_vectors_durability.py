"""What the sandbox's vector server acknowledged is there after it was killed."""

import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from archon_dagster.sandbox.vectors.collection import PREVIOUS
from archon_dagster_tests.integration.vector_server import VectorServer, running, wait_until

pytestmark = pytest.mark.sandbox

DIMENSION = 32
BATCH = 25


@pytest.fixture
def server(tmp_path: Path) -> Iterator[VectorServer]:
    with running(tmp_path / "server") as started:
        yield started


@pytest.fixture
def client(server: VectorServer) -> Iterator[httpx.Client]:
    with server.http() as connected:
        yield connected


def points(first: int, count: int = BATCH) -> dict[str, object]:
    numbers = range(first, first + count)
    return {"points": [{"id": n, "vector": [(n * 7 + k) % 13 - 6.0 for k in range(DIMENSION)]} for n in numbers]}


def create(client: httpx.Client, **options: object) -> None:
    body = {"vectors": {"size": DIMENSION, "distance": "Dot"}, **options}
    assert client.put("/collections/kept", json=body).status_code == 200


def ids(client: httpx.Client) -> list[int]:
    page = client.post("/collections/kept/points/scroll", json={"limit": 1_000_000, "with_payload": False})
    assert page.status_code == 200, page.text
    return [point["id"] for point in page.json()["result"]["points"]]


def test_every_acknowledged_write_survives_a_kill(client: httpx.Client, server: VectorServer) -> None:
    create(client)
    acknowledged = [0]

    def write() -> None:
        with server.http() as writer:
            try:
                while True:
                    answer = writer.put("/collections/kept/points?wait=true", json=points(acknowledged[0]))
                    assert answer.status_code == 200
                    acknowledged[0] += BATCH
            except httpx.TransportError:
                return  # killed, as planned

    thread = threading.Thread(target=write)
    thread.start()
    wait_until(lambda: acknowledged[0] > 20 * BATCH, what="some writes")
    server.kill()
    thread.join()
    server.start()
    with server.http() as again:
        found = ids(again)
    assert found == list(range(len(found)))
    assert acknowledged[0] <= len(found) <= acknowledged[0] + BATCH


def test_everything_beside_the_points_survives_a_kill(client: httpx.Client, server: VectorServer) -> None:
    create(client)
    client.put("/collections/kept/points?wait=true", json=points(0))
    client.put("/collections/kept/index?wait=true", json={"field_name": "n", "field_schema": "keyword"})
    client.patch("/collections/kept", json={"optimizers_config": {"indexing_threshold": 123}})
    action = {"create_alias": {"collection_name": "kept", "alias_name": "alias"}}
    client.post("/collections/aliases", json={"actions": [action]})
    peer = client.get("/collections/kept/cluster").json()["result"]["peer_id"]
    before = client.get("/collections/alias").json()["result"]
    server.kill()
    server.start()
    with server.http() as again:
        assert again.get("/collections/alias").json()["result"] == before
        assert again.get("/collections/kept/cluster").json()["result"]["peer_id"] == peer


def test_deletes_survive_a_kill(client: httpx.Client, server: VectorServer) -> None:
    create(client)
    client.put("/collections/kept/points?wait=true", json=points(0))
    client.post("/collections/kept/points/delete?wait=true", json={"points": [3, 4, 5]})
    server.kill()
    server.start()
    with server.http() as again:
        assert ids(again) == [0, 1, 2, *range(6, BATCH)]


def test_a_refused_write_does_not_keep_the_shard_from_loading(client: httpx.Client, server: VectorServer) -> None:
    """The engine logs an operation before it finds out that it fails; it meets it again at the next start."""
    create(client)
    client.put("/collections/kept/points?wait=true", json=points(0))
    refused = client.post("/collections/kept/points/payload?wait=true", json={"payload": {"a": 1}, "points": [999]})
    assert refused.status_code == 404
    client.put("/collections/kept/points?wait=true", json=points(BATCH))
    server.kill()
    server.start()
    with server.http() as again:
        assert ids(again) == list(range(2 * BATCH))


def test_writes_that_came_while_an_index_was_built_are_in_it(client: httpx.Client, server: VectorServer) -> None:
    create(client, optimizers_config={"indexing_threshold": 1}, hnsw_config={"m": 32, "ef_construct": 400})
    client.put("/collections/kept/points?wait=true", json=points(0, 3000))
    copies = server.storage / "tmp"
    wait_until(lambda: list(copies.glob("optimize-*")), what="a copy that is being optimized")
    client.put("/collections/kept/points?wait=true", json=points(3000))
    client.post("/collections/kept/points/delete?wait=true", json={"points": [0]})
    wait_until(lambda: client.get("/collections/kept").json()["result"]["status"] == "green", what="green")
    assert client.get("/collections/kept").json()["result"]["indexed_vectors_count"] > 0
    server.kill()
    server.start()
    with server.http() as again:
        assert ids(again) == list(range(1, 3000 + BATCH))


def test_a_kill_between_the_two_renames_of_an_optimized_shard_loses_nothing(
    client: httpx.Client, server: VectorServer
) -> None:
    create(client)
    client.put("/collections/kept/points?wait=true", json=points(0))
    server.kill()
    shard = server.storage / "collections" / "kept" / "0"
    shard.rename(shard.with_name(PREVIOUS))
    server.start()
    with server.http() as again:
        assert ids(again) == list(range(BATCH))


def test_sigterm_ends_the_server_in_good_order(client: httpx.Client, server: VectorServer) -> None:
    create(client)
    client.put("/collections/kept/points?wait=true", json=points(0))
    client.close()
    assert server.terminate() in (0, -15)
    server.start()
    with server.http() as again:
        assert ids(again) == list(range(BATCH))
