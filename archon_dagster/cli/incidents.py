"""`archon incidents` and `archon automation`: what broke, what was done about it, and the switch that stops it all."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from archon_dagster.backup.summary import duration_text
from archon_dagster.cli.backups import Json
from archon_dagster.cli.listing import day_text
from archon_dagster.cli.output import console, hanging, one_line, plain, print_json, table
from archon_dagster.platform import automation
from archon_dagster.platform.settings import load_settings
from archon_dagster.recovery.book import Book
from archon_dagster.recovery.incident import Event, Incident
from archon_dagster.recovery.report import evidence_of, numbers

app = typer.Typer(invoke_without_command=True)
switch = typer.Typer(no_args_is_help=True)

_COLOURS = {"open": "red", "escalated": "red", "recovered": "green", "merged": "dim"}
_SHOWN = 20


@app.callback()
def incidents(
    context: typer.Context,
    everything: Annotated[bool, typer.Option("--all", help=f"Not just the last {_SHOWN}.")] = False,
    as_json: Json = False,
) -> None:
    """List incidents, newest first; those that need a person with what to type. Exit code 1 while one is open."""
    if context.invoked_subcommand is not None:
        return
    settings = load_settings()
    book, now = Book(settings.home), datetime.now(ZoneInfo(settings.timezone))
    found = book.all()
    shown = found if everything else [one for one in found if one.is_open or found.index(one) < _SHOWN]
    if as_json:
        print_json([_plain(one) for one in shown])
    else:
        _list(shown, now)
        for path in book.damaged():
            console.print(f"[yellow]damaged, and set aside:[/] {plain(str(path))}", soft_wrap=True)
        if pause := automation.paused(settings.home, now):
            console.print(f"[yellow]the automation is paused[/] {plain(str(pause))}", soft_wrap=True)
    if any(one.is_open for one in found):
        raise typer.Exit(1)


@app.command("show")
def show(
    incident: Annotated[str, typer.Argument(help="Its id, or a unique beginning of it.")], as_json: Json = False
) -> None:
    """Show one incident: its timeline, what was kept as evidence, what to type."""
    settings = load_settings()
    book = Book(settings.home)
    found = book.get(incident)
    if as_json:
        print_json(_plain(found))
        return
    zone = ZoneInfo(settings.timezone)
    console.print(f"[bold]incident {found.id}[/]  {plain(found.title)}", highlight=False)
    console.print(hanging(_facts(found, zone)))
    console.print(table("timeline", ("when", "what", ""), [_line(event, zone) for event in found.events]))
    console.print(hanging([("evidence", plain(name)) for name in evidence_of(book, found)]))
    console.print(f"in {plain(str(book.directory / found.id))}", highlight=False, soft_wrap=True)
    for command in found.commands if found.state == "escalated" else ():
        console.print(f"[bold]what to do:[/] {plain(command)}", highlight=False, soft_wrap=True)


@switch.command("pause")
def pause(
    lasts: Annotated[str, typer.Option("--for", help="How long: 45s, 30m, 2h, 1h30m, at most 7d.")],
    why: Annotated[str, typer.Option("--why", help="The reason; everybody sees it.")],
) -> None:
    """Stop every automatic action but backups; it goes on by itself after that time. What runs is not interrupted."""
    settings = load_settings()
    made = automation.pause(settings.home, automation.duration(lasts), why, datetime.now(UTC))
    end = made.until.astimezone(ZoneInfo(settings.timezone)) if made.until else None
    console.print(f"paused until {end:%Y-%m-%d %H:%M:%S %Z} by {plain(made.who)}: {plain(made.why)}", highlight=False)
    console.print(f"stopped: {automation.STOPS}", highlight=False, soft_wrap=True)
    console.print(f"going on: {automation.GOES_ON}", highlight=False, soft_wrap=True)
    console.print("let it go on before: archon automation resume", highlight=False)


@switch.command("resume")
def resume() -> None:
    """Let the automation go on now."""
    before = automation.resume(load_settings().home, datetime.now(UTC))
    said = f"it was paused {plain(str(before))}" if before else "it was not paused"
    console.print(f"the automation goes on; {said}", highlight=False, soft_wrap=True)


def _list(shown: list[Incident], now: datetime) -> None:
    rows = [
        (
            plain(one.id),
            f"[{_COLOURS[one.state]}]{one.state}[/]",
            plain(one.title),
            day_text(one.opened, now),
            duration_text(one.seconds_to_detect),
            duration_text(one.seconds_to_recover) if one.seconds_to_recover is not None else "·",
            {True: "met", False: "[red]missed[/]", None: "·"}[one.within_objective],
            str(one.attempts),
        )
        for one in shown
    ]
    columns = ("incident", "state", "what", "since", "detected in", "recovered in", "objective", "actions")
    if rows:
        console.print(table("incidents", columns, rows, keep=("incident", "state")))
    else:
        console.print("no incidents")
    for one in shown:
        if one.state == "escalated":
            for command in one.commands[:3]:
                console.print(f"[bold]{one.id} needs a person:[/] {plain(command)}", highlight=False, soft_wrap=True)


def _facts(incident: Incident, zone: ZoneInfo) -> list[tuple[str, str]]:
    took = incident.seconds_to_recover
    objective = incident.objective
    return [
        ("state", f"[{_COLOURS[incident.state]}]{incident.state}[/]"),
        ("services", plain(", ".join(incident.services))),
        ("first seen", _clock(incident.first_seen, zone)),
        ("confirmed", f"{_clock(incident.opened, zone)}, {duration_text(incident.seconds_to_detect)} later"),
        ("recovered", f"{duration_text(took)} after it was confirmed" if took is not None else "not yet"),
        ("objective", f"{duration_text(objective[1].target)} ({objective[0]})" if objective else "none"),
    ]


def _line(event: Event, zone: ZoneInfo) -> tuple[str, str, str]:
    how = {True: "[green]done[/]", False: "[red]failed[/]", None: ""}[event.ok]
    took = f" in {duration_text(event.seconds)}" if event.seconds is not None else ""
    text = "; ".join(filter(None, (str(event.step) if event.step else "", one_line(event.text, 300))))
    return f"{event.at.astimezone(zone):%H:%M:%S}", f"{event.kind} {how}{took}".strip(), plain(text)


def _clock(instant: datetime, zone: ZoneInfo) -> str:
    return f"{instant.astimezone(zone):%Y-%m-%d %H:%M:%S %Z}"


def _plain(incident: Incident) -> dict[str, Any]:
    return {**incident.model_dump(mode="json"), "title": incident.title, **numbers(incident)}
