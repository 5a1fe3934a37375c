"""What `archon health` says of what it has found."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from archon_dagster.cli.health import drawn
from archon_dagster.health.checks import evaluations
from archon_dagster.health.evaluation import ServiceState
from archon_dagster.health.knowledge import Knowledge
from archon_dagster.health.monitor import Tick
from archon_dagster.health.samples import Facet, Sample
from archon_dagster.health.state import MonitorState
from archon_dagster_tests.unit.health.samples import sample


def shown(consistent: Facet, counted_at: float) -> dict[str, str]:
    """The line of each store, at 1,000 seconds."""
    names = ("qdrant", "memgraph")
    samples = {name: sample("good", service=name).with_facets((consistent,)) for name in names}
    services = {name: ServiceState("healthy") for name in names}
    state = MonitorState(at=1000.0, services=services, known=Knowledge(live_at=counted_at))
    out = io.StringIO()
    Console(file=out, width=150).print(drawn(Tick(state, samples, (), frozenset(), 0.1)))
    return {line.split()[0]: line for line in out.getvalue().splitlines() if line.strip()}


@pytest.mark.parametrize("passed", [True, False])
def test_how_old_the_counts_are_is_said_where_they_were_compared(passed: bool) -> None:
    lines = shown(Facet("consistent", passed, "200 records, 200 in backup B", problem="count_collapsed"), 958.0)
    assert lines["memgraph"].rstrip().endswith("; counts of 42 s ago")
    assert "ago" not in lines["qdrant"]  # counted just now


@pytest.mark.parametrize(("passed", "at"), [(None, 958.0), (True, 0.0)])
def test_where_nothing_was_compared_nothing_is_said_of_counts(passed: bool | None, at: float) -> None:
    assert "ago" not in shown(Facet("consistent", passed, "there is no good backup"), at)["memgraph"]


def test_what_cannot_be_reached_is_not_shown_as_ready() -> None:
    """Nobody has asked it, so its last answer would stay green beside the red check."""
    dead = Sample("archon-mcp", 1.0, (Facet("reachable", False, "refused"), Facet("ready", None), Facet("fast", None)))
    assert {one.check_name: one.passed for one in evaluations(dead, ())} == {"reachable": False, "ready": False}
    silent = Sample("archon-mcp", 1.0, (Facet("reachable", True), Facet("ready", None), Facet("fast", None)))
    assert {one.check_name: one.passed for one in evaluations(silent, ())} == {"reachable": True}
