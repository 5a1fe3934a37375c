"""A draft of the post-mortem in Markdown, from the timeline: what is known stands there, what is not is asked for."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from archon_dagster.backup.summary import duration_text
from archon_dagster.recovery.book import Book
from archon_dagster.recovery.incident import Event, Incident

_STATES = {
    "open": "being worked on",
    "escalated": "waits for a person",
    "recovered": "over",
    "merged": "part of another incident",
}


_TO_BE_FILLED_IN = """\
## To be filled in

- Who noticed it, and how were users affected?
- Root cause:
- What went well, what did not:
- What is changed so that it does not happen again, by whom, until when:"""


def write_report(book: Book, incident: Incident, now: datetime) -> Path:
    """Write ``report.md`` beside the incident, anew."""
    return book.write_text(incident.id, "report.md", report(incident, now, evidence_of(book, incident)))


def evidence_of(book: Book, incident: Incident) -> list[str]:
    """The files of the evidence, relative to the incident's directory."""
    root = book.evidence(incident.id)
    return sorted(str(path.relative_to(root.parent)) for path in root.rglob("*") if path.is_file())


def report(incident: Incident, now: datetime, evidence: list[str]) -> str:
    """The whole page."""
    parts = [
        f"# Incident {incident.id}: {incident.title}",
        _facts(incident, now),
        _commands(incident),
        _timeline(incident),
        _evidence(evidence),
        _TO_BE_FILLED_IN,
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def numbers(incident: Incident) -> dict[str, int | float | str]:
    """The incident as numbers that can be plotted."""
    found: dict[str, int | float | str] = {
        "class": incident.kind,
        "state": incident.state,
        "services": ", ".join(incident.services),
        "attempts": incident.attempts,
        "seconds to detect": round(incident.seconds_to_detect, 3),
    }
    if incident.seconds_to_recover is not None:
        found["seconds to recover"] = round(incident.seconds_to_recover, 3)
    if incident.objective is not None:
        found["RTO objective (s)"] = incident.objective[1].target
    return found


def _facts(incident: Incident, now: datetime) -> str:
    rows = [
        ("state", _STATES[incident.state]),
        ("services", ", ".join(incident.services)),
        ("root cause, as seen", _said(incident)),
        ("first seen", _clock(incident.first_seen)),
        ("confirmed", f"{_clock(incident.opened)}, {duration_text(incident.seconds_to_detect)} later"),
        ("recovered", _recovered(incident, now)),
        ("objective", _objective(incident)),
        ("attempts", str(incident.attempts)),
    ]
    return "\n".join(["| | |", "|---|---|", *(f"| {word} | {_cell(text)} |" for word, text in rows)])


def _said(incident: Incident) -> str:
    return next((event.text for event in incident.events if event.kind == "confirmed"), "") or "not known"


def _recovered(incident: Incident, now: datetime) -> str:
    if incident.seconds_to_recover is not None and incident.closed is not None:
        return f"{_clock(incident.closed)}, {duration_text(incident.seconds_to_recover)} after it was confirmed"
    if incident.is_open:
        return f"not yet, after {duration_text(max(0.0, (now - incident.opened).total_seconds()))}"
    return "with the incident that it became part of"


def _objective(incident: Incident) -> str:
    if incident.objective is None:
        return "none: it is run by somebody else"
    row, objective = incident.objective
    met = {True: ": met", False: ": **missed**", None: ""}[incident.within_objective]
    return f"{duration_text(objective.target)}, at most {duration_text(objective.maximum)} ({row}){met}"


def _commands(incident: Incident) -> str:
    if incident.state != "escalated" or not incident.commands:
        return ""
    why = next(event.text for event in reversed(incident.events) if event.kind == "escalated")
    return "\n".join(["## What to do now", "", why, "", "```", *incident.commands, "```"])


def _timeline(incident: Incident) -> str:
    start = incident.first_seen
    rows = [f"| {_clock(e.at)} | {_offset(e.at - start)} | {e.kind} | {_cell(_words(e))} |" for e in incident.events]
    return "\n".join(["## Timeline", "", "| when (UTC) | since | what | |", "|---|---|---|---|", *rows])


def _words(event: Event) -> str:
    step = str(event.step) if event.step else ""
    how = {True: "done", False: "FAILED", None: ""}[event.ok]
    took = duration_text(event.seconds) if event.seconds is not None else ""
    return "; ".join(filter(None, (step, " in ".join(filter(None, (how, took))), event.text)))


def _evidence(files: list[str]) -> str:
    if not files:
        return ""
    return "\n".join(["## Evidence", "", "Captured before anything was touched.", "", *(f"- `{f}`" for f in files)])


def _clock(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M:%S}"


def _offset(apart: timedelta) -> str:
    return f"+{duration_text(max(0.0, apart.total_seconds()))}"


def _cell(text: str) -> str:
    """Text for one cell of a table."""
    return text.replace("|", "\\|").replace("\r", "").replace("\n", "<br>")
