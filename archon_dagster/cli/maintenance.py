"""`archon maintenance …` and `archon security-updates`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from archon_dagster.cli.backups import Direct, Json
from archon_dagster.cli.operations import run_here
from archon_dagster.cli.output import console, plain, print_json, table
from archon_dagster.cli.submit import submit
from archon_dagster.errors import ConfirmationMissing
from archon_dagster.maintenance import journal as journals
from archon_dagster.maintenance import report
from archon_dagster.maintenance.catalogue import STEPS
from archon_dagster.maintenance.journal import Journal
from archon_dagster.maintenance.packages import CONFIRMATION
from archon_dagster.maintenance.pip_check import installed
from archon_dagster.maintenance.step import MaintenanceContext
from archon_dagster.maintenance.updates import go_back, require_compose, update
from archon_dagster.maintenance.weekly import choose, raise_for_failure
from archon_dagster.maintenance.weekly import run as run_steps
from archon_dagster.platform.runtime.open import open_runtime
from archon_dagster.platform.settings import load_settings

UPDATE = "UPDATE"
CLEANUP_LIMIT = 1800.0  # seconds an interrupted update may take to go back

app = typer.Typer(no_args_is_help=True)


@app.command()
def run(
    steps: Annotated[str, typer.Option(help="Just these, separated by commas; default: the weekly run.")] = "",
    plan: Annotated[bool, typer.Option("--plan", help="Show what would be done; do nothing.")] = False,
    install_packages: Annotated[str, typer.Option(help=f"Type {CONFIRMATION}, with --steps packages.")] = "",
    direct: Direct = False,
    as_json: Json = False,
) -> None:
    """Back up, then look after stores, images, logs and disks; goes on where a killed run ended."""
    names = [name.strip() for name in steps.split(",") if name.strip()]
    chosen = choose(STEPS, names)
    if plan:
        _plan(tuple(step.name for step in chosen), as_json)
        return
    if install_packages not in ("", CONFIRMATION):
        raise ConfirmationMissing("installing packages was not confirmed; nothing was touched",
                                  todo=f"type {CONFIRMATION}")  # fmt: skip
    settings = load_settings()
    if not direct:
        config = {"steps": names, "confirm_packages": install_packages}
        submit(settings, "weekly_maintenance", {"ops": {"maintain": {"config": config}}}, as_json=as_json)
        if not as_json:
            console.print("what each step did: archon maintenance status", highlight=False)
        return
    journal = run_here(
        settings, lambda here: run_steps(MaintenanceContext(here, None, install_packages), chosen), quiet=as_json
    )
    report.keep(settings.home, journal)
    _show(journal, as_json)
    raise_for_failure(journal)


@app.command()
def status(as_json: Json = False) -> None:
    """What the last maintenance run did, and where it ended."""
    journal = journals.load(load_settings().home)
    if journal is not None:
        _show(journal, as_json)
    elif as_json:
        print_json(None)
    else:
        console.print("no maintenance has been done here yet: archon maintenance run")


def security_updates(
    confirm: Annotated[str, typer.Option(help=f"Type {UPDATE}: services are replaced, one by one.")] = "",
    plan: Annotated[bool, typer.Option("--plan", help="Show what runs now; do nothing.")] = False,
    return_: Annotated[bool, typer.Option("--return", help="Go back to the images before the last update.")] = False,
    direct: Direct = False,
    as_json: Json = False,
) -> None:
    """New images, service by service behind a health gate; back to the old ones at the first failure."""
    settings = load_settings()
    runtime = open_runtime(settings)
    asked = bool(confirm) or return_
    if plan or (runtime.kind != "compose" and not asked):
        made = {"services": runtime.image_digests(), "packages": dict(installed())}
        print_json({"runtime": runtime.kind, **made}) if as_json else _say_made(made, runtime.kind)
        return
    require_compose(runtime)
    if confirm != UPDATE:
        raise ConfirmationMissing(
            "services are replaced, and this was not confirmed; nothing was touched",
            todo=f"archon security-updates {'--return ' if return_ else ''}--confirm {UPDATE}",
        )
    if return_:
        names = run_here(settings, go_back, quiet=as_json, cleanup_limit=CLEANUP_LIMIT)
        said = f"put back: {', '.join(names) or 'nothing: every service runs on the recorded image'}"
        print_json({"put_back": names}) if as_json else console.print(said)
    elif direct:
        result = run_here(settings, update, quiet=as_json, cleanup_limit=CLEANUP_LIMIT)
        print_json({"good": result.good, "changed": result.changed, "put_back": result.returned, "why": result.why,
                    "warning": result.warning})  # fmt: skip
        result.raise_for_failure()
    else:
        submit(settings, "security_updates", {}, as_json=as_json)


def _say_made(made: dict[str, Any], kind: str) -> None:
    rows = [(name, plain(version)) for part in made.values() for name, version in part.items()]
    console.print(table("what runs now", ("what", "version"), rows))
    if kind != "compose":
        console.print("local processes have no images: nothing is replaced here; upgrade the installation with pip")


def _plan(names: tuple[str, ...], as_json: bool) -> None:
    rows = [
        (s.name, s.does, "changes or deletes" if s.harms else "protects" if s.protects else "reads")
        for s in STEPS
        if s.name in names
    ]
    if as_json:
        print_json([{"step": name, "does": does, "effect": effect} for name, does, effect in rows])
    else:
        console.print(table("would be done, in this order", ("step", "what", "effect"), rows, keep=("step",)))


def _show(journal: Journal, as_json: bool) -> None:
    if as_json:
        print_json({"summary": report.headline(journal), **journal.model_dump(mode="json")})
        return
    rows = [(r["step"], r["result"], f"{r['seconds']:.2f}", plain(str(r["detail"]))) for r in report.rows(journal)]
    console.print(table(report.headline(journal), report.COLUMNS, rows, right=("seconds",), keep=("step", "result")))
