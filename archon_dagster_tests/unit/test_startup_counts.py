"""A store that came up without what it held is noticed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from archon_dagster.backup.backup import BackupRequest, take_backup
from archon_dagster.errors import StoreError
from archon_dagster.repository.manifest import Manifest
from archon_dagster.startup import counts
from archon_dagster.startup.counts import Known, Loss
from archon_dagster_tests.unit.platform_double import Platform, failing

NOW = datetime(2026, 11, 24, 3, tzinfo=UTC)


def known(**stores: dict[str, int]) -> dict[str, Known]:
    return {store: Known(parts, NOW, "backup B", "B") for store, parts in stores.items()}


def lost(now: dict[str, dict[str, int]], before: dict[str, Known]) -> list[str]:
    return [loss.store for loss in counts.compare(now, before, 0.5)]


def test_a_store_that_came_up_empty_is_lost() -> None:
    before = known(graph={"nodes": 7000, "relationships": 58000})
    assert lost({"graph": {"nodes": 0, "relationships": 0}}, before) == ["graph"]
    assert lost({"graph": {}}, before) == ["graph"]


def test_a_store_that_has_collapsed_is_lost_and_one_that_has_shrunk_is_not() -> None:
    before = known(relational={"archon_tasks": 100, "archon_sources": 100})
    assert lost({"relational": {"archon_tasks": 99, "archon_sources": 0}}, before) == ["relational"]
    assert lost({"relational": {"archon_tasks": 101, "archon_sources": 0}}, before) == []
    assert lost({"relational": {"archon_tasks": 500, "archon_sources": 100}}, before) == []


def test_a_collection_that_is_gone_is_a_loss_however_much_the_others_hold() -> None:
    before = known(vectors={"archon_vectors": 20_000, "quality_vectors": 50})
    (loss,) = counts.compare({"vectors": {"archon_vectors": 20_000}}, before, 0.5)
    assert loss.gone == ("quality_vectors",)


def test_a_few_records_may_come_and_go() -> None:
    assert lost({"vectors": {"quality_vectors": 0}}, known(vectors={"quality_vectors": counts.FEW - 1})) == []


def test_a_store_that_could_not_be_counted_is_not_lost() -> None:
    assert lost({}, known(graph={"nodes": 7000})) == []


def test_the_error_says_what_is_missing_and_what_puts_it_back() -> None:
    graph = Loss("graph", 0, 65_000, "backup 20261124T030000Z-7f3a", ("nodes",), "20261124T030000Z-7f3a")
    with pytest.raises(StoreError) as error:
        counts.raise_for_loss((graph,))
    said = str(error.value)
    assert "graph came up with 0 records, backup 20261124T030000Z-7f3a knows of 65,000" in said
    assert "archon restore 20261124T030000Z-7f3a --confirm RESTORE --only graph" in said
    assert said.index("copy Memgraph's data directory aside") < said.index("archon restore")
    assert "left running" in said


def test_nothing_lost_is_no_error() -> None:
    counts.raise_for_loss(())


# what was last known


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    return Platform(tmp_path / "home")  # type: ignore[return-value]


def backed_up(platform: Platform) -> Manifest:
    return take_backup(platform.context, BackupRequest(quiesce=False)).manifest


def test_a_backup_says_what_the_stores_held(platform: Platform) -> None:
    manifest = backed_up(platform)
    found = counts.last_known(platform.settings.home, platform.repository)
    assert set(found) == set(counts.COUNTED)
    assert all(dict(one.counts) == {"records": 10} and one.backup == manifest.id for one in found.values())


def test_of_a_backup_and_a_note_the_newer_one_counts_and_the_backup_is_still_named(platform: Platform) -> None:
    manifest = backed_up(platform)
    home = platform.settings.home
    counts.note_counts(home, {"graph": {"records": 3}}, manifest.window.start + timedelta(minutes=1))
    counts.note_counts(home, {"vectors": {"records": 3}}, manifest.window.start - timedelta(minutes=1))
    found = counts.last_known(home, platform.repository)
    assert (found["graph"].counts, found["graph"].backup) == ({"records": 3}, manifest.id)
    assert found["vectors"].counts == {"records": 10}


def test_without_a_repository_the_note_is_what_is_known(tmp_path: Path) -> None:
    assert counts.last_known(tmp_path, None) == {}
    counts.note_counts(tmp_path, {"graph": {"nodes": 5}}, NOW)
    (found,) = counts.last_known(tmp_path, None).values()
    assert (found.counts, found.at, found.backup) == ({"nodes": 5}, NOW, "")


def test_a_note_of_one_store_leaves_the_others(tmp_path: Path) -> None:
    counts.note_counts(tmp_path, {"graph": {"nodes": 5}, "vectors": {"a": 1}}, NOW)
    counts.note_counts(tmp_path, {"graph": {"nodes": 6}}, NOW + timedelta(hours=1))
    found = counts.read_counts(tmp_path)
    assert (found["graph"].counts, found["vectors"].counts) == ({"nodes": 6}, {"a": 1})
    assert [file.name for file in tmp_path.iterdir()] == [counts.FILE_NAME]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"graph": 3}', '{"graph": {"at": "never", "counts": {}}}', '{"graph": {"counts": {}}}']
)
def test_a_note_that_cannot_be_read_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / counts.FILE_NAME).write_text(text)
    assert counts.read_counts(tmp_path) == {}
    counts.note_counts(tmp_path, {"vectors": {"a": 1}}, NOW)
    assert json.loads((tmp_path / counts.FILE_NAME).read_text())["vectors"]["counts"] == {"a": 1}


@pytest.mark.parametrize("records", [10, 3])
def test_a_database_that_is_gone_is_a_loss_although_its_server_is_well(platform: Platform, records: int) -> None:
    def gone(verb: str) -> None:
        raise StoreError('PostgreSQL: FATAL:  database "archon" does not exist')

    platform.stores["relational"].fault = gone
    now, failed = counts.count(dict(platform.stores))
    (loss,) = counts.compare(now, known(relational={"archon_tasks": records}), 0.5)
    assert (loss.store, loss.records, loss.known) == ("relational", 0, records)
    assert "does not exist" in failed["relational"]
    assert counts.compare(now, {}, 0.5) == ()


def test_a_store_that_does_not_answer_is_named_with_the_reason(platform: Platform) -> None:
    platform.stores["graph"].fault = failing("describe")
    now, failed = counts.count(dict(platform.stores))
    assert set(now) == {"vectors", "relational"}
    assert "injected: no answer at describe" in failed["graph"]
