"""`archon`: the control plane from a shell. Exit codes are listed in :mod:`archon_dagster.cli.output`."""

from __future__ import annotations

import sys

import typer

from archon_dagster import __version__
from archon_dagster.cli import backups, demo, platform, restore, sandbox, serve, status
from archon_dagster.cli.output import exit_code, problems, show_error
from archon_dagster.errors import ArchonError

app = typer.Typer(
    name="archon",
    help="Operations control plane of the Archon MCP platform.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(sandbox.app, name="sandbox", help="The embedded platform: real servers as local processes.")
app.add_typer(backups.app, name="backups", help="The backups in the repository.")
app.command("backup")(backups.backup)
app.command("verify")(backups.verify)
app.command("restore")(restore.restore)
app.command("fingerprint")(platform.fingerprint)
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


def run() -> None:
    """The entry point: errors become a readable message and an exit code."""
    try:
        app()
    except ArchonError as error:
        show_error(error)
        sys.exit(exit_code(error))
    except KeyboardInterrupt:
        problems.print("interrupted")
        sys.exit(130)
