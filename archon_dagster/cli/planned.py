"""How `archon restore --plan` shows what a restore would do."""

from __future__ import annotations

from archon_dagster.backup.summary import duration_text
from archon_dagster.cli.output import console, plain, print_json, table
from archon_dagster.restore.plan import RestorePlan


def show_plan(plan: RestorePlan, as_json: bool) -> None:
    """For people, or as JSON for programs."""
    if as_json:
        print_json(plan)
        return
    rows = [
        (
            change.store,
            plain(change.part),
            "?" if change.store in plan.unreachable else _count(change.now),
            _count(change.after),
            plain(change.effect),
        )
        for change in plan.changes
    ]
    into = f" into {plan.target}" if plan.target else ""
    what, columns = plan.dump or plan.backup.id, ("store", "part", "now", "after", "")
    title = plain(f"restoring {what}{into} would change")
    console.print(table(title, columns, rows, right=("now", "after")))
    for note in plan.notes:
        console.print(plain(note), highlight=False, soft_wrap=True)
    console.print(f"lost: {_lost(plan)}", highlight=False, soft_wrap=True)
    console.print(f"not touched: {', '.join(plan.untouched) or 'nothing'}", highlight=False, soft_wrap=True)
    console.print(f"stopped meanwhile: {_stopped(plan)}", highlight=False)
    console.print(f"how long: {_how_long(plan)}", highlight=False, soft_wrap=True)
    for store, reason in plan.unreachable.items():
        console.print(f"[yellow]{store} does not answer now:[/] {plain(reason)}", highlight=False, soft_wrap=True)
    if plan.start_first:
        console.print(f"[yellow]start first:[/] {plan.start_first}", highlight=False, soft_wrap=True)
    console.print(plain(f"do it: {plan.command}"), highlight=False, soft_wrap=True)


def _lost(plan: RestorePlan) -> str:
    """Nobody counts what was changed since; what is known is the time, and where there are more records now."""
    if plan.adds or plan.refused:
        return "nothing, what is there stays as it is"
    fewer = f", by the counts at least {plan.fewer:,} records" if plan.fewer else ""
    written = f"what was written in the last {duration_text(plan.age)}"
    if plan.dump:  # made by another tool, perhaps of another platform: its age says nothing
        written = "all that is there now and not in the dump"
    elif plan.target:
        written = "all that is there now"
    return f"{written}{fewer} (a safety backup keeps it)"


def _stopped(plan: RestorePlan) -> str:
    return "nobody has to be" if plan.adds or plan.refused else ", ".join(plan.stops) or "no writer runs"


def _how_long(plan: RestorePlan) -> str:
    if plan.estimate is None:
        return "not known, no restore of these stores has been measured yet"
    if plan.dump:
        return f"about {duration_text(plan.estimate)} after the import, {plan.estimated_from}"
    return f"about {duration_text(plan.estimate)}, {plan.estimated_from}"


def _count(count: int | None) -> str:
    return "·" if count is None else f"{count:,}"
