"""`archon restore`."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.markup import escape

from archon_dagster.backup.summary import duration_text
from archon_dagster.cli.backups import Direct, Json, Only, OptionalSelector, stores_named
from archon_dagster.cli.dump import FromDump, Skip, import_first
from archon_dagster.cli.operations import run_here
from archon_dagster.cli.output import console, print_json, problems, table
from archon_dagster.cli.progress import RunLines
from archon_dagster.cli.submit import Outcome, run_job
from archon_dagster.errors import ConfirmationMissing, RestoreFailed
from archon_dagster.platform.objectives import restore_objective
from archon_dagster.platform.settings import Settings, load_settings
from archon_dagster.repository.repository import Repository
from archon_dagster.restore.plan import RestorePlan, make_plan
from archon_dagster.restore.restore import CONFIRMATION, RestoreRequest, RestoreResult, restore_backup
from archon_dagster.stores.base import STORES

PUT_BACK_LIMIT = 3600.0  # seconds an interrupted restore may take to put the data back


def restore(
    selector: OptionalSelector = None,
    confirm: Annotated[str, typer.Option(help="Type RESTORE: the live data will be replaced.")] = "",
    only: Only = None,
    plan: Annotated[bool, typer.Option("--plan", help="Say what would change, and change nothing.")] = False,
    without_safety_copy: Annotated[
        bool,
        typer.Option(
            "--without-safety-copy",
            help="Go on even if what is there now cannot be copied first. There is no way back then.",
        ),
    ] = False,
    portable: Annotated[
        bool,
        typer.Option("--portable", help="Restore the vectors point by point even where their snapshots would do."),
    ] = False,
    from_dump: FromDump = None,
    skip: Skip = False,
    direct: Direct = False,
    as_json: Json = False,
) -> None:
    """Put a backup back; on failure everything is put back as it was."""
    settings = load_settings()
    stores = stores_named(only)
    go_on = plan or confirm == CONFIRMATION
    first = import_first(settings, selector, from_dump, skip=skip, go_on=go_on, quiet=as_json)
    selector = first.selector
    if plan:
        _show_plan(run_here(settings, lambda context: make_plan(context, selector, stores), quiet=True), as_json)
        return
    if confirm != CONFIRMATION:
        raise ConfirmationMissing(
            "a restore replaces the live data and was not confirmed; nothing was touched",
            todo=f"archon restore {selector} --confirm {CONFIRMATION}   (first: archon restore {selector} --plan)",
        )
    request = RestoreRequest(selector, confirm, stores, without_safety_copy, portable)
    if direct:
        result = run_here(
            settings, lambda context: restore_backup(context, request), quiet=as_json, cleanup_limit=PUT_BACK_LIMIT
        )
        _show_result(first.lined(result), as_json)
        return
    config: dict[str, Any] = {
        "selector": selector,
        "confirm": confirm,
        "only": list(stores),
        "without_safety_copy": without_safety_copy,
        "portable": portable,
    }
    with RunLines(problems, quiet=as_json) as lines:
        outcome = run_job(settings, "restore", {"ops": {"put_back": {"config": config}}}, lines)
    if as_json:
        print_json(outcome)
    else:
        _show_outcome(settings, outcome, len(stores) or len(STORES))


def _show_outcome(settings: Settings, outcome: Outcome, stores: int) -> None:
    """What a restore run has achieved, and how to take it back."""
    console.print(f"backup {outcome.backup} restored, identical by fingerprint", highlight=False)
    console.print(f"run: {outcome.url or outcome.run_id}", highlight=False, soft_wrap=True)
    checks = Repository.open(settings.repository).checks(outcome.backup or "")
    measured = [check.seconds for check in checks if check.name == "restore" and check.seconds is not None]
    if measured:
        incident, objective = restore_objective(stores)
        limit = f"{duration_text(objective.target)} for {incident}"
        console.print(f"measured RTO {duration_text(measured[-1])}, objective {limit}", highlight=False)
    if outcome.safety:
        console.print(
            f"undo: archon restore {outcome.safety} --confirm {CONFIRMATION}", highlight=False, soft_wrap=True
        )


def _show_plan(plan: RestorePlan, as_json: bool) -> None:
    if as_json:
        print_json(plan)
        return
    rows = [
        (
            change.store,
            change.part,
            "?" if change.store in plan.unreachable else _count(change.now),
            _count(change.after),
            change.effect,
        )
        for change in plan.changes
    ]
    title, columns = f"restoring {plan.backup.id} would change", ("store", "part", "now", "after", "")
    console.print(table(title, columns, rows, right=("now", "after")))
    for note in plan.notes:
        console.print(note, highlight=False, soft_wrap=True)
    console.print(f"lost: what was written in the last {duration_text(plan.age)} (a safety backup keeps it)")
    console.print(f"stopped meanwhile: {', '.join(plan.stops) or 'no writer runs'}", highlight=False)
    console.print(f"how long: {_how_long(plan)}", highlight=False)
    for store, reason in plan.unreachable.items():
        console.print(f"[yellow]{store} does not answer now:[/] {escape(reason)}", highlight=False, soft_wrap=True)
    if plan.start_first:
        console.print(f"[yellow]start first:[/] {plan.start_first}", highlight=False, soft_wrap=True)
    console.print(f"do it: {plan.command}", highlight=False, soft_wrap=True)


def _how_long(plan: RestorePlan) -> str:
    if plan.estimate is None:
        return "not known, no restore of these stores has been measured yet"
    return f"about {duration_text(plan.estimate)}, as the last restore of the same stores"


def _count(count: int | None) -> str:
    return "·" if count is None else f"{count:,}"


def _show_result(result: RestoreResult, as_json: bool) -> None:
    if as_json:
        print_json(result)
    else:
        rows = [
            (
                store,
                result.before[store].digest[:12] if store in result.before else "·",
                result.after[store].digest[:12] if store in result.after else "·",
            )
            for store in result.stores
        ]
        console.print(table(f"backup {result.backup.id} restored", ("store", "promised", "found"), rows))
        console.print(f"measured RTO {duration_text(result.rto)}")
        for warning in result.warnings:
            console.print(f"[yellow]not as it was:[/] {warning}", highlight=False)
        if result.undo:
            console.print(f"undo: {result.undo}", highlight=False)
    if result.unhealthy:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in result.unhealthy.items())
        raise RestoreFailed(
            f"the data are restored and identical, but not every service came up: {reasons}",
            todo="look at its log; the data need nothing",
        )
