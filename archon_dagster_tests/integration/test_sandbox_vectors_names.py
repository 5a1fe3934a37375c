"""Names the sandbox's vector server takes and refuses, as the real one does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from archon_dagster.errors import StoreError
from archon_dagster.stores.base import Work
from archon_dagster.stores.vectors.store import VectorStore
from archon_dagster_tests.artifacts import MemorySink
from archon_dagster_tests.integration.vector_server import VectorServer, running

pytestmark = pytest.mark.sandbox

ODD = [".hidden", "...", "ünï_☃_名前", "e\u0301 decomposed", "two\ttabs", "a'b,c;d&e=f#g", "x" * 180]
TOO_LONG_FOR_A_FILE = ["x" * 256, "☃" * 256]
VECTORS = {"size": 2, "distance": "Dot"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VectorServer]:
    with running(tmp_path_factory.mktemp("names")) as started:
        yield started


@pytest.fixture
def client(server: VectorServer) -> Iterator[httpx.Client]:
    with server.http() as connected:
        yield connected
        for entry in connected.get("/collections").json()["result"]["collections"]:
            connected.delete(at(entry["name"]))


def at(name: str, *more: str) -> str:
    return "/collections/" + "/".join(quote(part, safe="") for part in (name, *more))


def create(client: httpx.Client, name: str, vectors: Any = VECTORS) -> httpx.Response:
    return client.put(at(name), json={"vectors": vectors})


def error(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["status"]["error"]


@pytest.mark.parametrize("name", ODD)
def test_an_odd_name_can_be_filled_captured_and_restored(client: httpx.Client, name: str) -> None:
    assert create(client, name).status_code == 200
    point = {"points": [{"id": 1, "vector": [1.0, 2.0]}]}
    assert client.put(f"{at(name)}/points?wait=true", json=point).status_code == 200
    made = client.post(at(name, "snapshots")).json()["result"]["name"]
    assert made.startswith(f"{name}-")
    assert [one["name"] for one in client.get(at(name, "snapshots")).json()["result"]] == [made]
    content = client.get(at(name, "snapshots", made)).content
    assert client.delete(at(name)).json()["result"] is True
    files = {"snapshot": ("s.snapshot", content)}
    assert client.post(at(name, "snapshots", "upload"), files=files).status_code == 200
    assert client.get(at(name)).json()["result"]["points_count"] == 1


def test_odd_names_are_there_after_a_restart(server: VectorServer) -> None:
    with server.http() as client:
        for name in ODD:
            create(client, name)
    server.kill()
    server.start()
    with server.http() as again:
        listed = {one["name"] for one in again.get("/collections").json()["result"]["collections"]}
        for name in listed:
            again.delete(at(name))
    assert listed == set(ODD)


@pytest.mark.parametrize("name", ODD)
def test_the_store_backs_up_and_restores_an_odd_name(
    client: httpx.Client, server: VectorServer, name: str, tmp_path: Path
) -> None:
    create(client, name)
    client.put(f"{at(name)}/points?wait=true", json={"points": [{"id": 7, "vector": [1.0, 2.0]}]})
    work, sink, store = Work(scratch=tmp_path, deadline=60.0), MemorySink(), VectorStore(server.url)
    store.export(sink, work)
    before = store.fingerprint(work)
    client.delete(at(name))
    store.restore(sink.source(vectors="qdrant 1.18.3"), work)
    assert before.differences(store.fingerprint(work)) == []


@pytest.mark.parametrize("name", TOO_LONG_FOR_A_FILE)
def test_a_name_of_more_than_255_characters_is_refused_wherever_it_is_used(client: httpx.Client, name: str) -> None:
    refused = [create(client, name), client.get(at(name)), client.delete(at(name)), client.post(at(name, "snapshots"))]
    for answer in refused:
        assert error(answer) == (
            422,
            f'Validation error in path parameters: [name: value "{name}" invalid, must be from 1 to 255 characters]',
        )


def test_a_name_too_long_in_bytes_cannot_become_a_directory(client: httpx.Client) -> None:
    name = "☃" * 100
    status, said = error(create(client, name))
    assert status == 500
    assert said.startswith(f"Service internal error: Can't create directory for collection {name}. Error: File name")
    assert client.get(at(name)).status_code == 404


@pytest.mark.parametrize("character", list('<>:"\\|?*\x1f'))
def test_a_character_that_no_file_name_may_have_is_refused(client: httpx.Client, character: str) -> None:
    assert error(create(client, f"a{character}b")) == (
        422,
        f'Validation error in path parameters: [name: collection name cannot contain "{character}" char]',
    )


def test_a_name_that_leaves_no_room_for_a_snapshots_name_cannot_be_captured(client: httpx.Client) -> None:
    name = "x" * 250
    assert create(client, name).status_code == 200
    status, said = error(client.post(at(name, "snapshots")))
    assert (status, said[:38]) == (500, "Service internal error: File name too ")
    assert client.get(at(name, "snapshots")).json()["result"] == []


def test_the_store_says_that_such_a_name_is_too_long(
    client: httpx.Client, server: VectorServer, tmp_path: Path
) -> None:
    create(client, "x" * 250)
    with pytest.raises(StoreError, match=r"no snapshot of x+: .* File name too long") as caught:
        VectorStore(server.url).export(MemorySink(), Work(scratch=tmp_path, deadline=60.0))
    assert "give the collection a shorter one" in (caught.value.todo or "")


def test_a_snapshot_name_too_long_for_a_file_does_not_exist(client: httpx.Client) -> None:
    create(client, "short")
    assert client.get(at("short", "snapshots", "x" * 300)).status_code == 404
    assert client.delete(at("short", "snapshots", "x" * 300)).status_code == 404


@pytest.mark.parametrize("names", [["size"], ["size", "distance"], ["size", "other"]])
def test_a_vector_may_be_called_as_a_parameter_is(client: httpx.Client, names: list[str]) -> None:
    assert create(client, "called", dict.fromkeys(names, VECTORS)).status_code == 200
    vectors = {name: [1.0, 2.0] for name in names}
    client.put(f"{at('called')}/points?wait=true", json={"points": [{"id": 1, "vector": vectors}]})
    found = client.post(f"{at('called')}/points", json={"ids": [1], "with_vector": True}).json()["result"]
    assert found[0]["vector"] == vectors
    query = {"query": [1.0, 2.0], "using": "size", "limit": 1}
    assert client.post(f"{at('called')}/points/query", json=query).json()["result"]["points"][0]["id"] == 1
    assert sorted(client.get(at("called")).json()["result"]["config"]["params"]["vectors"]) == sorted(names)
    memory = client.get(at("called", "memory")).json()["result"]
    assert [one["name"] for one in memory["vectors"]] == sorted(names)


@pytest.mark.parametrize("size", [True, 0, "4", 2.0])
def test_a_size_that_is_none_is_refused(client: httpx.Client, size: object) -> None:
    status, said = error(create(client, "bad", {"size": size, "distance": "Dot"}))
    assert (status, "data did not match any variant of untagged enum VectorsConfig" in said) == (400, True)


def test_the_store_restores_a_vector_called_size(client: httpx.Client, server: VectorServer, tmp_path: Path) -> None:
    create(client, "called", {"size": VECTORS})
    client.put(f"{at('called')}/points?wait=true", json={"points": [{"id": 1, "vector": {"size": [1.0, 2.0]}}]})
    work, sink, store = Work(scratch=tmp_path, deadline=60.0), MemorySink(), VectorStore(server.url)
    store.export(sink, work)
    before = store.fingerprint(work)
    client.delete(at("called"))
    store.restore(sink.source(vectors="qdrant 1.18.3"), work)
    assert before.differences(store.fingerprint(work)) == []
