"""`archon backup`, `archon backups …`, `archon verify`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from archon_dagster.backup.backup import BackupRequest, take_backup
from archon_dagster.backup.checks import readable, verify_artifacts
from archon_dagster.backup.summary import deduplicated, duration_text, size_text
from archon_dagster.cli.operations import run_here
from archon_dagster.cli.output import console, print_json, problems, table
from archon_dagster.cli.progress import RunLines
from archon_dagster.cli.submit import run_job
from archon_dagster.context import OperationContext
from archon_dagster.errors import ConfigurationError, DamagedBackup
from archon_dagster.platform.settings import Settings, load_settings
from archon_dagster.repository.catalogue import Entry
from archon_dagster.repository.manifest import Manifest
from archon_dagster.repository.repository import Repository
from archon_dagster.repository.verification import CheckRecord, failed_checks, newest_checks
from archon_dagster.stores.base import STORES, StoreName

app = typer.Typer(no_args_is_help=False)

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Selector = Annotated[
    str, typer.Argument(help="'latest', a backup id, a unique prefix of one, or a date YYYYMMDD.", metavar="SELECTOR")
]
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
    direct: Direct = False,
    as_json: Json = False,
) -> None:
    """Take a backup and verify it; it shows in the Dagster UI unless --direct is given."""
    settings = load_settings()
    stores = stores_named(only) or STORES
    if direct:
        request = BackupRequest(
            stores=stores, quiesce=False if no_pause else None, accept_counts=accept_counts, note=note
        )
        manifest = run_here(settings, lambda context: take_backup(context, request), quiet=as_json).manifest
    else:
        manifest = _through_dagster(settings, stores, note, no_pause, accept_counts, as_json)
    show_backup(_repository(settings), manifest, as_json=as_json)
    _fail_when_bad(failed_checks(_repository(settings).checks(manifest.id)), manifest)


def _through_dagster(
    settings: Settings, stores: tuple[StoreName, ...], note: str, no_pause: bool, accept: bool, quiet: bool
) -> Manifest:
    config: dict[str, Any] = {
        "stores": list(stores),
        "note": note,
        "pause_writers": not no_pause and settings.quiesce == "pause",
        "accept_counts": accept,
    }
    with RunLines(problems, quiet=quiet) as lines:
        outcome = run_job(settings, "backup", {"ops": {"take_backup": {"config": config}}}, lines)
    assert outcome.backup is not None  # the job tags its run before it ends
    return _repository(settings).resolve(outcome.backup)


def _repository(settings: Settings) -> Repository:
    return Repository.open(settings.repository)


@app.callback(invoke_without_command=True)
def backups(context: typer.Context, as_json: Json = False) -> None:
    """List the backups, newest first; leftovers of runs that died are shown as what they are."""
    if context.invoked_subcommand is not None:
        return
    settings = load_settings()
    repository = _repository(settings)
    entries = repository.backups()
    if as_json:
        print_json(entries)
        return
    rows = [
        (
            entry.id,
            _age(entry.created),
            entry.summary.kind if entry.summary else "·",
            _state(repository, entry),
            ", ".join(entry.summary.stores) if entry.summary else entry.detail,
            size_text(entry.summary.bytes_read) if entry.summary else "·",
            size_text(entry.summary.bytes_added) if entry.summary else "·",
        )
        for entry in entries
    ]
    console.print(
        table(
            f"{len(rows)} backups in {settings.repository}",
            ("id", "age", "kind", "state", "stores", "size", "added"),
            rows,
            right=("size", "added"),
        )
    )


def _age(then: datetime) -> str:
    return duration_text((datetime.now(UTC) - then).total_seconds())


def _state(repository: Repository, entry: Entry) -> str:
    if entry.state != "complete":
        return f"[yellow]{entry.state}[/]"
    failed = failed_checks(repository.checks(entry.id))
    return f"[red]failed {', '.join(check.name for check in failed)}[/]" if failed else "[green]good[/]"


@app.command("show")
def show(selector: Selector, as_json: Json = False) -> None:
    """Show what one backup holds and what its checks said."""
    repository = _repository(load_settings())
    show_backup(repository, repository.resolve(selector), as_json=as_json)


@app.command("export")
def export(selector: Selector, directory: Path, as_json: Json = False) -> None:
    """Write a backup as plain files that need none of this software."""
    repository = _repository(load_settings())
    manifest = repository.resolve(selector)
    repository.export(manifest, directory)
    if as_json:
        print_json({"backup": manifest.id, "directory": str(directory.resolve())})
    else:
        console.print(f"backup {manifest.id} written to {directory}: {len(manifest.artifacts)} files and manifest.json")


def verify(selector: Selector, as_json: Json = False) -> None:
    """Read a backup back: every chunk, every digest, and every artifact by its own engine."""
    settings = load_settings()

    def check(context: OperationContext) -> tuple[Manifest, Any, Any]:
        manifest = context.repository.resolve(selector)
        with context.work() as work:
            digests = context.repository.verify(manifest.id, work)
        verdicts = [] if digests.damage else verify_artifacts(context, manifest)
        return manifest, digests, verdicts

    manifest, digests, verdicts = run_here(settings, check, quiet=as_json, live=False)
    finding = readable(verdicts)
    damage = [str(one) for one in digests.damage] or ([] if finding.passed else [finding.detail])
    if as_json:
        print_json({"backup": manifest.id, "damage": damage, "artifacts": verdicts})
    else:
        console.print(table(f"backup {manifest.id}", ("artifact", "state", ""), [
            (v.artifact, v.state, v.detail) for v in verdicts
        ]))  # fmt: skip
        console.print(f"{digests.chunks} chunks read back, {size_text(digests.bytes_read)}")
    if damage:
        raise DamagedBackup(
            f"backup {manifest.id} is damaged: {'; '.join(damage[:10])}",
            where=settings.repository,
            todo="restore from another backup; take a new one now",
        )


def show_backup(repository: Repository, manifest: Manifest, *, as_json: bool) -> None:
    """One backup on the terminal or as JSON."""
    checks = newest_checks(repository.checks(manifest.id))
    if as_json:
        print_json({"manifest": manifest, "checks": checks})
        return
    rows = [
        (
            artifact.name,
            ", ".join(f"{part} {count:,}" for part, count in artifact.counts.items()) or "·",
            size_text(artifact.size),
            len(artifact.chunks),
            artifact.fingerprint.digest[:12] if artifact.fingerprint else "·",
        )
        for artifact in manifest.artifacts
    ]
    console.print(
        table(
            f"backup {manifest.id}",
            ("artifact", "records", "size", "chunks", "fingerprint"),
            rows,
            right=("size", "chunks"),
        )
    )
    console.print(
        f"{size_text(manifest.bytes_read)} captured, {size_text(manifest.bytes_added)} new "
        f"({deduplicated(manifest):.0%} saved), {duration_text(manifest.duration)}, "
        f"{'one consistent instant' if manifest.window.consistent else f'not one instant: {manifest.window.note}'}"
    )
    for what in manifest.not_covered:
        console.print(f"[yellow]not covered[/] {what}", highlight=False)
    for check in checks:
        mark = "[green]passed[/]" if check.passed else "[red]failed[/]"
        console.print(f"{mark} {check.name}: {check.detail}", highlight=False)


def _fail_when_bad(failed: list[CheckRecord], manifest: Manifest) -> None:
    if failed:
        raise DamagedBackup(
            f"backup {manifest.id} was taken but failed: {', '.join(check.name for check in failed)}",
            tried="; ".join(check.detail for check in failed),
            todo="it will not be chosen as latest; if the counts are right, take another with --accept-counts",
        )
