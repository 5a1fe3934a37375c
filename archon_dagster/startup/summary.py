"""What a start looks like to an operator; plain values, shown by Dagster and by the command line."""

from __future__ import annotations

from archon_dagster.backup.summary import duration_text
from archon_dagster.startup.report import Report

COLUMNS = ("service", "how", "seconds", "answer")


def rows(report: Report) -> list[dict[str, str | float]]:
    """A row of :data:`COLUMNS` for each service."""
    return [
        {"service": one.service, "how": one.how, "seconds": round(one.seconds, 2), "answer": one.detail}
        for one in report.started.services
    ]


def start_numbers(report: Report) -> dict[str, int | float | str]:
    """A start, as metadata."""
    numbers: dict[str, int | float | str] = {
        "seconds": round(report.seconds, 3),
        "services until ready (s)": round(report.started.seconds, 3),
        "services touched": len(report.started.touched),
        "services not ready": len(report.started.missing) + len(report.started.degraded),
    }
    for store, parts in report.compared.counts.items():
        numbers[f"records in {store}"] = sum(parts.values())
    return numbers


def page(report: Report) -> str:
    """The start on one Markdown page."""
    lines = [
        f"### {report.headline}",
        f"in **{duration_text(report.seconds)}**",
        "",
        "| service | | seconds | answer |",
        "|---|---|--:|---|",
    ]
    for row in rows(report):
        answer = str(row["answer"]).replace("|", "\\|")
        lines.append(f"| {row['service']} | {row['how']} | {row['seconds']} | {answer} |")
    return "\n".join((*lines, "", *(f"- {note}" for note in notes(report))))


def notes(report: Report) -> list[str]:
    """Everything that is not a service, a line each."""
    found = [external.line for external in report.externals]
    found += [loss.line for loss in report.compared.losses]
    found += [f"{store}: nothing was known of it before" for store in report.compared.unknown]
    if not report.untouched:
        found.append(f"end-to-end test: {report.tested.detail}")
    return found + list(report.warnings)
