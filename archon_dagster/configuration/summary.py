"""What a validation and a change look like to an operator; plain values, shown by Dagster and the command line."""

from __future__ import annotations

from typing import Any

from archon_dagster.backup.summary import duration_text
from archon_dagster.configuration.apply import Change
from archon_dagster.configuration.history import Record
from archon_dagster.configuration.validation import Validation

PROBLEM_COLUMNS = ("line", "variable", "severity", "problem", "what to do")


def problem_rows(found: Validation) -> list[dict[str, str | int]]:
    """A row of :data:`PROBLEM_COLUMNS` for each problem."""
    return [
        {
            "line": one.line or "·", "variable": one.key, "severity": one.severity,
            "problem": one.text, "what to do": one.todo,
        }
        for one in found.problems
    ]  # fmt: skip


def validation_data(found: Validation) -> dict[str, Any]:
    """A validation for programs; no value of the file is in it."""
    return {
        "file": found.where,
        "exit_code": found.exit_code,
        "live": found.live,
        "variables": len(found.file.values),
        "problems": [
            {"line": one.line, "key": one.key, "severity": one.severity, "text": one.text, "todo": one.todo}
            for one in found.problems
        ],
    }


def change_data(change: Change) -> dict[str, Any]:
    """A change, or a plan of one, for programs."""
    return {
        "summary": change.headline,
        "kind": change.kind,
        "source": change.source,
        "changes": [
            {"key": one.key, "how": one.how, "before": one.before, "after": one.after, "services": list(one.readers)}
            for one in change.difference.changes
        ],
        "replaced": list(change.replaced),
        "not_running": list(change.waiting),
        "unwell_as_before": change.unwell,
        "warnings": [one.sentence for one in change.problems],
        "notes": list(change.notes),
        "record": change.record.id if change.record else None,
        "seconds": round(change.seconds, 3),
    }


def change_notes(change: Change) -> list[str]:
    """Everything an operator should read besides what changed, a line each."""
    found = [f"{name} does not run: it reads the file when it starts" for name in change.waiting]
    found += [f"{name} was not well before and is not now: {said}" for name, said in change.unwell.items()]
    found += [f"warning: {one.sentence}" for one in change.problems]
    return found + list(change.notes)


def change_page(change: Change) -> str:
    """A change on one Markdown page."""
    lines = [f"### {change.headline}", f"in **{duration_text(change.seconds)}**", "", "| variable | | before | after |",
             "|---|---|---|---|"]  # fmt: skip
    lines += [
        f"| {one.key} | {one.how} | {_cell(one.before)} | {_cell(one.after)} |" for one in change.difference.changes
    ]
    return "\n".join((*lines, "", *(f"- {note}" for note in change_notes(change))))


def record_page(record: Record) -> str:
    """A record of the history on one Markdown page."""
    lines = [f"### {record.kind}: {record.result}", *(f"- {line}" for line in record.changed)]
    lines += [f"\nreplaced: {', '.join(record.services)}"] if record.services else []
    lines += [f"\n{record.detail}"] if record.detail else []
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
