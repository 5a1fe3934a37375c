"""What a restore drill looks like to an operator; plain values, shown by Dagster and by the command line."""

from __future__ import annotations

from archon_dagster.backup.summary import duration_text, size_text
from archon_dagster.platform.objectives import restore_objective
from archon_dagster.restore_drill.result import DrillResult, StoreDrill

COLUMNS = ("store", "server", "size", "restored", "compared", "result")


def headline(result: DrillResult) -> str:
    """What came of it, in a line."""
    if result.passed:
        return f"backup {result.backup} was restored and compared: identical"
    return f"backup {result.backup} FAILED its drill: {result.wrong}"


def rows(result: DrillResult) -> list[dict[str, str]]:
    """A row for each store."""
    return [_row(one) for one in result.stores]


def numbers(result: DrillResult) -> dict[str, int | float | str]:
    """A drill, as metadata that plots itself."""
    _, objective = restore_objective(len(result.stores))
    measured: dict[str, int | float | str] = {
        "RTO measured (s)": round(result.rto, 3), "RTO objective (s)": objective.target,
    }  # fmt: skip
    return {
        "backup": result.backup,
        "result": "identical" if result.passed else result.wrong,
        "stores": ", ".join(result.names),
        **(measured if result.passed else {}),
    }


def page(result: DrillResult) -> str:
    """The drill on one Markdown page."""
    lines = [f"### {_cell(headline(result))}", ""]
    if result.passed:
        lines += [f"measured RTO **{result.against}**", ""]
    lines += [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    lines += [f"| {' | '.join(_cell(row[column]) for column in COLUMNS)} |" for row in rows(result)]
    lines += ["", "| step | seconds |", "|---|---|"]
    lines += [f"| {step} | {seconds:.2f} |" for step, seconds in result.seconds.items()]
    lines += ["", *(f"- {_cell(note)}" for note in result.notes)]
    lines += [f"- not as it was: {_cell(warning)}" for warning in result.warnings]
    return "\n".join(lines)


def _row(one: StoreDrill) -> dict[str, str]:
    return {
        "store": one.store,
        "server": one.server or "·",
        "size": size_text(one.size),
        "restored": _time(one.restored),
        "compared": _time(one.compared),
        "result": f"{one.state}: {one.detail}" if one.detail else one.state,
    }


def _time(seconds: float | None) -> str:
    return "·" if seconds is None else duration_text(seconds)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
