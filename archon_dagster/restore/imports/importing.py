"""Import a foreign backup into the repository as a backup like any other.

It is complete and checked when it is there. Its kind is ``imported``, which is never chosen as ``latest``: how old it
is only its files say. It is restored by its id.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from archon_dagster.backup.checks import mark_checks, readable, verify_backup
from archon_dagster.context import OperationContext, Step
from archon_dagster.errors import DamagedBackup
from archon_dagster.repository.manifest import Manifest, Window
from archon_dagster.repository.pending import PendingBackup
from archon_dagster.restore.imports.parts import GRAPH, Part, inspect, made_at
from archon_dagster.restore.imports.unkept import Unkept
from archon_dagster.stores.base import Sink, StoreName, Work
from archon_dagster.stores.configuration.store import ConfigurationStore
from archon_dagster.stores.graph.dump.fitting import fitting
from archon_dagster.stores.graph.dump.importing import SERVER, DumpReport, Refuses, import_dump


@dataclass(frozen=True)
class ImportRequest:
    """What to import.

    :param path: a dump, or a directory of the runbook's script.
    :param only: just these stores; default all that can be imported.
    :param skip: leave out, and report, the nodes and relationships that cannot be applied.
    :param fit: with ``skip``: also those that the live graph server would not keep.
    """

    path: Path
    only: tuple[StoreName, ...] = ()
    skip: bool = False
    fit: bool = False


@dataclass(frozen=True)
class ImportResult:
    """An imported backup; what each part was good for; and what became of the dump, where there was one."""

    manifest: Manifest
    parts: tuple[Part, ...]
    dump: DumpReport | None


def import_backup(context: OperationContext, request: ImportRequest) -> ImportResult:
    """Import what can be imported; raises where that is nothing, or a part that was asked for cannot be."""
    path = request.path.absolute()
    with context.repository.lock(f"import of {path.name}") as lease, context.work() as work:
        with _step(context, "inspect", str(path)):
            parts = tuple(inspect(path, work))
            chosen = _chosen(path, parts, request.only)
        with context.repository.begin("imported", lease=lease, check=context.check) as pending:
            with _step(context, "import", ", ".join(part.name for part in chosen)):
                dump = _write(context, request, path, chosen, pending, work)
                _say_what_is_missing(parts, chosen, pending)
            mark_checks(context, pending.id, finished=False)
            manifest = _seal(context, pending, path, chosen)
        with _step(context, "check", manifest.id):
            _check(context, manifest)
    return ImportResult(manifest, parts, dump)


def preview(context: OperationContext, request: ImportRequest) -> ImportResult:
    """What :func:`import_backup` would make of it; reads everything and writes nothing.

    Raises as that does, so that a plan fails where the import would.
    """
    path, sink = request.path.absolute(), Unkept()
    with context.work() as work:
        with _step(context, "inspect", str(path)):
            parts = tuple(inspect(path, work))
            chosen = _chosen(path, parts, request.only)
        with _step(context, "read", ", ".join(part.name for part in chosen)):
            dump = _write(context, request, path, chosen, sink, work)
            _say_what_is_missing(parts, chosen, sink)
    return ImportResult(sink.manifest(_window(path), f"read from {path}"), parts, dump)


def _chosen(path: Path, parts: Iterable[Part], only: tuple[StoreName, ...]) -> list[Part]:
    wanted = [part for part in parts if part.store is not None and (not only or part.store in only)]
    chosen = [part for part in wanted if part.state == "importable"]
    lacking = [part for part in wanted if part.state != "importable"]
    if not chosen or (only and lacking):
        raise DamagedBackup(
            "nothing in it can be imported" if not chosen else "not everything that was asked for can be imported",
            where=str(path),
            tried="; ".join(f"{part.name}: {part.detail}" for part in lacking),
            todo="`archon backups inspect` says what each part is good for",
        )
    return chosen


def _write(
    context: OperationContext, request: ImportRequest, path: Path, chosen: list[Part], sink: Sink, work: Work
) -> DumpReport | None:
    report: DumpReport | None = None
    for part in chosen:
        if part.store == "configuration":
            ConfigurationStore(path).export(sink, work)
        else:
            file = path / GRAPH if path.is_dir() else path
            with _fitting(context, request, work) as refuses:
                report = import_dump(file, sink, work, skip=request.skip, refuses=refuses)
    return report


@contextmanager
def _fitting(context: OperationContext, request: ImportRequest, work: Work) -> Iterator[Refuses | None]:
    if not (request.skip and request.fit):
        yield None
        return
    with fitting(context.settings, work) as refuses:
        yield refuses


def _say_what_is_missing(parts: Iterable[Part], chosen: list[Part], sink: Sink) -> None:
    for part in parts:
        if part.store is not None and part not in chosen:
            sink.not_covered(part.store, f"{part.name} is {part.state}: {part.detail}")


def _seal(context: OperationContext, pending: PendingBackup, path: Path, chosen: list[Part]) -> Manifest:
    stores: list[StoreName] = [part.store for part in chosen if part.store is not None]
    return pending.seal(
        window=_window(path),
        stores=stores,
        versions={"graph": SERVER} if "graph" in stores else {},
        note=f"imported from {path}",
    )


def _window(path: Path) -> Window:
    made = min(made_at(path), _now())
    return Window(start=made, end=made, consistent=False, note="imported; the time is that of the file")


def _check(context: OperationContext, manifest: Manifest) -> None:
    _, digests, verdicts = verify_backup(context, manifest)
    digests.raise_for_damage()
    finding = readable(verdicts)
    if not finding.passed:
        raise DamagedBackup(f"the imported backup {manifest.id} cannot be read: {finding.detail}", where=manifest.id)
    mark_checks(context, manifest.id, finished=True)


@contextmanager
def _step(context: OperationContext, name: str, detail: str) -> Iterator[None]:
    context.check()
    context.report(Step(name, detail))
    started = datetime.now(UTC)
    yield
    context.report(Step(name, detail, (datetime.now(UTC) - started).total_seconds()))


def _now() -> datetime:
    return datetime.now(UTC)


def with_lines(warnings: Iterable[str], report: DumpReport) -> list[str]:
    """Warnings of a restore about schema objects, each with the line of the dump that the object came from."""
    longest_first = sorted(report.lines, key=len, reverse=True)
    said: list[str] = []
    for warning in warnings:
        item = next((name for name in longest_first if name in warning), None)
        said.append(f"line {report.lines[item]}: {warning}" if item is not None else warning)
    return said
