"""The vectors store against the platform's own pin, 1.7.4: no checksum, no engine that reads its snapshots."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from archon_dagster.errors import StoreError
from archon_dagster.repository.manifest import Fingerprint
from archon_dagster.sandbox.search.index import VectorIndex
from archon_dagster.sandbox.search.settings import SearchSettings
from archon_dagster.stores.base import Work
from archon_dagster.stores.vectors import reading
from archon_dagster.stores.vectors.store import VectorStore
from archon_dagster_tests.artifacts import MemorySink, MemorySource
from archon_dagster_tests.integration.old_vector_server import OldServer, old_server
from archon_dagster_tests.unit.vector_data import snapshot_of

NAME = "quality_vectors"


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return snapshot_of("1.7.4", NAME, tmp_path_factory.mktemp("old"))


@pytest.fixture
def server(snapshot: Path) -> Iterator[OldServer]:
    with old_server(snapshot) as running:
        running.fill(NAME, 40)
        yield running
        assert running.unknown == []
        assert not any(running.files.values())


@pytest.fixture
def work(tmp_path: Path) -> Work:
    (tmp_path / "scratch").mkdir()
    return Work(scratch=tmp_path / "scratch", deadline=60.0)


def backup(server: OldServer, work: Work) -> MemorySource:
    sink = MemorySink()
    VectorStore(server.url, cleanup=5.0).export(sink, work)
    return sink.source(vectors="qdrant 1.7.4")


def writes(server: OldServer) -> None:
    server.collections[NAME][99] = {"id": 99, "payload": {}, "vector": [1.0, 99.0]}


def promised(source: MemorySource) -> Fingerprint:
    return Fingerprint(parts={n: p for a in source.items if a.fingerprint for n, p in a.fingerprint.parts.items()})


def test_a_quiet_server_is_backed_up_without_loading_anything(server: OldServer, work: Work) -> None:
    source = backup(server, work)
    assert source.one(f"qdrant/{NAME}").details["fingerprint_source"].startswith("live")
    assert promised(source).differences(VectorStore(server.url).fingerprint(work)) == []
    assert server.uploads == []


def test_a_snapshot_made_under_a_writer_is_read_by_the_server_itself(server: OldServer, work: Work) -> None:
    server.after_snapshot = writes
    source = backup(server, work)
    artifact = source.one(f"qdrant/{NAME}")
    assert artifact.details["fingerprint_source"].startswith("server")
    assert artifact.counts == {NAME: 40}
    assert list(server.collections) == [NAME]
    VectorStore(server.url).restore(source, work)
    assert promised(source).differences(VectorStore(server.url).fingerprint(work)) == []


def test_what_nobody_can_read_is_no_backup_when_it_was_written_to(
    server: OldServer, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "LOADED", 1)
    backup(server, work)
    server.after_snapshot = writes
    with pytest.raises(StoreError, match=f"{NAME} was written to while it was captured"):
        backup(server, work)


def test_the_search_service_finds_by_the_route_it_has(server: OldServer) -> None:
    async def found() -> list[dict[str, Any]]:
        index = VectorIndex(SearchSettings(qdrant_url=server.url))
        try:
            return await index.search([1.0, 7.0], 5)
        finally:
            await index.close()

    assert [hit["id"] for hit in asyncio.run(found())] == [7]


def test_a_restore_tries_the_snapshot_first_even_where_it_was_verified(server: OldServer, work: Work) -> None:
    source = backup(server, work)
    verdicts = {v.artifact: v.state for v in VectorStore(server.url).verify(source, work)}
    assert verdicts[f"qdrant/{NAME}"] == "not verifiable here"
    writes(server)
    VectorStore(server.url).restore(source, replace(work, verified=frozenset(verdicts)))
    assert [name.partition("__archon_trial_")[0] for name in server.uploads] == [NAME, NAME]
    assert server.uploads[0] != NAME
    assert list(server.collections) == [NAME]
    assert len(server.collections[NAME]) == 40
