"""What the terminal shows of a step: a tick only for one that did what it should."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from archon_dagster.cli.progress import News, RunLines, StartLines, Totals
from archon_dagster.context import Step

DONE = Step("verify the backup", "20261124T190731Z-132f", 3.0)
FAILED = Step("start", "archon-search", 12.0, failed="archon-search [is] not ready after 12.0 s")


def directly(step: Step) -> str:
    """As ``--direct`` shows it."""
    out = io.StringIO()
    with News(Console(file=out, width=120)) as news:
        news(step)
    return out.getvalue()


def through_dagster(step: Step) -> str:
    """As a run's log lines show it."""
    out = io.StringIO()
    with RunLines(Console(file=out, width=120)) as lines:
        lines(step.line)
    return out.getvalue()


@pytest.mark.parametrize("shown", [directly, through_dagster])
def test_a_step_that_is_done_gets_a_tick(shown) -> None:  # type: ignore[no-untyped-def]
    line = shown(DONE)
    assert line.startswith("  ✓ verify the backup: 20261124T190731Z-132f 3.00 s")


@pytest.mark.parametrize("shown", [directly, through_dagster])
def test_a_step_that_failed_gets_a_cross_and_the_reason(shown) -> None:  # type: ignore[no-untyped-def]
    line = shown(FAILED)
    assert line.startswith("  ✗ start: archon-search")
    assert "archon-search [is] not ready after 12.0 s" in line
    assert "✓" not in line


def test_a_step_that_has_only_begun_is_no_line_yet() -> None:
    assert directly(Step("verify the backup")) == ""
    assert Step("verify the backup").line == "verify the backup …"


def test_a_start_is_one_line_for_each_service() -> None:
    out = io.StringIO()
    with StartLines(Console(file=out, width=100)) as news:
        for name in ("qdrant", "postgres"):
            news(f"0.1 s  {name} is starting on port 1")
        for name in ("postgres", "qdrant"):
            news(f"0.9 s  {name} is ready (answers)")
    assert [line.split()[2] for line in out.getvalue().splitlines()] == ["postgres", "qdrant"]


def test_what_is_written_is_one_line_for_each_kind() -> None:
    out = io.StringIO()
    with Totals(Console(file=out, width=100)) as told:
        for what, count in (("files", 12), ("graph", 500), ("graph", 1_234), ("tables", 7)):
            told(what, count)
    said = [line.strip() for line in out.getvalue().splitlines()]
    assert said == ["files: 12 written", "graph: 1,234 written", "tables: 7 written"]
