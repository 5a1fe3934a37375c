"""`archon`: the control plane from a shell. Exit codes are listed in :mod:`archon_dagster.cli.output`."""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import Any

import typer
from typer.core import TyperGroup

from archon_dagster import __version__
from archon_dagster.cli import (
    alerts,
    backups,
    config,
    demo,
    drill,
    dump,
    health,
    incidents,
    maintenance,
    metrics,
    performance,
    platform,
    pruning,
    restore,
    sandbox,
    scaling,
    serve,
    start,
    status,
)
from archon_dagster.cli.output import exit_code, problems, show_error
from archon_dagster.errors import ArchonError


class Verbs(TyperGroup):
    """The verbs; one that is interrupted says so, instead of ending without a word."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as interrupt:
            problems.print("interrupted")
            raise typer.Exit(130) from interrupt


app = typer.Typer(
    name="archon",
    cls=Verbs,
    help="Operations control plane of the Archon MCP platform.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(sandbox.app, name="sandbox", help="The embedded platform: real servers as local processes.")
app.add_typer(backups.app, name="backups", help="The backups in the repository.")
app.add_typer(config.app, name="config", help="The platform's .env: validate, apply, undo, history.")
app.add_typer(maintenance.app, name="maintenance", help="Weekly maintenance: run it, see what it did.")
app.add_typer(drill.app, name="drill", help="Try a restore in servers of its own, and measure how long it takes.")
app.add_typer(performance.app, name="tune", help="Tuning that is seen to hold, and can be undone.")
app.add_typer(scaling.scale, name="scale", help="How often the search service runs.")
app.add_typer(scaling.resources, name="resources", help="What services may use: resource profiles.")
app.add_typer(scaling.autoscale, name="autoscale", help="The autoscaler of the search service.")
app.add_typer(alerts.app, name="alerts", help="Who is told when something is wrong, and of what.")
app.add_typer(metrics.app, name="metrics", help="The control plane's own metrics: once, or for Prometheus.")
backups.app.command("import")(dump.import_)
backups.app.command("inspect")(dump.inspect)
backups.app.command("prune")(pruning.prune)
backups.app.command("keep")(pruning.keep)
backups.app.command("undelete")(pruning.undelete)
app.add_typer(health.app, name="health", help="Is the platform well? Exit code 0 healthy, 1 degraded, 2 down.")
app.add_typer(incidents.app, name="incidents", help="What broke, and what was done about it.")
app.add_typer(incidents.switch, name="automation", help="Stop the automatic recovery, and let it go on.")
app.command("backup")(backups.backup)
app.command("verify")(backups.verify)
app.command("restore")(restore.restore)
app.command("start")(start.start)
app.command("cold-start")(start.cold_start_)
app.command("fingerprint")(platform.fingerprint)
app.command("performance")(performance.performance)
app.command("security-updates")(maintenance.security_updates)
app.command("status")(status.status)
app.command("up")(serve.up)
app.command("demo")(demo.demo)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"archon {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Show the version."),
) -> None:
    """Operations control plane of the Archon MCP platform."""


def _as_interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def run() -> None:
    """The entry point: errors become a readable message and an exit code; SIGTERM cleans up as Ctrl-C does."""
    signal.signal(signal.SIGTERM, _as_interrupt)
    try:
        app()
    except ArchonError as error:
        show_error(error)
        sys.exit(exit_code(error))
    except KeyboardInterrupt:  # before a verb has begun
        problems.print("interrupted")
        sys.exit(130)
