"""A measurement as an operator sees it; plain values, shown by Dagster and by the command line."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from archon_dagster.backup.summary import duration_text, size_text
from archon_dagster.performance.comparison import Change
from archon_dagster.performance.history import drawn
from archon_dagster.performance.measures import AREAS, Area, Reading

if TYPE_CHECKING:
    from archon_dagster.performance.report import Report

TIMES = ("question", "p50 ms", "p95 ms", "p99 ms", "answers", "bad", "p95 so far")
NUMBERS = ("what", "now", "baseline", "change", "so far")
_OF_TIMES = ("p50", "p95", "p99", "answers", "failed")
_DRAWN = "p95"
TITLES: dict[Area, str] = {
    "response_times": "services",
    "vectors": "Qdrant",
    "graph": "graph",
    "database": "PostgreSQL",
    "services": "what the services use",
    "host": "this machine",
}


def value_text(reading: Reading, value: float | None = None) -> str:
    """A number with its unit."""
    shown = reading.value if value is None else value
    match reading.measure.unit:
        case "ms":
            return f"{shown:.1f} ms"
        case "share":
            return f"{shown:.1%}"
        case "bytes":
            return size_text(shown)
        case "%":
            return f"{shown:.0f} %"
        case _:
            return f"{shown:,.0f}" if shown == int(shown) else f"{shown:,.2f}"


def change_text(change: Change) -> str:
    """``archon-search p95 5.2 ms -> 81.0 ms``."""
    one = change.reading
    return f"{one.subject} {one.name} {value_text(one, change.before)} -> {value_text(one)}"


def time_rows(report: Report) -> list[tuple[str, ...]]:
    """A row of :data:`TIMES` for each question; what is worse than the baseline has that beside it."""
    values = {(one.subject, one.name): one for one in report.measurement.readings if one.name in _OF_TIMES}
    subjects = dict.fromkeys(subject for subject, _ in values)
    return [
        (subject, *(_cell(report, values.get((subject, name))) for name in _OF_TIMES),
         _so_far(report, values.get((subject, _DRAWN))))
        for subject in subjects
    ]  # fmt: skip


def _so_far(report: Report, reading: Reading | None) -> str:
    return "·" if reading is None else drawn(report.history, reading)


def _cell(report: Report, reading: Reading | None) -> str:
    if reading is None:
        return "·"
    text = f"{reading.value:.1f}" if reading.measure.unit == "ms" else value_text(reading)
    worse = next((one for one in report.comparison.worse if one.reading.key == reading.key), None)
    return f"{text} (was {worse.before:.1f})" if worse and reading.measure.unit == "ms" else text


def number_rows(report: Report, area: Area) -> list[tuple[str, ...]]:
    """A row of :data:`NUMBERS` for each number of an area that is no response time."""
    changes = {change.reading.key: change for change in report.comparison.changes}
    return [
        (f"{one.subject} {one.name}", value_text(one), *_beside(changes.get(one.key)), _so_far(report, one))
        for one in report.measurement.of(area)
        if one.name not in _OF_TIMES
    ]


def all_rows(report: Report, area: Area) -> list[tuple[str, ...]]:
    """The same with the response times."""
    changes = {change.reading.key: change for change in report.comparison.changes}
    return [
        (f"{one.subject} {one.name}", value_text(one), *_beside(changes.get(one.key)), _so_far(report, one))
        for one in report.measurement.of(area)
    ]


def _beside(change: Change | None) -> tuple[str, str]:
    if change is None:
        return "·", "·"
    share = change.share
    moved = "·" if share is None or abs(share) < 0.005 else f"{share:+.0%}"
    return value_text(change.reading, change.before), f"{moved} WORSE" if change.worse else moved


def fact_rows(report: Report) -> list[tuple[str, str]]:
    """Words, each with what they are about; those of one subject together."""
    found: dict[str, list[str]] = {}
    for one in report.measurement.facts:
        found.setdefault(one.subject, []).append(one.text if one.name == one.subject else f"{one.name}: {one.text}")
    return [(subject, ", ".join(said)) for subject, said in found.items()]


def notes(report: Report) -> list[str]:
    """Everything that is not a number: what is worse, what is missing, what became of the baseline."""
    measured = report.measurement
    said = [f"worse: {change_text(change)}" for change in report.comparison.worse]
    said += [f"not answered any more: {subject}" for subject in report.comparison.lost]
    said += [one.sentence for one in report.drifts]
    said += dict.fromkeys(one.todo for one in report.drifts if one.todo)
    said += [f"{one.subject}: {one.why}" for one in measured.missing]
    if measured.disturbed:
        said.append(f"{measured.disturbed} was at work meanwhile: the times are not those of a platform at rest")
    if measured.busy:
        said.append("this machine was busy when it began: what is slow may be slow because of something else on it")
    if report.renewed:
        said.append("this measurement is the baseline from now on")
    elif report.kept:
        said.append(report.kept)
    if report.baseline is not None:
        then = datetime.fromtimestamp(report.baseline.at, UTC)
        said.append(f"compared with the baseline of {then:%Y-%m-%d %H:%M} UTC")
    elif not report.renewed:
        said.append("there is no baseline yet: the weekly maintenance takes one, or archon performance --baseline")
    return said


def page(report: Report, areas: Sequence[Area] = AREAS) -> str:
    """The report on one Markdown page."""
    lines = [f"### {report.headline}", f"in **{duration_text(report.measurement.seconds)}**", ""]
    lines += [f"- {_escaped(note)}" for note in notes(report)]
    lines += ["", *_table(TIMES, time_rows(report))]
    for area in areas:
        if rows := number_rows(report, area):
            lines += ["", f"**{TITLES[area]}**", "", *_table(NUMBERS, rows)]
    if facts := fact_rows(report):
        lines += ["", *_table(("subject", "says"), facts)]
    return "\n".join(lines) + "\n"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [
        f"| {' | '.join(columns)} |",
        f"|{'---|' * len(columns)}",
        *(f"| {' | '.join(map(_escaped, row))} |" for row in rows),
    ]


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
