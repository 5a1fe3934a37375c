"""`archon start` and `archon cold-start`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated, Any

import typer

from archon_dagster.backup.summary import duration_text
from archon_dagster.cli.backups import Direct, Json
from archon_dagster.cli.operations import run_interruptible
from archon_dagster.cli.output import console, plain, print_json, table
from archon_dagster.cli.submit import submit
from archon_dagster.errors import ConfirmationMissing
from archon_dagster.platform.probes import address
from archon_dagster.platform.services import BY_NAME
from archon_dagster.platform.settings import Settings, load_settings
from archon_dagster.startup.cold_start import CONFIRMATION, ColdStartRequest, cold_start
from archon_dagster.startup.context import StartContext, open_start
from archon_dagster.startup.platform import StartRequest, start_platform
from archon_dagster.startup.report import Report
from archon_dagster.startup.summary import notes, rows

CLEANUP_LIMIT = 150.0  # seconds: an interrupt while a database is being stopped waits for that
_DOORS = ("archon-frontend", "archon-mcp")

Services = Annotated[
    list[str] | None, typer.Argument(metavar="[SERVICE]…", help="Just these, and what they need; default: all.")
]
Accept = Annotated[
    bool, typer.Option("--accept-counts", help="It is right that a store holds fewer records than before.")
]


def start(
    services: Services = None, accept_counts: Accept = False, direct: Direct = False, as_json: Json = False
) -> None:
    """Start the platform; what runs and is ready is left alone."""
    request = StartRequest(tuple(services or ()), accept_counts)
    config: dict[str, Any] = {"services": list(request.services), "accept_counts": accept_counts}
    if direct:
        _here(lambda context: start_platform(context, request), as_json)
    else:
        _through_dagster("startup", "start_services", config, as_json)


def cold_start_(
    confirm: Annotated[str, typer.Option(help=f"Type {CONFIRMATION}: the platform goes down.")] = "",
    pull: Annotated[
        bool, typer.Option("--pull", help="Fetch the images of the configuration first, before anything stops.")
    ] = False,
    despite_externals: Annotated[
        bool, typer.Option("--despite-externals", help="Go on although Ollama or Supabase is not well.")
    ] = False,
    accept_counts: Accept = False,
    direct: Direct = False,
    as_json: Json = False,
) -> None:
    """Take the platform down and start it; Ollama and Supabase are checked before anything goes down."""
    request = ColdStartRequest(confirm, pull, despite_externals, accept_counts)
    if direct:
        _here(lambda context: cold_start(context, request), as_json)
        return
    if confirm != CONFIRMATION:
        raise ConfirmationMissing(
            "a cold start takes the platform down and was not confirmed; nothing was touched",
            todo=f"archon cold-start --confirm {CONFIRMATION}",
        )
    config = {
        "confirm": confirm, "pull": pull, "despite_externals": despite_externals, "accept_counts": accept_counts,
    }  # fmt: skip
    _through_dagster("cold_start", "start_from_nothing", config, as_json)


def _through_dagster(job: str, op: str, config: dict[str, Any], as_json: bool) -> None:
    settings = load_settings()
    submit(settings, job, {"ops": {op: {"config": config}}}, as_json=as_json)
    if not as_json:
        _show_doors(settings)


def _here(start: Callable[[StartContext], Report], as_json: bool) -> None:
    settings = load_settings()
    report = run_interruptible(
        lambda cancel, news: start(open_start(settings, cancel, news)), quiet=as_json, cleanup_limit=CLEANUP_LIMIT
    )
    if as_json:
        print_json(_as_data(report))
    else:
        _show(report)
    report.raise_for_failure()
    if not as_json:
        _show_doors(settings)


def _as_data(report: Report) -> dict[str, Any]:
    return {"good": report.good, "untouched": report.untouched, "summary": report.headline, **asdict(report)}


def _show(report: Report) -> None:
    shown = [(row["service"], row["how"], f"{row['seconds']:.2f}", plain(str(row["answer"]))) for row in rows(report)]
    title = f"{report.headline} ({duration_text(report.seconds)})"
    console.print(table(title, ("service", "", "seconds", "answer"), shown, right=("seconds",), keep=("service", "")))
    for note in notes(report):
        _say(plain(note))
    for one in report.started.degraded:
        _say(f"[yellow]without {one.service}:[/] {plain(one.detail)}")
        for line in one.log.splitlines():
            _say(f"  {plain(line)}")


def _show_doors(settings: Settings) -> None:
    for name in _DOORS:
        _say(f"{BY_NAME[name].title}: {address(BY_NAME[name], settings)}")


def _say(text: str) -> None:
    console.print(text, highlight=False, soft_wrap=True)
