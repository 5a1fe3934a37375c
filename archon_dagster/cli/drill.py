"""`archon drill …`: a backup restored into throw-away servers, to know that it can be, and how long it takes."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from archon_dagster.backup.summary import duration_text
from archon_dagster.cli.backups import Direct, Json, Only, repository_of, stores_named
from archon_dagster.cli.operations import run_here, run_interruptible
from archon_dagster.cli.output import console, plain, print_json, problems, table
from archon_dagster.cli.progress import RunLines
from archon_dagster.cli.submit import run_job
from archon_dagster.context import OperationContext
from archon_dagster.errors import Cancelled
from archon_dagster.platform.runtime.throwaway import Started
from archon_dagster.platform.settings import load_settings
from archon_dagster.restore_drill import record
from archon_dagster.restore_drill.bench import alone, is_free, left
from archon_dagster.restore_drill.drill import DrillRequest, raise_for_failure, run_drill
from archon_dagster.restore_drill.result import DrillResult
from archon_dagster.restore_drill.summary import COLUMNS, headline, rows

REMOVE_LIMIT = 300.0  # seconds an interrupted drill may take to remove its servers

app = typer.Typer(no_args_is_help=True)

Selector = Annotated[
    str, typer.Argument(help="'latest', a backup id, a unique prefix of one, or a date YYYYMMDD.", metavar="SELECTOR")
]


@app.command()
def run(selector: Selector = "latest", only: Only = None, direct: Direct = False, as_json: Json = False) -> None:
    """Restore a backup into servers of its own, compare, measure, remove them; the platform is not touched."""
    settings, stores = load_settings(), stores_named(only)
    repository_of(settings)
    if direct:
        request = DrillRequest(selector, stores)
        result = run_here(settings, lambda here: run_drill(here, request), quiet=as_json, cleanup_limit=REMOVE_LIMIT)
        print_json(_as_values(result)) if as_json else _show(result)
        raise_for_failure(result)
        return
    config = {"ops": {"drill": {"config": {"selector": selector, "only": list(stores)}}}}
    before = record.load(settings.home)
    try:
        with RunLines(problems, quiet=as_json) as lines:
            outcome = run_job(settings, "restore_drill", config, lines)
    finally:
        done = record.load(settings.home)  # also where the backup turned out to be no good
        if done is not None and done != before:
            print_json(_as_values(done)) if as_json else _show(done)
    if not as_json:
        console.print(f"run: {outcome.url or outcome.run_id}", highlight=False, soft_wrap=True)


@app.command("open")
def open_(selector: Selector = "latest", only: Only = None) -> None:
    """The same, and the servers stay until Ctrl-C, to look into a backup; their addresses are shown."""
    settings, stores = load_settings(), stores_named(only)
    repository_of(settings)
    ended: list[DrillResult] = []

    def work(here: OperationContext) -> None:
        def hold(started: Started, result: DrillResult) -> None:
            _show(result)
            _show_addresses(started)
            here.cancel.wait()

        ended.append(run_drill(here, DrillRequest(selector, stores), hold))

    try:
        run_here(settings, work, cleanup_limit=REMOVE_LIMIT)
    except Cancelled:  # which is how this ends, unless it was before the servers were there, or they are still
        if not ended:
            raise
    console.print("the servers are removed, and all they held", highlight=False)
    raise_for_failure(ended[0])


@app.command()
def status(as_json: Json = False) -> None:
    """The last drill, whether one is at work, and what killed ones have left."""
    settings = load_settings()
    last, free = record.load(settings.home), is_free(settings.home)
    remains = [path.name for path in left(settings.home)] if free else []
    if as_json:
        print_json({"last": _as_values(last) if last else None, "at_work": not free, "left_by_killed_drills": remains})
        return
    if last is None:
        console.print("no drill has been done here yet: archon drill run", highlight=False)
    else:
        _show(last)
        console.print(f"at {last.at:%Y-%m-%d %H:%M:%S} UTC", highlight=False)
    if not free:
        console.print("a drill is at work now")
    if remains:
        console.print(f"[yellow]left by killed drills:[/] {', '.join(remains)}; remove it: archon drill clean")


@app.command()
def clean(as_json: Json = False) -> None:
    """Remove what killed drills have left: processes, containers, volumes, files. Nothing else is touched."""
    settings = load_settings()

    def work(*_: Any) -> tuple[str, ...]:
        with alone(settings) as (_owner, removed):
            return removed

    removed = run_interruptible(work, quiet=as_json, cleanup_limit=REMOVE_LIMIT)
    if as_json:
        print_json({"removed": removed})
    else:
        console.print(f"removed: {', '.join(removed) or 'nothing, no drill was killed'}", highlight=False)


def _as_values(result: DrillResult) -> dict[str, Any]:
    return {"passed": result.passed, "wrong": result.wrong, **result.model_dump(mode="json")}


def _show(result: DrillResult) -> None:
    shown = [tuple(plain(row[column]) for column in COLUMNS) for row in rows(result)]
    console.print(
        table(plain(headline(result)), COLUMNS, shown, right=("size", "restored", "compared"), keep=("store",))
    )
    if result.passed:
        console.print(f"measured RTO {result.against}", highlight=False, soft_wrap=True)
    steps = ", ".join(f"{name} {duration_text(seconds)}" for name, seconds in result.seconds.items())
    console.print(f"[dim]{plain(steps)}[/]", highlight=False)
    for note in result.notes:
        console.print(plain(note), highlight=False, soft_wrap=True)
    for warning in result.warnings:
        console.print(f"[yellow]not as it was:[/] {plain(warning)}", highlight=False, soft_wrap=True)


def _show_addresses(started: Started) -> None:
    for name, where in started.at.items():
        console.print(f"{name}: {plain(where)}", highlight=False, soft_wrap=True)
    settings = started.settings
    if started.runtime.kind == "processes":
        console.print(f"logins: {settings.project_dir / '.env'}", highlight=False, soft_wrap=True)
    else:
        console.print("logins: the platform's own", highlight=False)
    console.print("Ctrl-C removes them", highlight=False)
