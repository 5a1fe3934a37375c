"""Measuring: parts are asked one after the other, what fails is said, and nothing at all is an error."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from archon_dagster.context import Step
from archon_dagster.errors import ArchonError, Cancelled, StoreUnavailable
from archon_dagster.performance import machine
from archon_dagster.performance.database import _bloat, _statistics
from archon_dagster.performance.graph import storage
from archon_dagster.performance.measures import Area, Fact, Found, Measurement, Missing, Reading, Site
from archon_dagster.performance.measuring import Part, measure
from archon_dagster.performance.response_times import services
from archon_dagster.performance.vectors import numbers
from archon_dagster.platform.runtime.elsewhere import ElsewhereRuntime
from archon_dagster.platform.runtime.protocol import ServiceStats
from archon_dagster.repository.repository import Repository
from archon_dagster.stores.base import Progress, Work
from archon_dagster.stores.graph.connection import Bolt
from archon_dagster.stores.graph.dialect import choose
from archon_dagster.stores.graph.driver import Endpoint
from archon_dagster_tests.unit.memgraph_double import MemgraphDouble
from archon_dagster_tests.unit.platform_double import Platform, SwitchRuntime


def good(site: Site) -> Iterator[Found]:
    yield Reading(area="vectors", subject="x", name="p50", value=1.0)


def broken(site: Site) -> Iterator[Found]:
    yield Reading(area="graph", subject="graph", name="nodes", value=7)
    raise StoreUnavailable("the graph server is gone", where="bolt://x")


def measured(platform: Platform, parts: dict[str, Part], cancel: threading.Event | None = None) -> Measurement:
    return measure(platform.settings, platform.runtime, cancel or threading.Event(), parts=parts)  # type: ignore[arg-type]


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    return Platform(tmp_path)


def test_what_fails_is_said_and_what_it_gave_before_is_kept(platform: Platform) -> None:
    told: list[str] = []

    def report(news: Step | Progress) -> None:
        if isinstance(news, Step) and news.failed:
            told.append(news.failed)

    parts: dict[Area, Part] = {"graph": broken, "vectors": good}
    found = measure(platform.settings, platform.runtime, threading.Event(), report, parts)  # type: ignore[arg-type]
    assert [(one.subject, one.value) for one in found.readings] == [("graph", 7), ("x", 1.0)]
    assert [one.why for one in found.missing] == told == ["the graph server is gone (bolt://x)"]


def test_nothing_at_all_is_an_error(platform: Platform) -> None:
    def nothing(site: Site) -> Iterator[Found]:
        yield from ()
        raise StoreUnavailable("no answer")

    with pytest.raises(ArchonError, match=r"nothing of the platform could be measured[\s\S]*no answer"):
        measured(platform, {"graph": nothing, "host": machine.measure_host})


def test_that_every_answer_was_bad_is_no_measurement(platform: Platform) -> None:
    def refused(site: Site) -> Iterator[Found]:
        yield Reading(area="response_times", subject="archon-search", name="failed", value=1.0)
        yield Missing(area="response_times", subject="archon-search", why="3 of 3 answers were bad: refused")

    with pytest.raises(ArchonError, match=r"nothing of the platform could be measured[\s\S]*refused"):
        measured(platform, {"response_times": refused, "host": machine.measure_host})


def test_a_cancelled_measurement_is_no_failure_of_a_server(platform: Platform) -> None:
    cancel = threading.Event()

    def cancelled(site: Site) -> Iterator[Found]:
        cancel.set()
        yield from ()
        raise StoreUnavailable("closed while waiting")

    with pytest.raises(Cancelled):
        measured(platform, {"graph": cancelled, "vectors": good}, cancel)


def test_who_was_at_work_meanwhile_is_said(platform: Platform) -> None:
    repository: Repository = platform.repository
    with repository.lock("backup"):
        assert measured(platform, {"vectors": good}).disturbed == "backup"
    assert measured(platform, {"vectors": good}).disturbed == ""


def test_a_service_that_does_not_run_is_missing_and_others_are_averaged(platform: Platform) -> None:
    class Busy(SwitchRuntime):
        looks = 0

        def stats(self) -> list[ServiceStats]:
            self.looks += 1
            return [ServiceStats("qdrant", 10.0 * self.looks, 1000 * self.looks)]

    site = Site(platform.settings, Busy(("qdrant", "memgraph")), threading.Event())  # type: ignore[arg-type]
    found = list(machine.measure_services(site))
    assert [(one.name, one.value) for one in found if isinstance(one, Reading)] == [("cpu", 20.0), ("memory", 3000)]
    assert [(one.subject, one.why) for one in found if isinstance(one, Missing)] == [("memgraph", "it does not run")]


def test_elsewhere_the_services_are_not_looked_at_and_the_critical_ones_are_asked(platform: Platform) -> None:
    site = Site(platform.settings, ElsewhereRuntime(), threading.Event())
    (fact,) = machine.measure_services(site)
    assert isinstance(fact, Fact) and "ARCHON_RUNTIME=elsewhere" in fact.text
    assert [one.name for one in services(site)] == [
        "archon-bridge", "archon-intelligence", "archon-search", "archon-mcp",
    ]  # fmt: skip


def test_only_services_that_this_platform_has_are_asked(platform: Platform) -> None:
    runtime = SwitchRuntime(("qdrant", "archon-search"))
    site = Site(platform.settings, runtime, threading.Event())  # type: ignore[arg-type]
    assert [one.name for one in services(site)] == ["archon-search"]


def test_memgraphs_own_account_of_its_memory(platform: Platform) -> None:
    """Of the answers of a real server."""
    with Bolt(Endpoint("bolt://127.0.0.1:7687"), Work(Path("/nonexistent")), MemgraphDouble().open) as bolt:
        found = list(storage(bolt, choose(bolt)))
    values = {one.name: one.value for one in found if isinstance(one, Reading)}
    assert set(values) == {"nodes", "relationships", "memory", "disk"}
    assert values["memory"] > 2**20
    assert "storage_mode" in {one.name for one in found if isinstance(one, Fact)}


def test_what_a_collection_says_differs_from_server_to_server() -> None:
    assert numbers({"points_count": 200, "indexed_vectors_count": 400, "segments_count": 3}) == {
        "points": 200, "segments": 3, "indexed": 1.0,
    }  # fmt: skip
    assert numbers({"points_count": None}) == {"points": 0}
    assert numbers({"points_count": 4, "indexed_vectors_count": 1}) == {"points": 4, "indexed": 0.25}


def test_shares_of_too_little_are_left_out() -> None:
    row = [90, 10, 1, 1, 0, 0, 5, 2, 100]
    assert {one.name for one in _statistics(row) if isinstance(one, Reading)} == {
        "connections used", "deadlocks", "temporary files", "size",
    }  # fmt: skip
    values = {one.name: one.value for one in _statistics([99_000, 1_000, 9_000, 1_000, 0, 0, 5, 25, 100])
              if isinstance(one, Reading)}  # fmt: skip
    assert (values["cache hits"], values["rolled back"], values["connections used"]) == (0.99, 0.1, 0.25)
    assert list(_bloat([("public.t", 10, 0, "never")])) == []


def test_the_worst_tables_are_named() -> None:
    found = list(_bloat([("public.big", 60_000, 40_000, "never"), ("public.small", 10, 5, "2026-11-29")]))
    assert isinstance(found[0], Reading) and found[0].value == pytest.approx(0.4, abs=0.001)
    facts = [f"{one.name}: {one.text}" for one in found if isinstance(one, Fact)]
    assert facts[0] == "public.big: 40,000 dead of 100,000 rows, last vacuumed: never"
