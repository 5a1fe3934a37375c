"""`archon status`: what is broken, the last good backup, and the next command to type; without Dagster."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime

import typer

from archon_dagster.backup.summary import duration_text
from archon_dagster.cli import webserver
from archon_dagster.cli.backups import Json
from archon_dagster.cli.output import console, print_json, table
from archon_dagster.errors import ArchonError
from archon_dagster.platform.readiness import probe
from archon_dagster.platform.runtime.open import open_runtime
from archon_dagster.platform.services import BY_NAME, CATALOGUE
from archon_dagster.platform.settings import Settings, load_settings
from archon_dagster.repository.repository import Repository
from archon_dagster.restore.journal import JournalFile
from archon_dagster.stores.base import STORES


@dataclass(frozen=True)
class ServiceLine:
    """One service as the runtime and its own answer see it."""

    service: str
    state: str
    ready: bool
    answer: str
    seconds: float


@dataclass(frozen=True)
class Status:
    """The whole answer."""

    services: list[ServiceLine]
    last_good_backup: str | None
    last_good_age: float | None
    interrupted_restore: str | None
    webserver: str | None
    next: str


def status(as_json: Json = False) -> None:
    """Say what is broken, what the last good backup is, and what to type next. Exit code 6 when not all is well."""
    settings = load_settings()
    found = look(settings)
    if as_json:
        print_json(found)
    else:
        _show(found)
    if not found.services or found.interrupted_restore or any(not line.ready for line in found.services):
        raise typer.Exit(6)


def look(settings: Settings) -> Status:
    """Ask the runtime, every service, and the repository."""
    services = _services(settings)
    last, age = _last_good(settings)
    journal = JournalFile(settings).read()
    interrupted = f"restore of {journal.backup} at '{journal.step}'" if journal else None
    advice = _next(services, last, journal.advice if journal else None)
    return Status(services, last, age, interrupted, webserver.running_webserver(settings), advice)


def _services(settings: Settings) -> list[ServiceLine]:
    runtime = open_runtime(settings)
    states: dict[str, str] = {entry.service: entry.state for entry in runtime.status()}
    if runtime.kind == "elsewhere":
        states = {service.name: "elsewhere" for service in CATALOGUE if service.store}
    with ThreadPoolExecutor(max_workers=max(1, len(states))) as pool:
        answers = dict(zip(states, pool.map(lambda name: probe(BY_NAME[name], settings), states), strict=True))
    return [ServiceLine(n, s, answers[n].ok, answers[n].text, round(answers[n].seconds, 3)) for n, s in states.items()]


def _last_good(settings: Settings) -> tuple[str | None, float | None]:
    try:
        manifest = Repository.open(settings.repository).resolve("latest", stores=STORES)
    except ArchonError:
        return None, None
    return manifest.id, (datetime.now(UTC) - manifest.window.start).total_seconds()


def _next(services: list[ServiceLine], last: str | None, advice: str | None) -> str:
    down = [line.service for line in services if not line.ready]
    if not services:
        return "start a platform: archon sandbox up"
    if advice:
        return advice
    if down and any(line.state == "elsewhere" for line in services):
        return f"look at {down[0]} where it runs"
    if down:
        return f"start what is down: archon sandbox start {down[0]}"
    if last is None:
        return "take the first backup: archon backup"
    return "nothing"


def _show(found: Status) -> None:
    rows = [
        (line.service, line.state, "[green]ready[/]" if line.ready else "[red]not ready[/]", line.answer)
        for line in found.services
    ]
    console.print(table("services", ("service", "process", "probe", "answer"), rows))
    age = f", {duration_text(found.last_good_age)} old" if found.last_good_age is not None else ""
    console.print(f"last good backup: {found.last_good_backup or 'none'}{age}", highlight=False)
    if found.interrupted_restore:
        console.print(f"[red]interrupted:[/] {found.interrupted_restore}", highlight=False)
    console.print(f"Dagster: {found.webserver or 'no webserver is running'}", highlight=False)
    console.print(f"next: {found.next}", highlight=False, soft_wrap=True)
