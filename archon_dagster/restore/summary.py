"""What a restore looks like to an operator; plain values, shown by Dagster and by the command line."""

from __future__ import annotations

from archon_dagster.backup.summary import duration_text
from archon_dagster.platform.objectives import restore_objective
from archon_dagster.restore.restore import RestoreResult


def restore_numbers(result: RestoreResult) -> dict[str, int | float | str]:
    """A restore, as metadata."""
    _, objective = restore_objective(len(result.stores))
    return {
        "backup": result.backup.id,
        "safety backup": result.safety.id if result.safety else "none",
        "RTO measured (s)": round(result.rto, 3),
        "RTO objective (s)": objective.target,
        "stores": ", ".join(result.stores),
        **({"part": str(result.selection)} if result.selection else {}),
        **({"into": result.target} if result.target else {}),
    }


def page(result: RestoreResult) -> str:
    """The restore on one Markdown page: fingerprints side by side, steps, and how to undo it."""
    incident, objective = restore_objective(len(result.stores))
    against = "" if result.selection else f", objective for {incident}: {duration_text(objective.target)}"
    lines = [
        f"### Backup `{result.backup.id}` restored",
        *([f"only the {result.selection}", ""] if result.selection else []),
        *([f"into `{result.target}`", ""] if result.target else []),
        f"measured RTO **{duration_text(result.rto)}**{against}",
        "",
        "| store | promised by the backup | found after the restore | |",
        "|---|---|---|---|",
    ]
    for store in result.stores:
        before, after = result.before.get(store), result.after.get(store)
        promised, found = (f"`{f.digest[:12]}`" if f else "·" for f in (before, after))
        lines.append(f"| {store} | {promised} | {found} | {'identical' if before and after else 'not comparable'} |")
    lines += ["", "| step | seconds |", "|---|---|"]
    lines += [f"| {step} | {seconds:.2f} |" for step, seconds in result.seconds.items()]
    lines += [
        "",
        *(f"- {note}" for note in result.notes),
        *(f"- not as it was: {warning}" for warning in result.warnings),
    ]
    if result.undo:
        lines += ["", "Undo it:", "```", result.undo, "```"]
    return "\n".join(lines)
