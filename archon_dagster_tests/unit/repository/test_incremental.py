"""Real snapshots of real servers, one after the other: what a small change costs."""

from __future__ import annotations

from archon_dagster.repository.repository import Repository
from archon_dagster_tests.recorded import larger
from archon_dagster_tests.unit.repository.conftest import Clock, window


def test_a_small_change_of_a_collection_costs_little(repository: Repository) -> None:
    clock, added, read = Clock(), [], []
    for path in sorted((larger() / "qdrant/v1.18.3/snapshots").glob("incremental-*.snapshot")):
        with repository.begin("manual", clock=clock) as pending:
            with pending.artifact(
                "vectors", "qdrant/c", "collection-snapshot", media_type="application/x-tar", cut="tar"
            ) as a:
                a.write(path.read_bytes())
            manifest = pending.seal(window=window(), versions={})
        added.append(manifest.bytes_added)
        with repository.source(manifest).open(manifest.artifacts[0]) as stream:
            read.append(stream.read() == path.read_bytes())
    assert read == [True] * 4
    assert added[0] <= 3_900_000
    assert added[1] <= 1_000  # the time stamps in two headers, nothing of the content
    assert added[2] <= 300_000
    assert added[3] <= 300_000
