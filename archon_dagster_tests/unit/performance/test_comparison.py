"""What counts as worse, and when a measurement becomes the baseline."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from archon_dagster.performance.baseline import against_baseline, hindrance, keep, latest, load, path, renew
from archon_dagster.performance.comparison import compare, is_worse
from archon_dagster.performance.measures import MEASURES, Area, Measurement, Missing, Reading
from archon_dagster.performance.summary import notes, number_rows, page, time_rows
from archon_dagster.platform.settings import Settings, load_settings

TOLERANCE = 0.5


def reading(name: str, value: float, subject: str = "archon-search", area: Area = "response_times") -> Reading:
    return Reading(area=area, subject=subject, name=name, value=value)


def measured(*readings: Reading, disturbed: str = "", missing: tuple[Missing, ...] = ()) -> Measurement:
    return Measurement(at=1.8e9, seconds=2.0, readings=readings, disturbed=disturbed, missing=missing)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(ARCHON_HOME=tmp_path, ARCHON_RUNTIME="processes")


@pytest.mark.parametrize(
    ("name", "before", "now", "worse"),
    [
        ("p95", 100.0, 151.0, True),
        ("p95", 100.0, 149.0, False),  # within the tolerance
        ("p95", 2.0, 20.0, False),  # ten times as much, and noise
        ("p95", 100.0, 10.0, False),
        ("p99", 10.0, 10_000.0, False),  # of fifty answers it is the slowest one
        ("failed", 0.0, 0.02, True),
        ("cache hits", 0.99, 0.90, True),
        ("cache hits", 0.90, 0.99, False),
        ("indexed", 1.0, 0.5, True),
        ("memory", 2.0**30, 2.0**30 * 1.6, True),
        ("memory", 2.0**20, 2.0**24, False),
        ("points", 1000, 0, False),  # whether data are gone is health's question
        ("disk used", 0.5, 0.61, True),
    ],
)
def test_worse_is_more_than_noise_and_more_than_the_tolerance(
    name: str, before: float, now: float, worse: bool
) -> None:
    assert is_worse(reading(name, now), before, TOLERANCE) is worse


def test_every_number_that_can_be_worse_has_a_floor() -> None:
    assert [name for name, measure in MEASURES.items() if measure.worse and not measure.floor] == []


def test_a_question_that_is_not_answered_any_more_is_named() -> None:
    then = measured(reading("p50", 1.0), reading("p50", 1.0, "archon-mcp"))
    assert compare(measured(reading("p50", 1.0)), then, TOLERANCE).lost == ("archon-mcp",)


def test_the_first_measurement_becomes_the_baseline_and_a_better_one_renews_it(settings: Settings) -> None:
    first = measured(reading("p95", 100.0))
    assert renew(settings, against_baseline(settings, first)).renewed
    better = measured(reading("p95", 40.0))
    assert renew(settings, against_baseline(settings, better)).renewed
    assert load(settings.home) == better


@pytest.mark.parametrize(
    ("now", "why"),
    [
        (measured(reading("p95", 300.0)), "archon-search p95 100.0 ms -> 300.0 ms"),
        (measured(reading("p95", 90.0), disturbed="backup of everything"), "backup of everything was at work"),
        (measured(reading("p95", 90.0, "archon-mcp")), "it knows more: archon-search"),
    ],
)
def test_what_is_worse_does_not_become_the_rule_unless_somebody_says_so(
    settings: Settings, now: Measurement, why: str
) -> None:
    first = measured(reading("p50", 1.0), reading("p95", 100.0))
    renew(settings, against_baseline(settings, first))
    refused = renew(settings, against_baseline(settings, now))
    assert (refused.renewed, load(settings.home)) == (False, first)
    assert why in refused.kept
    assert renew(settings, against_baseline(settings, now), accept=True).renewed
    assert load(settings.home) == now


def test_a_damaged_baseline_is_set_aside_and_there_is_none(settings: Settings) -> None:
    path(settings.home).parent.mkdir(parents=True)
    path(settings.home).write_text('{"at": ')
    assert load(settings.home) is None
    assert path(settings.home).with_name("baseline.json.damaged").exists()
    assert hindrance(against_baseline(settings, measured(reading("p95", 1.0)))) == ""


def test_a_report_is_remembered_whole(settings: Settings) -> None:
    renew(settings, against_baseline(settings, measured(reading("p95", 10.0))))
    found = keep(settings, against_baseline(settings, measured(reading("p95", 90.0), reading("cpu", 4.0))))
    assert latest(settings.home) == found
    assert [one.worse for one in found.comparison.changes] == [True]


def test_what_is_worse_stands_beside_what_it_was(settings: Settings) -> None:
    then = measured(reading("p95", 10.0), reading("memory", 2.0**30, "qdrant", "services"))
    renew(settings, against_baseline(settings, then))
    gone = Missing(area="graph", subject="graph", why="it is gone")
    now = measured(reading("p95", 90.0), reading("memory", 2.0**31, "qdrant", "services"), missing=(gone,))
    found = against_baseline(settings, now)
    assert time_rows(found)[0][:3] == ("archon-search", "·", "90.0 (was 10.0)")
    assert number_rows(found, "services") == [("qdrant memory", "2.1 GB", "1.1 GB", "+100% WORSE", "·")]
    said = "\n".join(notes(found))
    assert "worse: archon-search p95 10.0 ms -> 90.0 ms" in said and "graph: it is gone" in said
    assert "| archon-search | · | 90.0 (was 10.0) |" in page(found)


def test_a_measurement_of_an_older_version_with_other_numbers_can_be_read(settings: Settings) -> None:
    old = measured(reading("p95", 10.0)).model_dump(mode="json")
    old["readings"].append({"area": "host", "subject": "host", "name": "entropy", "value": 3.0})
    path(settings.home).parent.mkdir(parents=True)
    path(settings.home).write_text(json.dumps(old))
    found = against_baseline(settings, measured(reading("p95", 10.0), reading("entropy", 9.0, "host", "host")))
    assert found.comparison.worse == ()


def test_a_busy_machine_is_said_to_be(settings: Settings) -> None:
    busy = against_baseline(settings, measured(reading("p95", 9.0), reading("cpu", 97.0, "host", "host")))
    assert "this machine was busy" in "\n".join(notes(busy))
    idle = against_baseline(settings, measured(reading("p95", 9.0), reading("cpu", 40.0, "host", "host")))
    assert "busy" not in "\n".join(notes(idle))


def test_the_first_one_is_not_measured_beside_a_backup(settings: Settings) -> None:
    found = against_baseline(settings, measured(reading("p95", 90.0), disturbed="backup"))
    assert "backup was at work meanwhile" in renew(settings, found).kept
    assert load(settings.home) is None
