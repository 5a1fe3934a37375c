"""`archon backup`, `archon backups …`, `archon verify`."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from archon_dagster.backup.backup import BackupRequest, take_backup
from archon_dagster.backup.checks import TAKEN, raise_for_failed, verify_backup
from archon_dagster.cli.listing import list_backups, show_backup, show_verification
from archon_dagster.cli.operations import run_here
from archon_dagster.cli.output import console, plain, print_json, problems
from archon_dagster.cli.progress import RunLines
from archon_dagster.cli.submit import run_job
from archon_dagster.context import OperationContext
from archon_dagster.errors import BackupNotFound, ConfigurationError, DamagedBackup
from archon_dagster.platform.settings import Settings, load_settings
from archon_dagster.repository.check_state import state_of
from archon_dagster.repository.manifest import Manifest
from archon_dagster.repository.names import BACKUP_ID
from archon_dagster.repository.repository import Repository
from archon_dagster.repository.selection import NO_BACKUPS
from archon_dagster.repository.verification import Verification, newest_checks
from archon_dagster.stores.base import STORES, StoreName, Verdict

app = typer.Typer(no_args_is_help=False)

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
_SELECTOR = typer.Argument(
    help="'latest', a backup id, a unique prefix of one, or a date YYYYMMDD.", metavar="SELECTOR"
)
Selector = Annotated[str, _SELECTOR]
OptionalSelector = Annotated[str | None, _SELECTOR]
Direct = Annotated[bool, typer.Option("--direct", help="Do it here and now, without Dagster.")]
Only = Annotated[list[str] | None, typer.Option("--only", help=f"Just this store (repeatable): {', '.join(STORES)}.")]


def stores_named(only: list[str] | None) -> tuple[StoreName, ...]:
    """The stores an ``--only`` names; empty when none was given."""
    unknown = [name for name in only or [] if name not in STORES]
    if unknown:
        raise ConfigurationError(f"unknown store: {', '.join(unknown)}", todo=f"name some of {', '.join(STORES)}")
    return tuple(name for name in STORES if name in (only or []))


def backup(
    only: Only = None,
    note: Annotated[str, typer.Option(help="Free text kept in the manifest.")] = "",
    no_pause: Annotated[bool, typer.Option("--no-pause", help="Do not hold the writers still.")] = False,
    accept_counts: Annotated[
        bool, typer.Option("--accept-counts", help="It is right that something vanished since the last backup.")
    ] = False,
    no_portable: Annotated[
        bool, typer.Option("--no-portable", help="Leave out the copies of the vectors that go onto any Qdrant.")
    ] = False,
    direct: Direct = False,
    as_json: Json = False,
) -> None:
    """Take a backup and verify it; it shows in the Dagster UI unless --direct is given."""
    settings = load_settings()
    stores = stores_named(only) or STORES
    if direct:
        request = BackupRequest(
            stores=stores,
            quiesce=False if no_pause else None,
            accept_counts=accept_counts,
            note=note,
            portable=not no_portable,
        )
        manifest = run_here(settings, lambda context: take_backup(context, request), quiet=as_json).manifest
    else:
        manifest = _through_dagster(settings, stores, note, no_pause, accept_counts, not no_portable, as_json)
    _show(settings, manifest, as_json=as_json)
    raise_for_failed(manifest.id, Repository.open(settings.repository).checks(manifest.id))


def _through_dagster(
    settings: Settings, stores: tuple[StoreName, ...], note: str, no_pause: bool, accept: bool, portable: bool,
    quiet: bool,
) -> Manifest:  # fmt: skip
    config: dict[str, Any] = {
        "stores": list(stores),
        "note": note,
        "pause_writers": not no_pause and settings.quiesce == "pause",
        "accept_counts": accept,
        "portable": portable,
    }
    with RunLines(problems, quiet=quiet) as lines:
        try:
            backup_id = run_job(settings, "backup", {"ops": {"take_backup": {"config": config}}}, lines).backup
        except DamagedBackup as error:  # it was taken and kept, and is shown with what is wrong with it
            found = re.search(TAKEN.format(backup=f"({BACKUP_ID.pattern})"), error.what)
            if found is None:
                raise
            backup_id = found[1]
    assert backup_id is not None  # the job tags its run before it ends
    return Repository.open(settings.repository).resolve(backup_id)


def repository_of(settings: Settings) -> Repository:
    """The repository, with something in it.

    :raises BackupNotFound: there are no backups yet; the default repository is made by the first one.
    """
    if settings.repository_setting is not None or Path(settings.repository).exists():
        repository = Repository.open(settings.repository)
        if repository.backups():
            return repository
    raise BackupNotFound(
        NO_BACKUPS,
        where=settings.repository,
        todo="take the first one: archon backup; if there should be some, look whether ARCHON_HOME "
        f"({settings.home}) and ARCHON_REPOSITORY name the right platform",
    )


@app.callback(invoke_without_command=True)
def backups(
    context: typer.Context,
    safety: Annotated[
        bool, typer.Option("--safety", help="Show safety backups too, those taken before a restore; JSON has them.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List the backups, newest first; leftovers of runs that died are shown as what they are."""
    if context.invoked_subcommand is not None:
        return
    settings = load_settings()
    try:
        repository = repository_of(settings)
    except BackupNotFound:
        if as_json:
            print_json([])
        raise
    entries = repository.backups(checks=True)
    if as_json:
        print_json(entries)
    else:
        list_backups(entries, repository.describe(), _now(settings), safety=safety)
    if foreign := repository.foreign():
        shown = f"{', '.join(foreign[:5])}{' …' if len(foreign) > 5 else ''}"
        problems.print(
            f"[yellow]not of this program:[/] {plain(shown)} in {plain(repository.describe())}: left alone, look who "
            "puts files there",
            highlight=False,
            soft_wrap=True,
        )


def _now(settings: Settings) -> datetime:
    """The present moment in the zone times are shown in: that of the settings, else this machine's."""
    zone = ZoneInfo(settings.timezone) if "timezone" in settings.model_fields_set else None
    return datetime.now(UTC).astimezone(zone)


@app.command("show")
def show(selector: Selector, as_json: Json = False) -> None:
    """Show what one backup holds and what its checks said."""
    settings = load_settings()
    _show(settings, repository_of(settings).resolve(selector), as_json=as_json)


@app.command("export")
def export(selector: Selector, directory: Path, as_json: Json = False) -> None:
    """Write a backup as plain files that need none of this software."""
    repository = repository_of(load_settings())
    manifest = repository.resolve(selector)
    repository.export(manifest, directory)
    if as_json:
        print_json({"backup": manifest.id, "directory": str(directory.resolve())})
    else:
        console.print(
            f"backup {manifest.id} written to {plain(str(directory))}: "
            f"{len(manifest.artifacts)} files and manifest.json",
            highlight=False,
            soft_wrap=True,
        )


def verify(selector: Selector, as_json: Json = False) -> None:
    """Read a backup back: every chunk, every digest, and every artifact by its own engine."""
    settings = load_settings()
    repository_of(settings)

    def check(context: OperationContext) -> tuple[Manifest, Verification, list[Verdict]]:
        return verify_backup(context, context.repository.resolve(selector))

    manifest, digests, verdicts = run_here(settings, check, quiet=as_json, live=False)
    unreadable = [f"artifact {v.artifact}: {v.detail}" for v in verdicts if v.state == "damaged"]
    damage = [str(one) for one in digests.damage] + unreadable
    if as_json:
        print_json({"backup": manifest.id, "damage": damage, "artifacts": verdicts})
    else:
        show_verification(manifest, digests, verdicts)
    if damage:
        more = f"; and {len(damage) - 5:,} more" if len(damage) > 5 else ""
        raise DamagedBackup(
            f"backup {manifest.id} is damaged in {len(damage):,} places: {'; '.join(damage[:5])}{more}",
            where=settings.repository,
            todo="restore from another backup; take a new one now",
        )


def _show(settings: Settings, manifest: Manifest, *, as_json: bool) -> None:
    """One backup on the terminal or as JSON."""
    records = Repository.open(settings.repository).checks(manifest.id)
    if as_json:
        print_json({"manifest": manifest, "checks": newest_checks(records), "check_state": state_of(records)})
    else:
        show_backup(manifest, records, _now(settings))
