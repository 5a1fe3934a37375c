"""The official Qdrant client works against the sandbox's vector server."""

import uuid
import warnings
from collections.abc import Iterator

import httpx
import pytest
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import UnexpectedResponse

from archon_dagster_tests.integration.vector_server import VectorServer, running, wait_until

pytestmark = pytest.mark.sandbox

LARGEST = 2**64 - 1
UUID = "4f0e9f0c-7a8b-4e67-9a0e-0d2f6a7b1c3d"
IDS: list[int | str] = [1, 2, 2**53 + 1, LARGEST, UUID]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VectorServer]:
    with running(tmp_path_factory.mktemp("client")) as started:
        yield started


@pytest.fixture(scope="module")
def client(server: VectorServer) -> Iterator[QdrantClient]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        connected = QdrantClient(url=server.url, timeout=60, check_compatibility=False, trust_env=False)
    yield connected
    connected.close()


@pytest.fixture
def collection(client: QdrantClient) -> Iterator[str]:
    """Five points with dense and sparse vectors."""
    name = f"points-{uuid.uuid4()}"
    client.create_collection(
        name,
        vectors_config={"dense": models.VectorParams(size=4, distance=models.Distance.DOT)},
        sparse_vectors_config={"words": models.SparseVectorParams()},
    )
    client.upsert(name, [_point(number, identifier) for number, identifier in enumerate(IDS)], wait=True)
    yield name
    client.delete_collection(name)


def _point(number: int, identifier: int | str) -> models.PointStruct:
    vectors = {
        "dense": [float(number), 1.0, 0.0, 0.5],
        "words": models.SparseVector(indices=[number, 100], values=[1.0, float(number)]),
    }
    return models.PointStruct(id=identifier, vector=vectors, payload={"n": number, "kind": "ab"[number % 2]})


def _payload(client: QdrantClient, collection: str, identifier: int | str) -> dict[str, object]:
    (found,) = client.retrieve(collection, [identifier])
    return dict(found.payload or {})


def test_a_collection_lives_from_create_to_delete(client: QdrantClient) -> None:
    client.create_collection("lives", vectors_config=models.VectorParams(size=4, distance=models.Distance.COSINE))
    assert client.collection_exists("lives")
    assert "lives" in [one.name for one in client.get_collections().collections]
    client.update_collection("lives", optimizers_config=models.OptimizersConfigDiff(indexing_threshold=7))
    assert client.get_collection("lives").config.optimizer_config.indexing_threshold == 7
    client.delete_collection("lives")
    assert not client.collection_exists("lives")


def test_an_alias_stands_for_its_collection(client: QdrantClient, collection: str) -> None:
    create = models.CreateAlias(collection_name=collection, alias_name="current")
    client.update_collection_aliases([models.CreateAliasOperation(create_alias=create)])
    assert client.count("current").count == len(IDS)
    assert [one.alias_name for one in client.get_collection_aliases(collection).aliases] == ["current"]
    client.update_collection_aliases(
        [models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name="current"))]
    )
    assert client.get_aliases().aliases == []


def test_ids_of_the_full_range_come_back_exactly(client: QdrantClient, collection: str) -> None:
    assert [one.id for one in client.retrieve(collection, IDS)] == IDS
    assert {one.id for one in client.scroll(collection, limit=10)[0]} == set(IDS)


def test_scroll_pages_meet_every_point_once(client: QdrantClient, collection: str) -> None:
    seen, offset = [], None
    while True:
        page, offset = client.scroll(collection, limit=2, offset=offset, with_vectors=True)
        seen += [one.id for one in page]
        if offset is None:
            break
    assert sorted(map(str, seen)) == sorted(map(str, IDS))


def test_vectors_come_back(client: QdrantClient, collection: str) -> None:
    (found,) = client.retrieve(collection, [LARGEST], with_vectors=True)
    words = models.SparseVector(indices=[3, 100], values=[1.0, 3.0])
    assert found.vector == {"dense": [3.0, 1.0, 0.0, 0.5], "words": words}


def test_query_by_vector_by_id_and_by_sparse_vector(client: QdrantClient, collection: str) -> None:
    nearest = client.query_points(collection, query=[1.0, 0.0, 0.0, 0.0], using="dense", limit=1).points
    by_id = client.query_points(collection, query=UUID, using="dense", limit=1).points
    sparse = models.SparseVector(indices=[2], values=[1.0])
    by_words = client.query_points(collection, query=sparse, using="words", limit=5).points
    assert [nearest[0].id, by_id[0].id, [one.id for one in by_words]] == [UUID, LARGEST, [IDS[2]]]


def test_prefetches_are_fused(client: QdrantClient, collection: str) -> None:
    sparse = models.SparseVector(indices=[100], values=[1.0])
    prefetch = [
        models.Prefetch(query=[1.0, 0.0, 0.0, 0.0], using="dense", limit=3),
        models.Prefetch(query=sparse, using="words", limit=3),
    ]
    fusion = models.FusionQuery(fusion=models.Fusion.RRF)
    assert client.query_points(collection, prefetch=prefetch, query=fusion, limit=1).points[0].id == UUID


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (models.FieldCondition(key="kind", match=models.MatchValue(value="a")), 3),
        (models.FieldCondition(key="kind", match=models.MatchAny(any=["a", "b"])), 5),
        (models.FieldCondition(key="n", range=models.Range(gte=1, lt=3)), 2),
        (models.HasIdCondition(has_id=[LARGEST, UUID, 77]), 2),
        (models.IsEmptyCondition(is_empty=models.PayloadField(key="absent")), 5),
        (models.HasVectorCondition(has_vector="words"), 5),
    ],
    ids=["value", "any", "range", "ids", "empty", "vector"],
)
def test_filters_select(client: QdrantClient, collection: str, condition: models.Condition, expected: int) -> None:
    assert client.count(collection, count_filter=models.Filter(must=[condition])).count == expected


def test_points_are_deleted_by_id_and_by_filter(client: QdrantClient, collection: str) -> None:
    client.delete(collection, [LARGEST], wait=True)
    b = models.Filter(must=[models.FieldCondition(key="kind", match=models.MatchValue(value="b"))])
    client.delete(collection, models.FilterSelector(filter=b), wait=True)
    assert {one.id for one in client.scroll(collection)[0]} == {1, IDS[2], UUID}


def test_payloads_are_set_overwritten_thinned_and_cleared(client: QdrantClient, collection: str) -> None:
    client.set_payload(collection, {"more": 1}, points=[1], wait=True)
    assert _payload(client, collection, 1) == {"n": 0, "kind": "a", "more": 1}
    client.delete_payload(collection, ["n"], points=[1], wait=True)
    assert _payload(client, collection, 1) == {"kind": "a", "more": 1}
    client.overwrite_payload(collection, {"only": True}, points=[1], wait=True)
    assert _payload(client, collection, 1) == {"only": True}
    client.clear_payload(collection, [1], wait=True)
    assert _payload(client, collection, 1) == {}


def test_vectors_are_updated_and_deleted(client: QdrantClient, collection: str) -> None:
    changed = models.PointVectors(id=2, vector={"dense": [9.0, 9.0, 9.0, 9.0]})
    client.update_vectors(collection, [changed], wait=True)
    client.delete_vectors(collection, ["words"], [2], wait=True)
    assert client.retrieve(collection, [2], with_vectors=True)[0].vector == {"dense": [9.0, 9.0, 9.0, 9.0]}


def test_a_batch_applies_its_operations_in_order(client: QdrantClient, collection: str) -> None:
    operations = [
        models.UpsertOperation(upsert=models.PointsList(points=[_point(9, 9)])),
        models.SetPayloadOperation(set_payload=models.SetPayload(payload={"seen": True}, points=[9])),
        models.DeleteOperation(delete=models.PointIdsList(points=[1])),
    ]
    client.batch_update_points(collection, operations, wait=True)
    assert _payload(client, collection, 9) == {"n": 9, "kind": "b", "seen": True}
    assert client.retrieve(collection, [1]) == []


@pytest.mark.parametrize("kind", list(models.PayloadSchemaType), ids=str)
def test_every_type_of_payload_index_can_be_created(
    client: QdrantClient, collection: str, kind: models.PayloadSchemaType
) -> None:
    client.create_payload_index(collection, "field", kind, wait=True)
    assert client.get_collection(collection).payload_schema["field"].data_type == kind
    client.delete_payload_index(collection, "field", wait=True)
    assert client.get_collection(collection).payload_schema == {}


def test_facets_count_an_indexed_field(client: QdrantClient, collection: str) -> None:
    client.create_payload_index(collection, "kind", models.PayloadSchemaType.KEYWORD, wait=True)
    hits = client.facet(collection, "kind").hits
    assert {hit.value: hit.count for hit in hits} == {"a": 3, "b": 2}


def test_points_are_listed_in_the_order_of_an_indexed_field(client: QdrantClient, collection: str) -> None:
    client.create_payload_index(collection, "n", models.PayloadSchemaType.INTEGER, wait=True)
    order = models.OrderBy(key="n", direction=models.Direction.DESC)
    assert [one.id for one in client.scroll(collection, limit=2, order_by=order)[0]] == [UUID, LARGEST]


def test_a_collection_with_every_option_is_created_and_indexed(client: QdrantClient) -> None:
    client.create_collection(
        "optioned",
        vectors_config=models.VectorParams(
            size=32, distance=models.Distance.EUCLID, on_disk=True, hnsw_config=models.HnswConfigDiff(m=4)
        ),
        hnsw_config=models.HnswConfigDiff(m=8, ef_construct=32),
        optimizers_config=models.OptimizersConfigDiff(indexing_threshold=1),
        quantization_config=models.ScalarQuantization(
            scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8, always_ram=True)
        ),
        on_disk_payload=False,
    )
    points = [models.PointStruct(id=n, vector=[float(n + k) for k in range(32)]) for n in range(200)]
    client.upsert("optioned", points, wait=True)
    indexed = wait_until(lambda: client.get_collection("optioned").indexed_vectors_count, what="an index")
    assert indexed == 200
    assert client.get_collection("optioned").status == models.CollectionStatus.GREEN
    assert client.count("optioned").count == 200
    client.delete_collection("optioned")


def test_snapshots_are_created_recovered_from_and_deleted(
    client: QdrantClient, server: VectorServer, collection: str
) -> None:
    made = client.create_snapshot(collection, wait=True)
    assert made is not None
    assert [one.name for one in client.list_snapshots(collection)] == [made.name]
    client.delete(collection, [1], wait=True)
    location = f"{server.url}/collections/{collection}/snapshots/{made.name}"
    client.recover_snapshot(collection, location, checksum=made.checksum, wait=True)
    assert client.count(collection).count == len(IDS)
    client.delete_snapshot(collection, made.name, wait=True)
    assert client.list_snapshots(collection) == []


def test_an_absent_point_is_an_error_only_for_those_who_wait(client: QdrantClient, collection: str) -> None:
    with pytest.raises(UnexpectedResponse) as refused:
        client.set_payload(collection, {"a": 1}, points=[4711], wait=True)
    assert refused.value.status_code == 404
    accepted = client.set_payload(collection, {"a": 1}, points=[4711], wait=False)
    assert accepted.status == models.UpdateStatus.ACKNOWLEDGED


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b'{"points":7}',
        b'{"points":[{"id":1.5,"vector":{}}]}',
        b'{"points":[{"id":true,"vector":{}}]}',
        b'{"points":[{"id":18446744073709551616,"vector":{}}]}',
        b'{"points":[{"id":1,"vector":{"dense":["a","b","c","d"]}}]}',
        b'{"points":[{"id":1,"vector":{"absent":[1]}}]}',
        b'{"points":[{"id":1,"vector":{"dense":[1,2,3,4]},"payload":"text"}]}',
        b'{"points":[{"id":1,"vector":{"dense":[1,2,3,NaN]}}]}',
        b'{"points":[{"id":1,"vector":{"dense":[1,2,3,4]},"payload":{"a":"\\ud800"}}]}',
    ],
)
def test_a_body_that_makes_no_sense_is_refused_and_changes_nothing(
    server: VectorServer, client: QdrantClient, collection: str, body: bytes
) -> None:
    url = f"{server.url}/collections/{collection}/points?wait=true"
    answer = httpx.put(url, content=body, trust_env=False)
    assert answer.status_code == 400, answer.text
    assert answer.json()["status"]["error"]
    assert client.count(collection).count == len(IDS)
    assert _payload(client, collection, 1)["n"] == 0
