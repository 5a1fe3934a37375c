"""`archon restore`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from archon_dagster.backup.summary import duration_text
from archon_dagster.cli.backups import Direct, Json, Only, OptionalSelector, repository_of, stores_named
from archon_dagster.cli.dump import FromDump, Skip, import_first, plan_of_dump, require_one
from archon_dagster.cli.operations import run_here
from archon_dagster.cli.output import console, plain, print_json, problems, table
from archon_dagster.cli.planned import show_plan
from archon_dagster.cli.progress import RunLines
from archon_dagster.cli.submit import Outcome, run_job
from archon_dagster.context import OperationContext
from archon_dagster.errors import ConfigurationError, ConfirmationMissing, RestoreFailed
from archon_dagster.platform.objectives import restore_objective
from archon_dagster.platform.settings import Settings, load_settings
from archon_dagster.repository.repository import Repository
from archon_dagster.restore.plan import Foreign, RestorePlan, make_plan
from archon_dagster.restore.request import command, options_of
from archon_dagster.restore.restore import CONFIRMATION, RestoreRequest, RestoreResult, restore_backup
from archon_dagster.restore.selection import selection_of
from archon_dagster.stores.base import STORES

PUT_BACK_LIMIT = 3600.0  # seconds an interrupted restore may take to put the data back

Target = Annotated[
    Path | None,
    typer.Option(
        "--target",
        help="Restore into another platform: its home directory, or a file with the addresses of its servers.",
        metavar="HOME_OR_ENV_FILE",
    ),
]
Collection = Annotated[str | None, typer.Option("--collection", help="Just this collection.", metavar="NAME")]
Label = Annotated[
    str | None, typer.Option("--label", help="Just the nodes with this label and what is between them.", metavar="NAME")
]
TableName = Annotated[str | None, typer.Option("--table", help="Just this table: schema.table.", metavar="NAME")]
NewName = Annotated[
    str | None,
    typer.Option("--as", help="Under this new name, beside what is there; nothing is replaced.", metavar="NAME"),
]


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
    target: Target = None,
    collection: Collection = None,
    label: Label = None,
    table_: TableName = None,
    as_: NewName = None,
    from_dump: FromDump = None,
    skip: Skip = False,
    direct: Direct = False,
    as_json: Json = False,
) -> None:
    """Put a backup back; on failure everything is put back as it was."""
    settings = load_settings()
    stores = stores_named(only)
    named = {"collection": collection, "label": label, "table": table_, "as": as_}
    selection, place = selection_of(*_given(named)), place_named(target)
    options = options_of(place, selection)
    require_one(selector, from_dump)
    if selector is not None:
        repository_of(settings)

    def planned(context: OperationContext, foreign: Foreign | None = None) -> RestorePlan:
        return make_plan(
            context, selector or "", stores, target=place, selection=selection, portable=portable, foreign=foreign
        )

    if plan and from_dump:
        show_plan(plan_of_dump(settings, from_dump, planned, skip=skip, quiet=as_json), as_json)
        return
    if plan:
        show_plan(run_here(settings, planned, quiet=True), as_json)
        return
    go_on = confirm == CONFIRMATION
    first = import_first(settings, selector, from_dump, skip=skip, go_on=go_on, quiet=as_json)
    selector = first.selector
    if not go_on:
        raise ConfirmationMissing(
            "a restore replaces the live data and was not confirmed; nothing was touched",
            todo=f"{command(selector, stores, options)}   (first the same with --plan)",
        )
    request = RestoreRequest(selector, confirm, stores, without_safety_copy, portable, place, selection)
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
        "target": place,
        "collection": collection or "",
        "label": label or "",
        "table": table_ or "",
        "new_name": as_ or "",
    }
    with RunLines(problems, quiet=as_json) as lines:
        outcome = run_job(settings, "restore", {"ops": {"put_back": {"config": config}}}, lines)
    if as_json:
        print_json(outcome)
    else:
        _show_outcome(settings, outcome, request, len(stores) or len(STORES))


def _given(named: dict[str, str | None]) -> list[str]:
    """The names, empty where none was given; one that is given and empty (a script's unset variable) is refused."""
    if empty := [f"--{option}" for option, name in named.items() if name is not None and not name.strip()]:
        raise ConfigurationError(
            f"no name after {', '.join(empty)}; nothing was touched", todo="name it, or leave it out"
        )
    return [name or "" for name in named.values()]


def place_named(target: Path | None) -> str:
    """A target as a job needs it, which runs in another directory."""
    return str(target.expanduser().resolve()) if target else ""


def _show_outcome(settings: Settings, outcome: Outcome, request: RestoreRequest, stores: int) -> None:
    """What a restore run has achieved, and how to take it back."""
    what = f", {request.selection}" if request.selection else ""
    into = f" into {request.target}" if request.target else ""
    console.print(
        plain(f"backup {outcome.backup}{what} restored{into}, identical by fingerprint"),
        highlight=False,
        soft_wrap=True,
    )
    console.print(f"run: {outcome.url or outcome.run_id}", highlight=False, soft_wrap=True)
    checks = Repository.open(settings.repository).checks(outcome.backup or "")
    measured = [check.seconds for check in checks if check.name == "restore" and check.seconds is not None]
    if measured:
        incident, objective = restore_objective(stores)
        limit = "" if request.selection else f", objective {duration_text(objective.target)} for {incident}"
        console.print(f"measured RTO {duration_text(measured[-1])}{limit}", highlight=False)
    if outcome.safety:
        back = options_of(request.target, request.selection, back=True)
        console.print(plain(f"undo: {command(outcome.safety, options=back)}"), highlight=False, soft_wrap=True)


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
        console.print(table(plain(f"{result.what} restored"), ("store", "promised", "found"), rows))
        console.print(f"measured RTO {duration_text(result.rto)}")
        for note in result.notes:
            console.print(plain(note), highlight=False, soft_wrap=True)
        for warning in result.warnings:
            console.print(f"[yellow]not as it was:[/] {plain(warning)}", highlight=False, soft_wrap=True)
        if result.undo:
            console.print(plain(f"undo: {result.undo}"), highlight=False, soft_wrap=True)
    if result.unhealthy:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in result.unhealthy.items())
        raise RestoreFailed(
            f"the data are restored and identical, but not every service came up: {reasons}",
            todo="look at its log; the data need nothing",
        )
