"""`archon backups import`, `archon backups inspect`, and the import that `archon restore --from-dump` begins with."""

from __future__ import annotations

import shlex
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from archon_dagster.cancelling import run_cancellable
from archon_dagster.cli.backups import Json, Only, stores_named
from archon_dagster.cli.operations import run_here
from archon_dagster.cli.output import console, plain, print_json, problems, table
from archon_dagster.cli.progress import News
from archon_dagster.context import OperationContext
from archon_dagster.errors import ConfigurationError
from archon_dagster.platform.settings import Settings, load_settings
from archon_dagster.restore.imports.importing import ImportRequest, ImportResult, import_backup, preview, with_lines
from archon_dagster.restore.imports.parts import Part
from archon_dagster.restore.imports.parts import inspect as inspect_parts
from archon_dagster.restore.plan import Foreign, RestorePlan
from archon_dagster.restore.restore import RestoreResult
from archon_dagster.stores.base import Work
from archon_dagster.stores.graph.dump.importing import DumpReport

SHOWN = 10  # statements that were not applied, and suspects, on the terminal

ForeignPath = Annotated[
    Path, typer.Argument(help="A DUMP DATABASE in a file, or a directory of the runbook's script.", metavar="PATH")
]
FromDump = Annotated[
    Path | None,
    typer.Option(
        "--from-dump", help="Import this DUMP DATABASE, or directory of the runbook's script, and restore it."
    ),
]
Skip = Annotated[
    bool, typer.Option("--skip", help="Leave out nodes and relationships that cannot be applied, and list them.")
]


def inspect(path: ForeignPath, as_json: Json = False) -> None:
    """Say what each part of a foreign backup is good for; nothing is changed, and no platform is needed."""
    cancel = threading.Event()
    with tempfile.TemporaryDirectory() as scratch, News(problems, quiet=as_json) as news:
        work = Work(scratch=Path(scratch), cancel=cancel, report=news)
        parts = run_cancellable(lambda: inspect_parts(path, work), cancel, cleanup_limit=10.0)
    if as_json:
        print_json(parts)
    else:
        _show_parts(path, parts)


def import_(path: ForeignPath, only: Only = None, skip: Skip = False, as_json: Json = False) -> None:
    """Import a foreign backup into the repository; restore it by its id afterwards."""
    result = imported(load_settings(), ImportRequest(path, stores_named(only), skip), quiet=as_json)
    if as_json:
        print_json(result)
        return
    show_import(result)
    console.print(f"restore it: archon restore {result.manifest.id} --confirm RESTORE", highlight=False)


def imported(settings: Settings, request: ImportRequest, *, quiet: bool) -> ImportResult:
    """Import with progress on the terminal."""
    return run_here(settings, lambda context: import_backup(context, request), quiet=quiet)


def plan_of_dump(
    settings: Settings, path: Path, make: Callable[[OperationContext, Foreign], RestorePlan], *, skip: bool, quiet: bool
) -> RestorePlan:
    """The plan of a restore from a dump, which is read for it and imported nowhere.

    :param make: makes the plan of what the dump would become.
    """

    def plan(context: OperationContext) -> tuple[ImportResult, RestorePlan]:
        found = preview(context, ImportRequest(path, skip=skip, fit=skip))
        words = f"--from-dump {shlex.quote(str(path))}" + (" --skip" if skip else "")
        return found, make(context, Foreign(path, found.manifest, words))

    with tempfile.TemporaryDirectory() as nowhere:
        if settings.repository_setting is None and not Path(settings.repository).exists():
            settings = settings.model_copy(update={"repository_setting": f"{nowhere}/none"})  # a plan makes none
        found, planned = run_here(settings, plan, quiet=quiet)
    if not quiet:
        _show_found(found)
    return planned


@dataclass
class BeforeRestore:
    """The import a restore from a dump begins with.

    :ivar selector: of the imported backup, or the one that was given where nothing is to be imported.
    """

    selector: str
    dump: DumpReport | None = None

    def lined(self, result: RestoreResult) -> RestoreResult:
        """The result with the dump's lines in its warnings."""
        if self.dump is not None:
            result.warnings = with_lines(result.warnings, self.dump)
        return result


def import_first(
    settings: Settings, selector: str | None, path: Path | None, *, skip: bool, go_on: bool, quiet: bool
) -> BeforeRestore:
    """What `archon restore` does before anything else.

    :param go_on: the restore was confirmed; nothing is imported otherwise.
    """
    require_one(selector, path)
    if path is None or not go_on:
        return BeforeRestore(selector or f"--from-dump {path}")
    result = imported(settings, ImportRequest(path, skip=skip, fit=skip), quiet=quiet)
    if not quiet:
        show_import(result)
    return BeforeRestore(result.manifest.id, result.dump)


def require_one(selector: str | None, path: Path | None) -> None:
    """A backup or a dump, one of them."""
    if (selector is None) == (path is None):
        raise ConfigurationError(
            "which backup? name one, or a file with --from-dump; not both",
            todo="`archon backups` lists the backups; `archon restore latest` takes the newest good one",
        )


def show_import(result: ImportResult) -> None:
    """What was imported and what was not, for people."""
    _show_found(result)
    console.print(f"imported as backup {result.manifest.id}", highlight=False)


def _show_found(result: ImportResult) -> None:
    if len(result.parts) > 1:
        _show_parts(Path(result.manifest.note.partition(" from ")[2]), list(result.parts))
    if result.dump is not None:
        _show_dump(result.dump)


def _show_parts(path: Path, parts: list[Part]) -> None:
    rows = [(plain(part.name), part.store or "·", part.state, plain(part.detail)) for part in parts]
    console.print(table(plain(str(path)), ("part", "store", "state", ""), rows))


def _show_dump(report: DumpReport) -> None:
    console.print(
        f"{plain(report.path.name)}: {report.statements:,} statements, {report.nodes:,} nodes, "
        f"{report.relationships:,} relationships",
        highlight=False,
    )
    for problem in report.problems[:SHOWN]:
        problems.print(f"[yellow]not applied:[/] {plain(str(problem))}", highlight=False, soft_wrap=True)
    if report.left_out > SHOWN:
        problems.print(f"not applied: {report.left_out - SHOWN:,} more (--json lists them)", highlight=False)
    for what in report.lost:
        problems.print(plain(what), highlight=False, soft_wrap=True)
    for what in report.suspects[:SHOWN]:
        problems.print(f"probably doubles, imported as integers: {plain(what)}", highlight=False, soft_wrap=True)
