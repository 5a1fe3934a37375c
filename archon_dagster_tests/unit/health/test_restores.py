"""What a restore, finished or killed, means for what the monitor knows."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from archon_dagster.health import knowledge
from archon_dagster.health.knowledge import Counts, Expected, Knowledge
from archon_dagster.health.restores import forget_what_was_before, mark_half_restored
from archon_dagster.health.samples import Facet
from archon_dagster.platform.settings import Settings, load_settings
from archon_dagster.restore.journal import JournalFile
from archon_dagster_tests.unit.health.samples import sample

KNOWN = Knowledge(
    expected={"graph": Expected("B", {"nodes": 100})},
    expected_at=time.time(),
    live={"graph": Counts({"nodes": 0})},
    live_at=time.time(),
    claims={"archon-bridge": knowledge.Tested(False)},
)


@pytest.fixture
def settings() -> Settings:
    return load_settings()


def restored(settings: Settings) -> None:
    file = JournalFile(settings)
    file.settle(file.update(file.begin("B", "restore graph"), touched=("graph",)), ("graph",))


def interrupted(settings: Settings, *touched: str, options: tuple[str, ...] = ()) -> None:
    file = JournalFile(settings)
    file.update(file.begin("B", "restore graph", options=options), touched=touched, safety="S")


def test_what_was_counted_before_a_restore_is_forgotten_and_due_again(settings: Settings) -> None:
    assert forget_what_was_before(KNOWN, settings) == KNOWN
    restored(settings)
    after = forget_what_was_before(KNOWN, settings)
    assert (after.live, after.live_at, after.claims, after.expected_at) == ({}, 0.0, {}, 0.0)
    assert after.expected == KNOWN.expected  # the last backup is what it was


def test_what_was_counted_after_it_is_kept(settings: Settings) -> None:
    restored(settings)
    later = replace(KNOWN, live_at=time.time() + 1)
    assert forget_what_was_before(later, settings) == later


def test_a_killed_restore_leaves_its_stores_half_restored_however_well_they_answer(settings: Settings) -> None:
    interrupted(settings, "graph")
    samples = {"memgraph": sample("good", service="memgraph"), "qdrant": sample("good")}
    found = mark_half_restored(samples, settings)
    (facet,) = found["memgraph"].failed
    assert (found["memgraph"].verdict, facet.name, facet.problem) == ("unhealthy", "consistent", "half_restored")
    assert "archon restore B --confirm RESTORE; or go back: archon restore S" in facet.detail
    assert found["qdrant"] == samples["qdrant"]


def test_a_loss_is_told_as_what_it_is_with_the_reason(settings: Settings) -> None:
    interrupted(settings, "graph")
    lost = Facet("consistent", False, "0 records", problem="count_collapsed")
    one = sample("good", service="memgraph").with_facets((lost,))
    (facet,) = mark_half_restored({"memgraph": one}, settings)["memgraph"].failed
    assert facet.problem == "count_collapsed" and facet.detail.startswith("0 records; half restored")


def test_a_single_collection_is_named(settings: Settings) -> None:
    interrupted(settings, "vectors", options=("--collection", "quality_vectors"))
    (facet,) = mark_half_restored({"qdrant": sample("good")}, settings)["qdrant"].failed
    assert facet.parts == ("quality_vectors",)


@pytest.mark.parametrize("left", ["nothing", "stopped writers"])
def test_where_no_data_were_touched_nothing_is_half_restored(settings: Settings, left: str) -> None:
    if left == "stopped writers":
        interrupted(settings)
    samples = {"memgraph": sample("good", service="memgraph")}
    assert mark_half_restored(samples, settings) == samples
