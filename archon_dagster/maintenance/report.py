"""A maintenance run as an operator sees it; the newest reports are kept in the home."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from archon_dagster.backup.summary import duration_text
from archon_dagster.maintenance.journal import Journal
from archon_dagster.maintenance.step import Result
from archon_dagster.platform.whole_files import replace

COLUMNS = ("step", "result", "seconds", "detail")
KEPT = 26  # half a year of weeks


def rows(journal: Journal) -> list[dict[str, str | float]]:
    """A row of :data:`COLUMNS` for each step."""
    results = [journal.results.get(n, Result(step=n, state="skipped", detail="not reached")) for n in journal.steps]
    return [
        {"step": one.step, "result": one.state, "seconds": round(one.seconds, 2), "detail": one.detail}
        for one in results
    ]


def headline(journal: Journal) -> str:
    """The whole in a sentence."""
    failed = [one.step for one in journal.results.values() if one.state == "failed"]
    if failed:
        return f"the maintenance ended with failures: {', '.join(failed)}"
    if journal.ended is None:
        return "the maintenance did not end; the next run goes on"
    warned = [one.step for one in journal.results.values() if one.warning]
    return "the maintenance is done" + (f", with a warning: {', '.join(warned)}" if warned else "")


def page(journal: Journal) -> str:
    """The run on one Markdown page."""
    begun = datetime.fromtimestamp(journal.begun, UTC)
    lines = [f"### {headline(journal)}", f"begun {begun:%Y-%m-%d %H:%M:%S} UTC"]
    if journal.ended is not None:
        lines[-1] += f", in **{duration_text(max(0.0, journal.ended - journal.begun))}**"
    lines += ["", "| step | result | seconds | |", "|---|---|--:|---|"]
    lines += [f"| {r['step']} | {r['result']} | {r['seconds']} | {_cell(str(r['detail']))} |" for r in rows(journal)]
    for result in journal.results.values():
        if result.lines:
            lines += ["", f"**{result.step}**", *(f"- {line}" for line in result.lines)]
    return "\n".join(lines) + "\n"


def keep(home: Path, journal: Journal) -> Path:
    """Write the page into the home; the oldest go."""
    directory = home / "maintenance" / "reports"
    file = directory / f"{datetime.fromtimestamp(journal.begun, UTC):%Y%m%dT%H%M%SZ}.md"
    replace(file, page(journal).encode())
    for old in sorted(directory.glob("*.md"))[:-KEPT]:
        old.unlink(missing_ok=True)
    return file


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
