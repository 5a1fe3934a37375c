"""Every kind of vector a collection can have goes into a backup and comes back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from archon_dagster.repository.manifest import Fingerprint
from archon_dagster.stores.base import Work
from archon_dagster.stores.vectors import live
from archon_dagster.stores.vectors.client import Client
from archon_dagster.stores.vectors.store import VectorStore
from archon_dagster.stores.vectors.transport import Transport
from archon_dagster.stores.vectors.version import Version
from archon_dagster_tests.artifacts import MemorySink
from archon_dagster_tests.integration.store_server import StoreServer

pytestmark = pytest.mark.sandbox
pytest.importorskip("qdrant_edge")

V = {"size": 4, "distance": "Cosine"}
VECTOR = [0.1, 0.25, -3.0, 7.0]
SPARSE = {"indices": [9, 1, 4294967295], "values": [0.5, -1.0, 0.1]}
Kind = tuple[tuple[int, int], dict[str, Any], list[Any]]

KINDS: dict[str, Kind] = {
    "one_point": ((1, 7), {"vectors": V}, [VECTOR]),
    "identical_points": ((1, 7), {"vectors": V}, [VECTOR] * 30),
    "zero_vectors": ((1, 7), {"vectors": V}, [[0.0] * 4] * 12 + [VECTOR]),
    "dot": ((1, 7), {"vectors": V | {"distance": "Dot"}}, [VECTOR, [9.0] * 4]),
    "euclid": ((1, 7), {"vectors": V | {"distance": "Euclid"}}, [VECTOR, [9.0] * 4]),
    "manhattan": ((1, 8), {"vectors": V | {"distance": "Manhattan"}}, [VECTOR, [9.0] * 4]),
    "float16": ((1, 10), {"vectors": V | {"datatype": "float16"}}, [VECTOR, [1.0, 0.0, 0.0, 0.1]]),
    "uint8": ((1, 9), {"vectors": V | {"datatype": "uint8"}}, [[1, 2, 3, 255], [0, 0, 1, 0]]),
    "multivectors": (
        (1, 10), {"vectors": V | {"multivector_config": {"comparator": "max_sim"}}},
        [[VECTOR, [1.0, 0.0, 0.0, 0.0]], [[0.0, 1.0, 0.0, 0.0]]],
    ),
    "quantized": (
        (1, 7), {"vectors": V, "quantization_config": {"scalar": {"type": "int8", "always_ram": True}}},
        [VECTOR, [1.0, 0.0, 0.0, 0.1]],
    ),
    "on_disk_and_two_shards": ((1, 7), {"vectors": V | {"on_disk": True}, "on_disk_payload": True, "shard_number": 2},
                               [[float(n), 1.0, 0.0, 0.0] for n in range(40)]),
    "a_point_without_a_vector": ((1, 7), {"vectors": V}, [*[VECTOR] * 5, {}]),
    "partly_filled": (
        (1, 7), {"vectors": {"a": V, "b": V | {"distance": "Dot"}}, "sparse_vectors": {"s": {}}},
        [{"a": VECTOR}, {"b": VECTOR, "s": SPARSE}, {"s": SPARSE}, {"s": SPARSE, "a": VECTOR}, {}],
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreServer]:
    running = StoreServer(tmp_path_factory.mktemp("kinds")).start()
    yield running
    running.stop()


@pytest.fixture
def kind(server: StoreServer, request: pytest.FixtureRequest) -> Iterator[str]:
    since, config, vectors = KINDS[request.param]
    if Version.parse(VectorStore(server.url).describe().version).line < since:
        pytest.skip("this server has no such vectors")
    if config.get("shard_number", 1) > 1 and not server.real:
        pytest.skip("the sandbox's own server has one shard")
    name = request.param
    server.call("PUT", f"/collections/{name}", config)
    points = [{"id": number, "vector": vector, "payload": {"n": number}} for number, vector in enumerate(vectors)]
    server.call("PUT", f"/collections/{name}/points?wait=true", {"points": points})
    yield name
    server.call("DELETE", f"/collections/{name}")


@pytest.mark.parametrize("kind", KINDS, indirect=True)
def test_it_finds_itself_and_comes_back_the_same(kind: str, server: StoreServer, tmp_path: Path) -> None:
    store, work, sink = VectorStore(server.url), Work(scratch=tmp_path, deadline=60.0), MemorySink()
    with Transport(server.url, None) as transport:
        client = Client(transport)
        assert live.find_themselves(client, kind, client.info(kind)["config"]) >= 1
    store.export(sink, work)
    source = sink.source()
    promised = Fingerprint(parts={n: p for a in source.items if a.fingerprint for n, p in a.fingerprint.parts.items()})
    assert promised.differences(store.fingerprint(work)) == []
    server.call("DELETE", f"/collections/{kind}")
    store.restore(source, work)
    assert promised.differences(store.fingerprint(work)) == []
    assert server.snapshot_files == []
