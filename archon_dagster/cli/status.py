"""`archon status`: what is broken, the last good backup, and the next command to type; without Dagster."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from archon_dagster.backup.summary import duration_text
from archon_dagster.cli.backups import Json
from archon_dagster.cli.found import Loss, ServiceLine, Status
from archon_dagster.cli.output import console, one_line, plain, print_json, table
from archon_dagster.cli.overview import look
from archon_dagster.platform.settings import load_settings

_SHOWN = 2  # incidents, and troubles of alerting: the rest is a command away, and all of this is one screen


def status(as_json: Json = False) -> None:
    """Say what is broken, what the last good backup is, and what to type next.

    Exit code 6 when a service is not well, a store has lost its data, a restore was interrupted or an incident waits
    for a person; 4 when the last backup is not good.
    """
    found = look(load_settings())
    if as_json:
        print_json(found)
    else:
        show(found)
    if found.broken:
        raise typer.Exit(6)
    if found.last_backup_trouble:
        raise typer.Exit(4)


def show(found: Status) -> None:
    """All of it on one screen, the next command last."""
    rows = [(line.service, line.state, _probe(line), plain(line.answer)) for line in found.services]
    console.print(table("services", ("service", "process", "probe", "answer"), rows))
    for loss in found.losses:
        _say(f"[red]lost:[/] {_loss(loss)}")
    for store, why in found.uncounted.items():
        _say(f"[yellow]not counted:[/] {store}: {plain(why)}")
    if found.interrupted_restore:
        _say(f"[red]interrupted:[/] {plain(found.interrupted_restore)}")
    if found.interrupted_change:
        _say(f"[yellow]interrupted:[/] {plain(found.interrupted_change)}")
    _show_incidents(found)
    if found.automation_paused:
        _say(f"[yellow]the automation is paused[/] {plain(found.automation_paused)}")
    age = f", {duration_text(found.last_good_age)} old" if found.last_good_age is not None else ""
    _say(f"last good backup: {found.last_good_backup or 'none'}{age}")
    if found.last_backup_trouble:
        _say(f"[red]last backup not good:[/] {plain(found.last_backup_trouble)}")
    if found.last_restore:
        _say(f"last restore: {plain(found.last_restore)}")
    if found.last_drill:
        _say(f"last restore drill: {plain(found.last_drill)}")
    if found.at_work:
        _say(f"at work: {plain(found.at_work)}")
    for line in _few(found.alert_troubles, "archon alerts list"):
        _say(f"[yellow]alerts:[/] {plain(line)}")
    _say(f"Dagster: {found.webserver or 'no webserver is running'}")
    _say(f"next: {plain(found.next)}")


def _probe(line: ServiceLine) -> str:
    if line.ready:
        return "[green]ready[/]"
    return "[yellow]degraded[/]" if line.degraded else "[red]not ready[/]"


def _show_incidents(found: Status) -> None:
    """Those that wait for a person first."""
    others = [one for one in found.incidents if one not in found.escalated]
    lines = [f"{one.id}, {one.title}: needs a person" for one in found.escalated]
    lines += [f"{one.id}, {one.title}: the automation is at it" for one in others]
    for line in _few(lines, "archon incidents"):
        _say(f"[red]incident:[/] {plain(line)}")


def _few(lines: Sequence[str], all_of_them: str) -> list[str]:
    rest = len(lines) - _SHOWN
    return [one_line(line, 160) for line in lines[:_SHOWN]] + ([f"and {rest} more: {all_of_them}"] if rest > 0 else [])


def _loss(loss: Loss) -> str:
    text = f"{loss.store} holds {loss.records:,} records, the last good backup {loss.in_backup:,}"
    shown = ", ".join(loss.empty[:4]) + (", …" if len(loss.empty) > 4 else "")
    return f"{text}; empty or gone: {plain(shown)}" if loss.empty else text


def _say(text: str) -> None:
    console.print(text, highlight=False, soft_wrap=True)
