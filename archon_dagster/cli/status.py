"""`archon status`: what is broken, the last good backup, and the next command to type; without Dagster."""

from __future__ import annotations

import typer
from rich.markup import escape

from archon_dagster.backup.summary import duration_text
from archon_dagster.cli.backups import Json
from archon_dagster.cli.output import console, print_json, table
from archon_dagster.cli.overview import Loss, Status, look
from archon_dagster.platform.settings import load_settings


def status(as_json: Json = False) -> None:
    """Say what is broken, what the last good backup is, and what to type next.

    Exit code 6 when a service does not answer, a store has lost its data or a restore was interrupted; 4 when the last
    backup is not good.
    """
    found = look(load_settings())
    if as_json:
        print_json(found)
    else:
        _show(found)
    if found.broken:
        raise typer.Exit(6)
    if found.last_backup_trouble:
        raise typer.Exit(4)


def _show(found: Status) -> None:
    rows = [
        (line.service, line.state, "[green]ready[/]" if line.ready else "[red]not ready[/]", escape(line.answer))
        for line in found.services
    ]
    console.print(table("services", ("service", "process", "probe", "answer"), rows))
    for loss in found.losses:
        _say(f"[red]lost:[/] {_loss(loss)}")
    for store, why in found.uncounted.items():
        _say(f"[yellow]not counted:[/] {store}: {escape(why)}")
    age = f", {duration_text(found.last_good_age)} old" if found.last_good_age is not None else ""
    _say(f"last good backup: {found.last_good_backup or 'none'}{age}")
    if found.last_backup_trouble:
        _say(f"[red]last backup not good:[/] {escape(found.last_backup_trouble)}")
    if found.at_work:
        _say(f"at work: {escape(found.at_work)}")
    if found.interrupted_restore:
        _say(f"[red]interrupted:[/] {found.interrupted_restore}")
    _say(f"Dagster: {found.webserver or 'no webserver is running'}")
    _say(f"next: {escape(found.next)}")


def _loss(loss: Loss) -> str:
    text = f"{loss.store} holds {loss.records:,} records, the last good backup {loss.in_backup:,}"
    shown = ", ".join(loss.empty[:4]) + (", …" if len(loss.empty) > 4 else "")
    return f"{text}; empty or gone: {escape(shown)}" if loss.empty else text


def _say(text: str) -> None:
    console.print(text, highlight=False, soft_wrap=True)
