from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from archon_dagster.health.consistency import judge
from archon_dagster.health.knowledge import Counts, Expected, Knowledge, Model
from archon_dagster.health.samples import Facet
from archon_dagster.platform.settings import load_settings
from archon_dagster_tests.unit.health.samples import sample

SIZE = {"archon_vectors": {"": 1536}}


def vectors(now: dict[str, int], before: dict[str, int], sizes: Any = SIZE, **known: Any) -> Facet:
    knowledge = Knowledge(expected={"vectors": Expected("B", before)}, **known)
    found = judge(replace(sample("good"), counts=now, sizes=sizes), knowledge, load_settings())
    assert found is not None
    return found


def graph(now: dict[str, int], before: dict[str, int]) -> Facet:
    known = Knowledge(expected={"graph": Expected("B", before)}, live={"graph": Counts(now)})
    found = judge(sample("good", service="memgraph"), known, load_settings())
    assert found is not None
    return found


def test_counts_and_sizes_that_fit_are_good() -> None:
    assert vectors({"archon_vectors": 95}, {"archon_vectors": 100}).passed


@pytest.mark.parametrize("now", [{}, {"archon_vectors": 0}, {"archon_vectors": 40}])
def test_a_collapsed_count_is_a_loss_and_named(now: dict[str, int]) -> None:
    found = vectors(now, {"archon_vectors": 100})
    assert found.passed is False and not found.minor
    assert found.problem == "count_collapsed" and "in backup B" in found.detail


def test_one_collection_that_is_gone_is_a_loss_however_small_beside_the_others() -> None:
    found = vectors({"archon_vectors": 9000}, {"archon_vectors": 9000, "quality_vectors": 30})
    assert (found.passed, found.minor, found.parts) == (False, False, ("quality_vectors",))


def test_a_collection_that_there_was_no_time_to_count_is_not_gone() -> None:
    known = Knowledge(expected={"vectors": Expected("B", {"archon_vectors": 100, "quality_vectors": 100})})
    seen = sample("good").with_facets(
        (Facet("functional", True, "not examined: quality_vectors", parts=("quality_vectors",)),)
    )
    for counts, passed in (({"archon_vectors": 100}, True), ({"archon_vectors": 10}, False), ({}, False)):
        found = judge(replace(seen, counts=counts, sizes=SIZE), known, load_settings())
        assert found is not None and found.passed is passed, found.detail
        assert "quality_vectors" not in found.parts


def test_a_handful_of_records_may_come_and_go() -> None:
    assert vectors({"archon_vectors": 9000}, {"archon_vectors": 9000, "quality_vectors": 3}).passed


def test_an_emptied_graph_is_a_loss() -> None:
    found = graph({"nodes": 0, "relationships": 0}, {"nodes": 100, "relationships": 50})
    assert (found.passed, found.minor, found.problem) == (False, False, "count_collapsed")


def test_one_emptied_part_of_a_large_graph_only_degrades() -> None:
    found = graph({"nodes": 1000, "relationships": 0}, {"nodes": 1000, "relationships": 50})
    assert (found.passed, found.minor, found.parts) == (False, True, ("relationships",))


def test_without_a_backup_or_a_count_nothing_is_known() -> None:
    settings = load_settings()
    first = judge(sample("good", service="memgraph"), Knowledge(live={"graph": Counts({"nodes": 1})}), settings)
    assert first is not None and first.passed is None and "no good backup" in first.detail
    known = Knowledge(expected={"graph": Expected("B", {"nodes": 100})}, live={"graph": Counts(None, "timeout")})
    second = judge(sample("good", service="memgraph"), known, settings)
    assert second is not None and second.passed is None


def test_a_dead_service_is_not_called_inconsistent() -> None:
    found = judge(sample("dead"), Knowledge(expected={"vectors": Expected("B", {"a": 100})}), load_settings())
    assert found is not None and found.passed is None


def test_a_collection_of_another_size_degrades_and_is_named() -> None:
    found = vectors({"archon_vectors": 100}, {"archon_vectors": 100}, {"archon_vectors": {"": 768}})
    assert (found.passed, found.minor, found.problem, found.parts) == (
        False, True, "wrong_dimension", ("archon_vectors",),
    )  # fmt: skip
    assert "768" in found.detail and "1536" in found.detail


def test_collections_of_others_may_have_any_size() -> None:
    assert vectors({"archon_vectors": 100}, {"archon_vectors": 100}, SIZE | {"other": {"": 4}}).passed


def test_the_models_real_output_counts() -> None:
    found = vectors({"archon_vectors": 100}, {"archon_vectors": 100}, model=Model(True, 768))
    assert (found.passed, found.problem, found.parts) == (False, "wrong_dimension", ("archon_vectors",))
    ours = judge(sample("good", service="ollama"), Knowledge(model=Model(True, 768)), load_settings())
    assert ours is not None and ours.passed is False and "768" in ours.detail


def test_a_loss_is_told_before_a_wrong_size() -> None:
    found = vectors({}, {"archon_vectors": 100}, {"archon_vectors": {"": 768}})
    assert found.problem == "count_collapsed" and "768" in found.detail


def test_services_without_a_store_have_nothing_to_be_consistent() -> None:
    assert judge(sample("good", service="archon-mcp"), Knowledge(), load_settings()) is None


def test_what_failed_before_is_compared_again_and_not_with_its_own_failure() -> None:
    """A store that was restored is well as soon as its counts are."""
    before = sample("good", service="memgraph").with_facets((Facet("consistent", False, problem="count_collapsed"),))
    known = Knowledge(expected={"graph": Expected("B", {"nodes": 100})}, live={"graph": Counts({"nodes": 100})})
    found = judge(before, known, load_settings())
    assert found is not None and found.passed


def relational(live: Counts) -> Facet:
    known = Knowledge(expected={"relational": Expected("B", {"public.a": 3, "public.b": 4})}, live={"relational": live})
    found = judge(sample("good", service="postgres"), known, load_settings())
    assert found is not None
    return found


def test_a_database_that_does_not_exist_any_more_is_a_loss() -> None:
    found = relational(Counts(None, 'psql: FATAL:  database "archon" does not exist'))
    assert (found.passed, found.minor, found.problem) == (False, False, "database_gone")
    assert "does not exist; 7 records in backup B" in found.detail


def test_a_database_without_any_of_its_tables_is_a_loss_however_small_they_were() -> None:
    found = relational(Counts({}))
    assert (found.passed, found.minor) == (False, False) and "gone: public.a, public.b" in found.detail
    assert relational(Counts({"public.a": 0, "public.b": 0})).passed  # a handful of records may go
    assert relational(Counts(None, "no answer within 10 s")).passed is None


def test_a_dropped_table_is_told_from_an_emptied_one() -> None:
    known = Knowledge(
        expected={"relational": Expected("B", {"public.a": 90, "public.b": 20, "public.c": 20})},
        live={"relational": Counts({"public.a": 90, "public.c": 0})},
    )
    found = judge(sample("good", service="postgres"), known, load_settings())
    assert found is not None and (found.passed, found.minor) == (False, True)
    assert "gone: public.b; empty: public.c" in found.detail
