"""`archon performance` and `archon tune …`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from archon_dagster.cli.backups import Direct, Json
from archon_dagster.cli.operations import run_here, run_interruptible
from archon_dagster.cli.output import console, hanging, plain, print_json, problems, table
from archon_dagster.cli.progress import RunLines
from archon_dagster.cli.submit import run_job
from archon_dagster.performance.baseline import latest, renew, take_report
from archon_dagster.performance.measures import AREAS
from archon_dagster.performance.report import Report
from archon_dagster.performance.summary import NUMBERS, TIMES, TITLES, fact_rows, notes, number_rows, time_rows
from archon_dagster.performance.tuning import docker, drift, journal, qdrant
from archon_dagster.performance.tuning.journal import Tuned
from archon_dagster.performance.tuning.options import QDRANT, wanted
from archon_dagster.performance.tuning.planning import Plan, TuneRequest
from archon_dagster.performance.tuning.summary import (
    COLUMNS,
    EFFECTS,
    change_rows,
    effect_rows,
    plan_notes,
    proposal_lines,
)
from archon_dagster.platform.runtime.open import open_runtime
from archon_dagster.platform.settings import Settings, load_settings

app = typer.Typer(no_args_is_help=True)

_SHOWN = 20  # changes that `status` lists
Pairs = Annotated[
    list[str] | None, typer.Argument(metavar="[NAME=VALUE]…", help="Default: the recommended ones.", show_default=False)
]
PlanOnly = Annotated[bool, typer.Option("--plan", help="Show what would be done; do nothing.")]


def performance(
    baseline: Annotated[
        bool, typer.Option("--baseline", help="Make this the baseline, unless it is worse than the one before.")
    ] = False,
    accept: Annotated[
        bool, typer.Option("--accept-baseline", help="Make this the baseline although it is worse.")
    ] = False,
    last: Annotated[bool, typer.Option("--last", help="Show the newest report; ask nobody.")] = False,
    direct: Direct = False,
    as_json: Json = False,
) -> None:
    """How fast is the platform, and is it slower than it was? Asks within bounds, changes nothing."""
    settings = load_settings()
    if last:
        found = latest(settings.home)
    elif direct:
        found = run_interruptible(
            lambda cancel, news: take_report(settings, open_runtime(settings), cancel, news), quiet=as_json
        )
        if baseline or accept:
            found = renew(settings, found, accept=accept)
    else:
        config = {"renew_baseline": baseline, "accept": accept}
        _submit(settings, "performance_report", {"ops": {"measure_performance": {"config": config}}}, as_json)
        found = latest(settings.home)
    if as_json:
        print_json(None if found is None else {"headline": found.headline, "notes": notes(found), **_data(found)})
    elif found is None:
        console.print("nothing was measured here yet: archon performance")
    else:
        _show(found)


@app.command("qdrant")
def qdrant_(
    settings_: Pairs = None,
    collection: Annotated[
        list[str] | None, typer.Option("--collection", help="Just this one (repeatable); default: the platform's.")
    ] = None,
    plan: PlanOnly = False,
    undo: Annotated[bool, typer.Option("--undo", help="Put back what was there before the last change.")] = False,
    direct: Direct = False,
    as_json: Json = False,
) -> None:
    """Tune the optimizers of Qdrant's collections, read back, and see whether it holds."""
    request = TuneRequest(tuple(settings_ or ()), tuple(collection or ()))
    wanted(request.settings)  # what is refused is refused before anything is opened
    settings = load_settings()
    if plan:
        _show_plan(run_here(settings, lambda here: qdrant.plan_only(here, request), quiet=as_json), as_json)
        return
    if direct and undo:
        done = run_here(settings, qdrant.undo, quiet=as_json, cleanup_limit=qdrant.CLEANUP_LIMIT)
    elif direct:
        tuned = run_here(
            settings, lambda here: qdrant.apply(here, request), quiet=as_json, cleanup_limit=qdrant.CLEANUP_LIMIT
        )
        done = list(tuned.changes)
        for note in plan_notes(tuned.plan) if not as_json else ():
            _say(plain(note))
    else:
        before = journal.load(settings.home)
        config = {"action": "undo" if undo else "apply", "settings": list(request.settings),
                  "collections": list(request.collections)}  # fmt: skip
        _submit(settings, "apply_performance_tuning", {"ops": {"tune": {"config": config}}}, as_json)
        done = [one for one in journal.load(settings.home) if one not in before]
    _show_changes(done, as_json, undone=undo)


@app.command("docker")
def docker_(
    settings_: Pairs = None,
    plan: PlanOnly = False,
    undo: Annotated[bool, typer.Option("--undo", help="Remove the proposal.")] = False,
    as_json: Json = False,
) -> None:
    """Propose settings of the Docker daemon, merged into its own, in a file; never applied, nothing restarted."""
    settings = load_settings()
    if undo:
        console.print("the proposal was removed" if docker.withdraw(settings) else "there is no proposal")
        return
    proposal = docker.propose(settings, settings_ or ())
    if not plan:
        proposal = docker.write(proposal)
    if as_json:
        print_json({"warning": proposal.warning, "file": None if plan else str(proposal.file), "diff": proposal.diff,
                    "kept": list(proposal.kept), "checked": proposal.checked, "steps": proposal.steps})  # fmt: skip
        return
    for line in proposal_lines(proposal):
        console.print(plain(line), highlight=False, soft_wrap=True)


@app.command("status")
def status_(as_json: Json = False) -> None:
    """What was tuned, and whether it is still so; exit code 1 where it is not, with who undid it."""
    settings = load_settings()
    known = journal.load(settings.home)
    lost = drift.look(settings, lambda: None)
    if as_json:
        print_json({"changes": known, "drifts": lost})
    elif not known:
        console.print(f"nothing was tuned here; archon tune qdrant --plan. It can tune: {', '.join(QDRANT)}")
    else:
        _table_of(COLUMNS, change_rows(known[-_SHOWN:]), "what was tuned, newest last")
        for one in lost:
            _say(f"[red]undone:[/] {plain(one.sentence)}")
        for todo in dict.fromkeys(one.todo for one in lost if one.todo):
            _say(f"what to do: {plain(todo)}")
        if not lost:
            _say("every value is there")
    raise typer.Exit(1 if lost else 0)


def _submit(settings: Settings, job: str, config: dict[str, Any], quiet: bool) -> None:
    with RunLines(problems, quiet=quiet) as lines:
        outcome = run_job(settings, job, config, lines)
    if not quiet:
        _say(f"run: {outcome.url or outcome.run_id}")


def _show(found: Report) -> None:
    keep = (TIMES[0], TIMES[-1])
    console.print(table(plain(found.headline), TIMES, _plain(time_rows(found)), right=TIMES[1:-1], keep=keep))
    for area in AREAS:
        if rows := number_rows(found, area):
            console.print(table(f"\n{TITLES[area]}", NUMBERS, _plain(rows), right=NUMBERS[1:-1], keep=NUMBERS[-1:]))
    if facts := fact_rows(found):
        console.print("")
        console.print(hanging([(plain(subject), plain(text)) for subject, text in facts]))
    console.print("")
    for note in notes(found):
        _say(f"- {plain(note)}")


def _data(found: Report) -> dict[str, Any]:
    return {
        "measurement": found.measurement,
        "baseline": found.baseline,
        "worse": list(found.comparison.worse),
        "lost": list(found.comparison.lost),
        "renewed": found.renewed,
        "kept": found.kept,
        "drifts": list(found.drifts),
        "history": list(found.history),
    }


def _show_plan(made: Plan, as_json: bool) -> None:
    if as_json:
        print_json(made)
        return
    if made.changes:
        _table_of(COLUMNS, change_rows(made.changes, planned=True), "would be changed")
    for note in plan_notes(made):
        _say(plain(note))


def _show_changes(done: Sequence[Tuned], as_json: bool, *, undone: bool) -> None:
    if as_json:
        print_json(list(done))
        return
    if not done:
        _say("there is nothing to undo" if undone else "nothing to change: every value is there already")
        return
    _table_of(COLUMNS, change_rows(done), "undone: put back to what stands under before" if undone else "tuned")
    if not undone and (effects := effect_rows(done)):
        _table_of(EFFECTS, effects, "\neffect")
    for detail in dict.fromkeys(one.detail for one in done if one.detail):
        _say(plain(detail))
    if not undone:
        _say("undo it: archon tune qdrant --undo")


def _table_of(columns: Sequence[str], rows: Sequence[dict[str, str]], title: str) -> None:
    cells = [[row[column] for column in columns] for row in rows]
    console.print(table(title, columns, _plain(cells), keep=("collection", "setting")))


def _plain(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    return [[plain(cell) for cell in row] for row in rows]


def _say(text: str) -> None:
    if text:
        console.print(text, highlight=False, soft_wrap=True)
