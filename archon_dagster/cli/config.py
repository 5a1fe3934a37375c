"""`archon config`: look at a configuration file, apply it, go back, see what was changed.

`validate` has exit codes of its own: 0 fine, 1 warnings, 2 errors.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from archon_dagster.backup.summary import duration_text
from archon_dagster.cli.backups import Direct, Json
from archon_dagster.cli.listing import day_text
from archon_dagster.cli.operations import run_interruptible
from archon_dagster.cli.output import console, hanging, plain, print_json, problems, table
from archon_dagster.cli.submit import submit
from archon_dagster.configuration.apply import CLEANUP_LIMIT, CONFIRMATION, ApplyRequest, Change, apply, plan, undo
from archon_dagster.configuration.context import ConfigurationContext, open_configuration, stop_on
from archon_dagster.configuration.history import History, Record
from archon_dagster.configuration.live import ask_servers
from archon_dagster.configuration.status import Standing, standing
from archon_dagster.configuration.summary import change_data, change_notes, validation_data
from archon_dagster.configuration.validation import Validation, validate_file
from archon_dagster.errors import ConfigurationError, ConfirmationMissing
from archon_dagster.platform.settings import Settings, load_settings
from archon_dagster.platform.usable_settings import usable_settings

app = typer.Typer(no_args_is_help=True)

_COLOURS = {"applied": "green", "seen": "cyan", "returned": "yellow", "failed": "red", "begun": "red"}
_SHOWN = 20

File = Annotated[Path, typer.Argument(metavar="FILE", help="The .env file.", show_default=False)]
Confirm = Annotated[str, typer.Option(help=f"Type {CONFIRMATION}: running services are replaced.")]
Plan = Annotated[bool, typer.Option("--plan", help="Show what would change and be replaced; change nothing.")]


@app.command("validate")
def validate_(
    file: File,
    live: Annotated[
        bool, typer.Option("--live", help="Also ask Ollama, Supabase and Qdrant, as FILE names them.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Is FILE good? Every problem at once, with its line; the shell's environment does not count.

    Exit code 0: fine; 1: warnings; 2: errors.
    """
    found = validate_file(file)
    if live:
        settings, of_file = _settings(), found
        found = run_interruptible(
            lambda cancel, _: ask_servers(of_file, settings, check=lambda: stop_on(cancel, "the validation")),
            quiet=as_json,
        )
    if as_json:
        print_json(validation_data(found))
    else:
        _show_problems(found)
    raise typer.Exit(found.exit_code)


@app.command("apply")
def apply_(
    file: File,
    confirm: Confirm = "",
    plan_only: Plan = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="Do not ask the servers that the change concerns.")
    ] = False,
    direct: Direct = False,
    as_json: Json = False,
) -> None:
    """Make FILE the platform's .env: what reads a changed variable is replaced; what fails is taken back."""
    path = file.resolve()
    if plan_only:
        _here(lambda context: plan(context, path, offline=offline), as_json)
    elif direct:
        _here(lambda context: apply(context, ApplyRequest(path, confirm, offline)), as_json)
    else:
        _require(confirm, f"archon config apply {file}")
        config = {"path": str(path), "confirm": confirm, "offline": offline}
        _through_dagster("update_configuration", "apply_file", config, as_json)


@app.command("undo")
def undo_(confirm: Confirm = "", direct: Direct = False, as_json: Json = False) -> None:
    """Go back to the .env before the last change; where one was killed, to the one before that."""
    if direct:
        _here(lambda context: undo(context, confirm), as_json)
    else:
        _require(confirm, "archon config undo")
        _through_dagster("undo_configuration", "go_back", {"confirm": confirm}, as_json)


@app.command("history")
def history_(
    everything: Annotated[bool, typer.Option("--all", help=f"Not just the last {_SHOWN}.")] = False,
    as_json: Json = False,
) -> None:
    """List the changes of the platform's .env, newest first; secrets are never shown."""
    settings = _settings()
    records = History(settings.home).all()[: None if everything else _SHOWN]
    if as_json:
        print_json(records)
        return
    if not records:
        console.print("no change is known")
        return
    now = datetime.now(ZoneInfo(settings.timezone))
    columns = ("change", "when", "what", "result", "services", "variables")
    console.print(table("", columns, [_row(one, now) for one in records], keep=("change", "when")))


@app.command("status")
def status_(as_json: Json = False) -> None:
    """Which file is in place, and whether a change was killed half way. Exit code 1 where one was."""
    found = standing(_settings())
    if as_json:
        print_json(found)
    else:
        _show_standing(found)
    raise typer.Exit(1 if found.interrupted else 0)


def _settings() -> Settings:
    """Also with a file that is spoilt: it is mended by these commands."""
    try:
        return load_settings()
    except ConfigurationError as error:
        settings = usable_settings()
        problems.print(plain(f"{error.what}; gone on without"), highlight=False, soft_wrap=True)
        return settings


def _require(confirm: str, command: str) -> None:
    if confirm != CONFIRMATION:
        raise ConfirmationMissing(
            "a change of the configuration replaces running services and was not confirmed; nothing was touched",
            todo=f"{command} --confirm {CONFIRMATION}   (archon config apply FILE --plan shows what it would do)",
        )


def _through_dagster(job: str, op: str, config: dict[str, Any], as_json: bool) -> None:
    submit(_settings(), job, {"ops": {op: {"config": config}}}, as_json=as_json)
    if not as_json:
        _say(f"undo it: archon config undo --confirm {CONFIRMATION}")


def _here(work: Callable[[ConfigurationContext], Change], as_json: bool) -> None:
    settings = _settings()
    change = run_interruptible(
        lambda cancel, news: work(open_configuration(settings, cancel, news)),
        quiet=as_json,
        cleanup_limit=CLEANUP_LIMIT,
    )
    if as_json:
        print_json(change_data(change))
    else:
        _show_change(change)


def _show_problems(found: Validation) -> None:
    for one in found.problems:
        colour = "red" if one.severity == "error" else "yellow"
        _say(f"[{colour}]{one.severity}[/] {plain(one.sentence)}")
    _say(f"[bold]{plain(found.headline)}[/]")


def _show_change(change: Change) -> None:
    rows = [(one.key, one.how, plain(one.before), plain(one.after)) for one in change.difference.changes]
    title = change.headline + (f" ({duration_text(change.seconds)})" if change.record else "")
    if rows:
        console.print(table(title, ("variable", "", "before", "after"), rows, keep=("variable", "")))
    else:
        _say(title)
    for note in change_notes(change):
        _say(plain(note))
    if change.record:
        _say(f"undo it: archon config undo --confirm {CONFIRMATION}")


def _show_standing(found: Standing) -> None:
    last = found.last
    rows = [
        ("file", plain(f"{found.file}{f' (sha-256 {found.digest}…)' if found.digest else ', which is not there'}")),
        ("known", "yes" if found.known else "[yellow]no: changed by hand since[/]"),
        ("last change", plain(f"{last.id}: {last.kind}, {last.result}") if last else "none"),
    ]
    rows += [("[yellow]mode[/]", "others can read it: chmod 600")] if found.loose else []
    if found.interrupted:
        said = f"{found.interrupted.record} was killed, or is at work, at '{found.interrupted.step}'; {found.says}"
        rows += [("[red]interrupted[/]", plain(said)), ("[bold]what to do[/]", plain(found.interrupted.advice))]
    console.print(hanging(rows))


def _row(record: Record, now: datetime) -> tuple[str, ...]:
    return (
        record.id,
        day_text(record.at, now),
        record.kind,
        f"[{_COLOURS[record.result]}]{record.result}[/]{f': {plain(record.detail)}' if record.detail else ''}",
        ", ".join(record.services) or "·",
        plain("; ".join(record.changed)),
    )


def _say(text: str) -> None:
    console.print(text, highlight=False, soft_wrap=True)
