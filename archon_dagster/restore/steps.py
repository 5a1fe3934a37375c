"""The steps that a restore takes in both directions: forth from the backup, and back from the safety backup."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from archon_dagster.context import OperationContext, Step
from archon_dagster.errors import ArchonError, RestoreFailed
from archon_dagster.platform import services
from archon_dagster.repository.lock import Lease
from archon_dagster.repository.manifest import Fingerprint, Manifest, Part
from archon_dagster.restore.journal import Journal, JournalFile
from archon_dagster.restore.request import RestoreResult, command, options_of
from archon_dagster.restore.routes import goes_by_points
from archon_dagster.restore.scope import Scope
from archon_dagster.stores.base import StoreName

PUT_BACK, START = "put back", "start"
_NOT_STOPPED = (PUT_BACK, START)  # a cancelled restore still takes these steps
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@dataclass
class Steps:
    """One restore in progress.

    :param scope: what is restored, from which backup, and where to.
    :param leases: of our repository, and of that of the place where that is another one.
    :param wait: waits until services are ready, as :func:`archon_dagster.platform.readiness.wait_until_ready`.
    :param journal: the note on disk; :param before: the one that an interrupted restore had left, if any.
    :param touched: stores whose live data this restore has begun to change.
    :param current: the step at work.
    :param portable: restore from the portable artifacts even where the others would do.
    """

    scope: Scope
    leases: tuple[Lease, ...]
    wait: Callable[..., object]
    file: JournalFile
    journal: Journal = field(init=False)
    before: Journal | None = None
    touched: list[StoreName] = field(default_factory=list)
    current: str = ""
    portable: bool = False
    result: RestoreResult = field(init=False)
    context: OperationContext = field(init=False)
    manifest: Manifest = field(init=False)
    names: tuple[StoreName, ...] = field(init=False)
    _instead: dict[StoreName, dict[str, Part]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        scope = self.scope
        self.context, self.manifest, self.names = scope.context, scope.manifest, scope.names
        self.result = RestoreResult(
            scope.manifest, scope.names, notes=list(scope.notes), target=scope.place.target,
            selection=scope.selection,
        )  # fmt: skip

    @property
    def again(self) -> str:
        """What an operator types to do it once more."""
        return command(self.manifest.id, self.journal.only, self.options)

    @property
    def options(self) -> tuple[str, ...]:
        return options_of(self.scope.place.target, self.scope.selection)

    def renew(self) -> None:
        """Never write once somebody else may be at work."""
        for lease in self.leases:
            lease.renew()

    def begin(self, only: tuple[StoreName, ...]) -> None:
        """From here on a killed restore is noticed; what an interrupted one had left is kept in mind."""
        self.before, place = self.file.read(), self.scope.place
        by = str(place.ours.home) if place.target else ""
        try:
            self.journal = self.file.begin(self.manifest.id, "start the stores", only, self.options, by)
        except OSError as error:
            raise _explained(error, "the restore cannot note what it does, so nothing was touched") from error

    def start_stores(self) -> None:
        """The stores' own services must run to be restored, whatever state the platform is in."""
        wanted = [s.name for s in services.CATALOGUE if s.store in self.names]
        holders = [name for name in wanted if name in self.context.runtime.services()]
        self.context.runtime.up(*holders)
        self.wait(holders, self.context.settings, self.context.runtime, loaded=False)

    def preflight(self) -> None:
        """Ask every store whether it can take what the backup holds; nothing is touched."""
        source = self.context.repository.source(self.manifest)
        if "vectors" in self.names:
            self.result.by_points = goes_by_points(self.context, self.manifest, asked=self.portable)
        for name in self.names:
            with self.context.work(portable=self.portable) as work:
                self.context.stores[name].preflight(source, work)

    def restore_store(self, name: StoreName, manifest: Manifest) -> None:
        """Make one live store what ``manifest`` holds."""
        self.renew()
        self.touched = list(dict.fromkeys((*self.touched, name)))
        self._note(touched=tuple(dict.fromkeys((*self.journal.touched, name))))
        self.write(name, manifest)

    def write(self, name: StoreName, manifest: Manifest) -> None:
        """Let the store restore itself."""
        # read by their own engine before: by the verification, or by the checks of the safety backup
        verified = (artifact.name for artifact in manifest.of_store(name))
        expect, portable = self._expecting(name), self.portable and manifest is self.manifest
        with self.context.work(
            verified=verified, warn=self.result.warnings.append, expect=expect, portable=portable
        ) as work:
            self.context.stores[name].restore(self.context.repository.source(manifest), work)

    def _expecting(self, name: StoreName) -> Callable[[Fingerprint], None]:
        """Remembers what the store says it looks like where it cannot be exactly what the manifest promises."""
        self._instead[name] = {}
        return lambda found: self._instead[name].update(found.parts)

    def _note(self, **changes: object) -> None:
        """Write the journal; on the way back a full disk must not stop the putting back."""
        try:
            self.journal = self.file.update(self.journal, step=self.current, **changes)
        except OSError:
            if self.current != PUT_BACK:
                raise

    def compare(self, manifest: Manifest, names: tuple[StoreName, ...]) -> None:
        """Raise :class:`RestoreFailed` where a live store is not what ``manifest`` promises."""
        for name in names:
            self.renew()
            expected = self._promised(name, manifest)
            with self.context.work() as work:
                found = self.context.stores[name].fingerprint(work)
            if expected is None:
                continue
            if manifest is self.manifest:
                self.result.before[name], self.result.after[name] = expected, found
            different = expected.differences(found)
            if different:
                raise RestoreFailed(
                    f"the restored {name} are not what backup {manifest.id} holds: {'; '.join(different[:10])}"
                )

    def _promised(self, name: StoreName, manifest: Manifest) -> Fingerprint | None:
        promised, part = manifest.fingerprint(name), self.scope.part
        if promised is not None and part is not None:
            promised = part.share(promised)
        instead = self._instead.get(name)
        return promised.model_copy(update={"parts": promised.parts | instead}) if promised and instead else promised

    def start_again(self, *, wait: bool = True) -> None:
        """Start by phases what the restore stopped, and wait for health; failures are reported, not raised."""
        if not self.journal.stopped:
            return
        recreate = "configuration" in self.journal.touched
        unhealthy = self.result.unhealthy
        with self.step(START, ", ".join(self.journal.stopped), failed=lambda: _in_a_line(unhealthy)):
            for phase in services.phases(self.journal.stopped):
                names = [service.name for service in phase]
                try:
                    (self.context.runtime.recreate if recreate else self.context.runtime.up)(*names)
                    if wait:
                        self.wait(names, self.context.settings, self.context.runtime)
                except ArchonError as error:
                    unhealthy |= dict.fromkeys(names, str(error))

    @contextmanager
    def step(self, name: str, detail: str = "", failed: Callable[[], str] = str) -> Iterator[None]:
        """Tell that a step begins, and how it ended; an error of the disk becomes one that an operator can act on.

        :param failed: why the step has failed although it raised nothing; empty where it has not.
        """
        self.current = name
        if name not in _NOT_STOPPED:
            self.context.check()
        news, started = Step(name, detail), time.monotonic()
        self.context.report(news)
        try:
            yield
        except BaseException as error:
            shown = _explained(error, name) if isinstance(error, OSError) else error
            why = first_line(shown) or type(shown).__name__
            self.context.report(replace(news, seconds=time.monotonic() - started, failed=why))
            if shown is not error:
                raise shown from error
            raise
        self.result.seconds[name] = time.monotonic() - started
        self.context.report(replace(news, seconds=self.result.seconds[name], failed=failed()))


def _in_a_line(unhealthy: dict[str, str]) -> str:
    return "; ".join(dict.fromkeys(map(first_line, unhealthy.values())))


def first_line(error: BaseException | str) -> str:
    """What an error says before its details."""
    return str(error).partition("\n")[0]


def _explained(error: OSError, step: str) -> ArchonError:
    where = str(Path(str(error.filename))) if error.filename else None
    todo = "free space there" if error.errno in _FULL else "remove the cause, then restore again"
    return ArchonError(f"{step}: {error.strerror or error}", where=where, todo=todo)
