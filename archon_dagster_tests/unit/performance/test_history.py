"""What the reports before have measured is drawn beside every number, for the terminal and for the UI."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import dagster as dg
import pytest

from archon_dagster.cli.main import run
from archon_dagster.performance.baseline import against_baseline, keep, latest, remembered
from archon_dagster.performance.checks import metadata
from archon_dagster.performance.history import KEPT, sparkline
from archon_dagster.performance.report import Report
from archon_dagster.performance.summary import number_rows, page, time_rows
from archon_dagster.platform.settings import Settings, load_settings
from archon_dagster_tests.unit.performance.test_comparison import measured, reading


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(ARCHON_HOME=tmp_path, ARCHON_RUNTIME="processes")


def report(settings: Settings, p95: float | None, memory: float) -> Report:
    """A report as the next one finds it."""
    times = [] if p95 is None else [reading("p95", p95)]
    now = measured(*times, reading("memory", memory, "qdrant", "services"))
    return keep(settings, remembered(settings, against_baseline(settings, now)))


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ([1, 2, 3, 4, 5, 6, 7], "▂▃▄▅▆▇█"),
        ([0, 0, 7], "▁▁█"),
        ([0, 0], "▁▁"),
        ([100, 99, 101], "███"),  # noise is no mountain
        ([5], "█"),
    ],
)
def test_a_bar_is_as_high_as_its_number(values: list[float], line: str) -> None:
    assert sparkline(values) == line


def test_the_first_report_has_nothing_to_draw(settings: Settings) -> None:
    found = report(settings, 10.0, 1e9)
    assert time_rows(found)[0][-1] == number_rows(found, "services")[0][-1] == "·"


def test_every_number_is_drawn_through_the_reports_that_have_it(settings: Settings) -> None:
    for p95, memory in ((10.0, 7e9), (None, 7e9), (35.0, 7e9), (70.0, 1e9)):
        found = report(settings, p95, memory)
    assert time_rows(found)[0][-1] == "▂▅█"
    assert number_rows(found, "services")[0][-1] == "███▂"
    assert "▂▅█ |" in page(found) and "███▂ |" in page(found)
    assert latest(settings.home) == found


def test_only_so_many_are_kept(settings: Settings) -> None:
    for number in range(KEPT + 5):
        found = report(settings, float(number), 1e9)
    assert [point.values["archon-search p95"] for point in found.history] == list(range(5, KEPT + 5))


def test_the_ui_draws_the_history_and_plots_the_number_from_run_to_run(settings: Settings) -> None:
    report(settings, 10.0, 1e9)
    shown = metadata(report(settings, 70.0, 1e9), "response_times")
    assert shown["archon-search p95 (ms)"] == dg.MetadataValue.float(70.0)
    (record,) = shown["numbers"].records
    assert record.data["so far"] == "▂█"
    assert "▂█" in shown["report"].value


def test_the_command_draws_it_and_gives_it_to_programs(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def archon(*words: str) -> str:
        monkeypatch.setenv("ARCHON_HOME", str(settings.home))
        monkeypatch.setattr(sys, "argv", ["archon", "performance", "--last", *words])
        with pytest.raises(SystemExit) as ended:
            run()
        assert not ended.value.code
        return capsys.readouterr().out

    assert "nothing was measured here yet" in archon()
    assert json.loads(archon("--json")) is None
    for p95 in (10.0, 35.0, 70.0):
        report(settings, p95, 1e9)
    rows = [line.split() for line in archon().splitlines()]
    assert next(row[-1] for row in rows if row[:1] == ["archon-search"]) == "▂▅█"
    history = json.loads(archon("--json"))["history"]
    assert [point["values"]["archon-search p95"] for point in history] == [10.0, 35.0, 70.0]
