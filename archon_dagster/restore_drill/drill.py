"""Restore a backup into throw-away servers, compare, measure, remove the servers.

The order: resolve -> alone in this home, and what killed drills have left is removed -> is there room? -> verify every
chunk and digest -> start empty servers -> read every artifact by its own engine -> compare versions -> restore each
store -> compare the fingerprints, in full -> record -> remove the servers, whatever happened.

The steps are those of a restore (:mod:`archon_dagster.restore`), so the measured time is a restore's: without the
safety backup, for nothing is replaced, and without the platform's own services. The live platform is not asked for
anything but which images its servers run on. The platform lock is not held: a backup that is removed meanwhile keeps
its chunks for the grace period of the retention.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from archon_dagster.backup.checks import readable, verify_artifacts
from archon_dagster.context import OperationContext, telling
from archon_dagster.errors import ArchonError, DamagedBackup
from archon_dagster.platform.readiness import wait_until_ready
from archon_dagster.platform.runtime.throwaway import Started, ThrowAway
from archon_dagster.platform.services import CATALOGUE
from archon_dagster.repository.manifest import Manifest
from archon_dagster.restore import measured
from archon_dagster.restore.journal import JournalFile
from archon_dagster.restore.scope import Scope, resolve
from archon_dagster.restore.steps import Steps, first_line
from archon_dagster.restore.target import Place
from archon_dagster.restore_drill import record, room
from archon_dagster.restore_drill.bench import bench
from archon_dagster.restore_drill.choosing import chosen, refuse_parts
from archon_dagster.restore_drill.judging import running, speaks_against_the_backup
from archon_dagster.restore_drill.result import DrillResult, State, StoreDrill
from archon_dagster.restore_drill.servers import open_servers
from archon_dagster.stores.base import Store, StoreName
from archon_dagster.stores.configuration import ConfigurationStore
from archon_dagster.stores.open import open_stores

Hold = Callable[[Started, DrillResult], None]
"""Is given the servers before they are removed."""


@dataclass(frozen=True)
class DrillRequest:
    """What to try. :param selector: as of a restore. :param only: just these stores; default all it has."""

    selector: str = "latest"
    only: tuple[StoreName, ...] = ()


def _let_go(_: Started, __: DrillResult) -> None: ...


def run_drill(context: OperationContext, request: DrillRequest, hold: Hold = _let_go) -> DrillResult:
    """See the module. A difference is told by the result, and recorded; see :func:`raise_for_failure`.

    :raises ArchonError: the drill could not be done; nothing is recorded about the backup.
    """
    manifest, found = resolve(context, request.selector, request.only)
    refuse_parts(manifest, found)
    with bench(context.settings) as own:
        servers = open_servers(context.settings, own.directory, own.owner)
        names, notes = chosen(servers, found, request.only)
        notes += [f"removed, left by a killed drill: {', '.join(own.cleared)}"] if own.cleared else []
        disk = servers.disk()
        if disk is None:
            notes.append("whether there is room was not looked at: the engine's disk cannot be seen from here")
        else:
            room.require_room(disk, room.need(manifest, names))
        drill = _Drill(context, manifest, names, own.directory, servers, disk, notes)
        try:
            result = drill.run()
            result = _kept(context, result)
            if drill.started is not None:
                hold(drill.started, result)
        finally:
            with telling(context.report, "remove the servers"):
                servers.remove()
    return result


def raise_for_failure(result: DrillResult) -> None:
    """:class:`DamagedBackup` where the backup is not what it promises."""
    if not result.passed:
        raise DamagedBackup(
            f"backup {result.backup} failed its drill: {result.wrong}",
            tried="restoring it into empty servers and comparing what came of it",
            todo="`latest` does not choose it any more; take another and drill that: archon backup; archon drill run",
        )


@dataclass
class _Drill:
    """One drill in progress. :param disk: where the servers' data go, if that is known."""

    context: OperationContext
    manifest: Manifest
    names: tuple[StoreName, ...]
    directory: Path
    servers: ThrowAway
    disk: Path | None
    notes: list[str]
    started: Started | None = None
    versions: dict[StoreName, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    wrong: dict[StoreName, tuple[State, str]] = field(default_factory=dict)

    def run(self) -> DrillResult:
        """From the first look at the backup to the comparison."""
        begun, there, trouble = time.monotonic(), None, ""
        try:
            self._verify()
            there = self._start()
            self._read(there)
        except DamagedBackup as error:
            trouble = first_line(error)
        warnings = self._restore(there) if there is not None and not trouble else ()
        return DrillResult(
            id=self.directory.name,
            backup=self.manifest.id,
            at=datetime.now(UTC),
            stores=tuple(self._told(name, there) for name in self.names),
            trouble=trouble,
            seconds=self.seconds,
            rto=time.monotonic() - begun,
            notes=tuple(self.notes),
            warnings=warnings,
        )

    def _verify(self) -> None:
        with self._step("verify the backup", self.manifest.id), self.context.work() as work:
            self.context.repository.verify(self.manifest.id, work).raise_for_damage()

    def _start(self) -> Steps:
        services = [one.name for one in CATALOGUE if one.store in self.names]
        with self._step("start the servers", ", ".join(services)):
            self.started = self.servers.start(services, self.context.check)
        # in full, however many points there are
        settings = self.started.settings.model_copy(update={"live_fingerprint_limit": sys.maxsize})
        stores: dict[StoreName, Store] = {
            **open_stores(settings, self.started.runtime),
            "configuration": ConfigurationStore(self._configuration),
        }
        self.versions = {name: stores[name].describe().version for name in self.names if name != "configuration"}
        there = replace(self.context, settings=settings, runtime=self.started.runtime, stores=stores)
        place = Place(there, self.context.settings, target="throw-away servers")
        return Steps(Scope(place, there, self.manifest, self.names), (), wait_until_ready, JournalFile(settings))

    @property
    def _configuration(self) -> Path:
        """Where the configuration is restored to: nobody reads it there."""
        where = self.directory / "configuration"
        where.mkdir(exist_ok=True)
        return where

    def _read(self, there: Steps) -> None:
        with self._step("read the artifacts"):
            finding = readable(verify_artifacts(there.context, self.manifest, self.names))
            if not finding.passed:
                raise DamagedBackup(f"an artifact cannot be read: {finding.detail}")

    def _restore(self, there: Steps) -> tuple[str, ...]:
        with there.step("compare versions"):
            there.preflight()
        before = running(there.context.runtime)
        disks = tuple(disk for disk in (self.disk, self.directory) if disk is not None)

        def attempt(name: StoreName, verb: str, work: Callable[[], None]) -> None:
            try:
                with there.step(f"{verb} {name}"):
                    work()
            except ArchonError as error:
                if not speaks_against_the_backup(error, there.context.runtime, before, disks):
                    raise
                self.wrong[name] = ("different" if verb == "compare" else "not restored", first_line(error))

        for name in self.names:
            attempt(name, "restore", lambda name=name: there.write(name, self.manifest))  # type: ignore[misc]
        for name in self.names:
            if name not in self.wrong:
                attempt(name, "compare", lambda name=name: there.compare(self.manifest, (name,)))  # type: ignore[misc]
        self.seconds |= there.result.seconds
        return tuple(there.result.warnings)

    def _told(self, name: StoreName, there: Steps | None) -> StoreDrill:
        size = measured.weight(there.scope, name, by_points=there.result.by_points) if there else 0
        state, detail = self.wrong.get(name, ("not tried", ""))
        if there is not None and name not in self.wrong and f"compare {name}" in self.seconds:
            state = "identical" if name in there.result.before else "not comparable"
        return StoreDrill(
            store=name,
            server=self.versions.get(name, ""),
            size=size,
            restored=self.seconds.get(f"restore {name}"),
            compared=self.seconds.get(f"compare {name}"),
            state=state,
            detail=detail,
        )

    @contextmanager
    def _step(self, name: str, detail: str = "") -> Iterator[None]:
        """A step that is told, and measured where it succeeds."""
        self.context.check()
        begun = time.monotonic()
        with telling(self.context.report, name, detail):
            yield
        self.seconds[name] = time.monotonic() - begun


def _kept(context: OperationContext, result: DrillResult) -> DrillResult:
    """The result, recorded beside the backup and remembered here."""
    if not record.record(context.repository, result):
        why = "not recorded: an earlier drill has failed for stores that this one did not try; drill all of it"
        result = result.model_copy(update={"recorded": False, "notes": (*result.notes, why)})
    record.keep(context.settings.home, result)
    return result
