"""`archon demo`: the main path on real servers, start to end, proven by fingerprints.

Start a platform, fill it, back it up as a Dagster run, destroy it, restore it as a Dagster run, compare. The last line
says ``DEMO restored=identical``, or names the difference and the exit code is 1.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import typer

from archon_dagster.backup.summary import deduplicated, duration_text, size_text
from archon_dagster.cli.demo_platforms import DemoPlatform, Embedded, OnCompose
from archon_dagster.cli.operations import run_here
from archon_dagster.cli.output import console, table
from archon_dagster.cli.progress import RunLines
from archon_dagster.cli.submit import run_job
from archon_dagster.errors import ArchonError
from archon_dagster.platform.objectives import restore_objective
from archon_dagster.platform.runtime.open import open_runtime
from archon_dagster.platform.settings import Settings, load_settings
from archon_dagster.repository.manifest import Fingerprint, Manifest
from archon_dagster.repository.repository import Repository
from archon_dagster.stores.base import STORES, Description, StoreName

_STORES = ("QDRANT_", "MEMGRAPH_", "POSTGRES_")


@dataclass
class Tale:
    """What the demo has seen so far."""

    seconds: dict[str, float] = field(default_factory=dict)
    servers: dict[StoreName, Description] = field(default_factory=dict)
    destroyed: dict[StoreName, Description] = field(default_factory=dict)
    restored: dict[StoreName, Description] = field(default_factory=dict)
    before: dict[StoreName, Fingerprint] = field(default_factory=dict)
    after: dict[StoreName, Fingerprint] = field(default_factory=dict)
    manifest: Manifest | None = None
    rto: float = 0.0

    @contextmanager
    def chapter(self, title: str) -> Iterator[None]:
        """A part of the demo with its own heading and time."""
        console.print(f"\n[bold cyan]{title}[/]")
        started = time.monotonic()
        yield
        self.seconds[title] = time.monotonic() - started


class Where(StrEnum):
    """Where the demo's backups go."""

    directory = "directory"
    s3 = "s3"


class On(StrEnum):
    """What the demo's servers are."""

    processes = "processes"
    compose = "compose"


def demo(
    keep: bool = typer.Option(False, "--keep", help="Keep the demo's files for a look."),
    repository: Where = typer.Option(Where.directory, help="Where the backups go; s3: the sandbox's own server."),
    runtime: On = typer.Option(On.processes, help="compose: real servers as containers, with a Docker engine here."),
) -> None:
    """Start, fill, back up, destroy, restore, compare: on real servers, in a home of its own."""
    from archon_dagster.sandbox.support import check_supported

    home = load_settings().home / "demo"
    if runtime is On.processes:
        check_supported()
    platform: DemoPlatform = Embedded(home) if runtime is On.processes else OnCompose(home)
    _use_own_home(home)
    tale = Tale()
    try:
        with _backups_go_to(repository):
            differences = _tell(platform, tale)
    finally:
        _clean_up(platform, home, keep)
    if differences:
        console.print(f"DEMO restored=different: {'; '.join(differences)}", highlight=False, soft_wrap=True)
        raise typer.Exit(1)
    console.print("DEMO restored=identical", highlight=False)


def _use_own_home(home: Path) -> None:
    """A demo never meets the operator's own platform, repository or Dagster instance."""
    for name in ("ARCHON_PROJECT_DIR", "ARCHON_REPOSITORY", "ARCHON_WEBSERVER_URL", "ARCHON_RUNTIME", "DAGSTER_HOME"):
        os.environ.pop(name, None)
    for name in [name for name in os.environ if name.startswith("ARCHON_S3_")]:
        del os.environ[name]
    os.environ["ARCHON_HOME"] = str(home)
    for name in [name for name in os.environ if name.startswith(_STORES) and not name.endswith("_IMAGE")]:
        del os.environ[name]
    if home.exists():  # an earlier demo that was killed
        Embedded(home).down()
        OnCompose(home).down()
        shutil.rmtree(home)


@contextmanager
def _backups_go_to(where: Where) -> Iterator[None]:
    if where is Where.directory:
        yield
        return
    from archon_dagster.sandbox.s3.running import object_storage

    with object_storage() as storage:
        os.environ |= storage.environment
        _event(f"backups go to {load_settings().repository} at {storage.endpoint}; that server keeps all in memory")
        yield


def _clean_up(platform: DemoPlatform, home: Path, keep: bool) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    platform.down()
    if keep:
        console.print(f"kept: {home}", highlight=False)
    else:
        shutil.rmtree(home, ignore_errors=True)


def _tell(platform: DemoPlatform, tale: Tale) -> list[str]:
    from archon_dagster.sandbox.seed import seed

    with tale.chapter("1  start a platform"):
        platform.up(_event)
    settings = load_settings()
    with tale.chapter("2  fill it with real data"):
        with console.status("indexing") as status:
            report = seed(
                settings,
                open_runtime(settings),
                on_event=lambda what, count: status.update(f"{what}: {count:,} written"),
            )
        _event(f"{report.files:,} files of {report.folder.name} indexed in {duration_text(report.seconds)}")
        tale.before = _fingerprints(settings)
        tale.servers = _descriptions(settings)
        _show_servers(tale)
    with tale.chapter("3  back it up: the Dagster job 'backup'"):
        with RunLines(console) as lines:
            outcome = run_job(settings, "backup", {}, lines)
        tale.manifest = _manifest(settings, outcome.backup)
        _show_backup(tale.manifest)
    with tale.chapter("4  destroy it"):
        for store in STORES:
            platform.wipe(store)
            _event(f"{store}: deleted")
        tale.destroyed = _descriptions(settings)
        _show_destroyed(tale)
    with tale.chapter("5  bring it back: the Dagster job 'restore'"):
        config = {"selector": tale.manifest.id, "confirm": "RESTORE"}
        with RunLines(console) as lines:
            run_job(settings, "restore", {"ops": {"put_back": {"config": config}}}, lines)
        tale.after = _fingerprints(settings)
        tale.restored = _descriptions(settings)
    tale.rto = _measured_rto(settings, tale.manifest)
    return _report(tale)


def _event(text: str) -> None:
    console.print(f"  [dim]{text}[/]", highlight=False)


def _manifest(settings: Settings, backup: str | None) -> Manifest:
    if backup is None:
        raise ArchonError("the backup job ended without naming its backup")
    return Repository.open(settings.repository).resolve(backup)


def _fingerprints(settings: Settings) -> dict[StoreName, Fingerprint]:
    return run_here(settings, lambda context: context.fingerprints(), quiet=True)


def _descriptions(settings: Settings) -> dict[StoreName, Description]:
    return run_here(
        settings, lambda context: {name: store.describe() for name, store in context.stores.items()}, quiet=True
    )


def _measured_rto(settings: Settings, manifest: Manifest) -> float:
    records = Repository.open(settings.repository).checks(manifest.id)
    return next((r.seconds for r in reversed(records) if r.name == "restore" and r.seconds is not None), 0.0)


def _show_servers(tale: Tale) -> None:
    rows = [(name, one.version, one.address, _counts(one.counts)) for name, one in tale.servers.items()]
    console.print(table("", ("store", "server", "address", "holds"), rows))


def _show_backup(manifest: Manifest) -> None:
    rows = [
        (
            a.name,
            _counts(a.counts),
            size_text(a.size),
            len(a.chunks),
            a.fingerprint.digest[:12] if a.fingerprint else "·",
        )
        for a in manifest.artifacts
    ]
    columns = ("artifact", "records", "size", "chunks", "fingerprint")
    console.print(table(f"backup {manifest.id}", columns, rows, right=("size", "chunks")))
    paused = (manifest.window.end - manifest.window.start).total_seconds()
    console.print(
        f"{size_text(manifest.bytes_read)} captured, {size_text(manifest.bytes_added)} stored "
        f"({deduplicated(manifest):.0%} saved); writers held still for {duration_text(paused)}",
        highlight=False,
    )


def _show_destroyed(tale: Tale) -> None:
    rows = []
    for name, before in tale.servers.items():
        now = tale.destroyed[name]
        rows.append((name, f"{_records(before):,}", f"{_records(now):,}"))
    console.print(table("", ("store", "records before", "records now"), rows, right=("records before", "records now")))


def _records(one: Description) -> int:
    return sum(one.counts.values())


def _counts(counts: dict[str, int]) -> str:
    shown = [f"{part.removeprefix('public.')} {count:,}" for part, count in counts.items()]
    return ", ".join(shown) if len(shown) <= 4 else f"{', '.join(shown[:3])}, … ({len(shown)} in all)"


def _report(tale: Tale) -> list[str]:
    """Fingerprints side by side and the times; returns what differs."""
    differences: list[str] = []
    rows = []
    for name in STORES:
        different = tale.before[name].differences(tale.after[name])
        differences += [f"{name} {one}" for one in different]
        came_back = _records(tale.restored[name])
        verdict = "[red]different[/]" if different else "[green]identical[/]"
        rows.append((name, f"{came_back:,}", tale.before[name].digest[:16], tale.after[name].digest[:16], verdict))
    console.print()
    console.print(table("fingerprints", ("store", "records", "before", "after", ""), rows, right=("records",)))
    console.print(table("time", ("step", "took"), [(k, duration_text(v)) for k, v in tale.seconds.items()]))
    incident, objective = restore_objective(len(STORES))
    console.print(
        f"measured RTO [bold]{duration_text(tale.rto)}[/] (objective for {incident}: "
        f"{duration_text(objective.target)})\n",
        highlight=False,
    )
    return differences
