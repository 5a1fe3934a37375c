"""Put a backup back, or put everything back as it was.

The order: resolve -> verify the backup -> reach the stores -> stop the writers -> safety backup of what is there ->
restore each store -> compare fingerprints -> start -> health. A failure up to and including the fingerprints returns
to the safety backup. What fails later (a service does not come up) is reported; the restored data stay.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from archon_dagster.backup.backup import BackupRequest, back_up_under_lock
from archon_dagster.backup.checks import readable, verify_artifacts
from archon_dagster.context import OperationContext, Step
from archon_dagster.errors import ArchonError, Cancelled, ConfirmationMissing, DamagedBackup, RestoreFailed
from archon_dagster.platform import services
from archon_dagster.platform.objectives import restore_objective
from archon_dagster.platform.quiesce import running_writers, thaw_leftovers
from archon_dagster.platform.readiness import wait_until_ready
from archon_dagster.repository.lock import Lease
from archon_dagster.repository.manifest import Fingerprint, Manifest
from archon_dagster.repository.verification import CheckRecord
from archon_dagster.restore.journal import Journal, JournalFile
from archon_dagster.restore.plan import resolve
from archon_dagster.stores.base import Progress, StoreName

CONFIRMATION = "RESTORE"


@dataclass(frozen=True)
class RestoreRequest:
    """What to restore.

    :param selector: backup id, unique prefix, date or ``latest``.
    :param confirm: must be ``RESTORE``.
    :param only: restore just these stores; default all the backup has.
    :param without_safety_copy: go on although what is there now cannot be copied first: there is no way back then.
    """

    selector: str
    confirm: str
    only: tuple[StoreName, ...] = ()
    without_safety_copy: bool = False


@dataclass
class RestoreResult:
    """A finished restore.

    :param before: fingerprints the backup promises, by store; :param after: those of the live stores afterwards.
    :param seconds: per step; :param rto: from the first step to healthy, in seconds.
    :param unhealthy: services that did not become ready afterwards; the data are restored all the same.
    :param warnings: what could not be put back exactly as it was.
    """

    backup: Manifest
    stores: tuple[StoreName, ...]
    safety: Manifest | None = None
    not_copied: dict[StoreName, str] = field(default_factory=dict)
    before: dict[StoreName, Fingerprint] = field(default_factory=dict)
    after: dict[StoreName, Fingerprint] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    rto: float = 0.0
    unhealthy: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    @property
    def undo(self) -> str | None:
        """The command that goes back to what was there before."""
        return f"archon restore {self.safety.id} --confirm {CONFIRMATION}" if self.safety else None


def restore_backup(context: OperationContext, request: RestoreRequest) -> RestoreResult:
    """Restore a backup; see the module for the order.

    Raises :class:`ConfirmationMissing`, :class:`BackupNotFound` or :class:`DamagedBackup` before anything was touched,
    and :class:`RestoreFailed`, which says what was put back, afterwards.
    """
    if request.confirm != CONFIRMATION:
        raise ConfirmationMissing(
            "a restore replaces the live data and was not confirmed; nothing was touched",
            todo=f"pass --confirm {CONFIRMATION} (or confirm: {CONFIRMATION} in the run's config)",
        )
    manifest, names = resolve(context, request.selector, request.only)
    with context.repository.lock(f"restore of {manifest.id}") as lease:
        thaw_leftovers(context.settings, context.runtime)
        context.sweep()
        return _Restore(context, request, manifest, names, lease).run()


class _Restore:
    """One restore in progress: the steps in order, and what is needed to go back."""

    def __init__(
        self,
        context: OperationContext,
        request: RestoreRequest,
        manifest: Manifest,
        names: tuple[StoreName, ...],
        lease: Lease,
    ):
        self.context, self.request, self.manifest, self.names, self.lease = context, request, manifest, names, lease
        self.result = RestoreResult(manifest, names)
        self.file = JournalFile(context.settings)
        self.journal: Journal
        self.step_name = ""
        self.mine: list[StoreName] = []  # what this restore itself has touched
        self.before: Journal | None = None

    def run(self) -> RestoreResult:
        started = time.monotonic()
        with self._step("verify the backup", self.manifest.id):
            self._verify()
        self.before = self.file.read()  # of a restore that was interrupted
        self.journal = self.file.begin(self.manifest.id, "start the stores", self.request.only)
        try:
            self._change()
        except BaseException as error:
            self._put_back(error)
            raise  # only if nothing had to be put back
        self._start_again()
        self.result.rto = time.monotonic() - started
        self._record()
        self.file.settle(self.journal, self.names)
        return self.result

    def _verify(self) -> None:
        with self.context.work() as work:
            self.context.repository.verify(self.manifest.id, work).raise_for_damage()
        finding = readable(v for v in verify_artifacts(self.context, self.manifest, self.names))
        if not finding.passed:
            raise DamagedBackup(
                f"backup {self.manifest.id} cannot be read, nothing was touched: {finding.detail}",
                where=self.context.settings.repository,
                todo="restore another backup (archon backups)",
            )

    def _change(self) -> None:
        with self._step("start the stores"):
            self._start_stores()
        with self._step("compare versions"):
            self._preflight()
        with self._step("stop the writers"):
            self._stop_writers()
        with self._step("safety backup"):
            self._safety_backup()
        for name in self.names:
            with self._step(f"restore {name}"):
                self._restore_store(name, self.manifest)
        with self._step("compare fingerprints"):
            self._compare(self.manifest, self.names)

    def _preflight(self) -> None:
        source = self.context.repository.source(self.manifest)
        for name in self.names:
            with self.context.work() as work:
                self.context.stores[name].preflight(source, work)

    def _start_stores(self) -> None:
        """The stores' own services must run to be restored, whatever state the platform is in."""
        wanted = [s.name for s in services.CATALOGUE if s.store in self.names]
        holders = [name for name in wanted if name in self.context.runtime.services()]
        self.context.runtime.up(*holders)
        wait_until_ready(holders, self.context.settings, self.context.runtime, loaded=False)

    def _stop_writers(self) -> None:
        stopped = tuple(dict.fromkeys((*self.journal.stopped, *running_writers(self.context.runtime))))
        self.journal = self.file.update(self.journal, stopped=stopped)
        if stopped:
            self.context.runtime.stop(*stopped)

    def _safety_backup(self) -> None:
        request = BackupRequest(
            kind="safety", stores=self.names, quiesce=False, note=f"before the restore of {self.manifest.id}"
        )
        quiet = replace(self.context, report=self._progress_only)
        result = back_up_under_lock(quiet, request, self.lease, tolerate_failures=True)
        self.result.safety = result.manifest if result.manifest.artifacts else None
        self.result.not_copied = result.failures
        if self.result.safety and self.journal.safety is None:
            self.journal = self.file.update(self.journal, safety=self.result.safety.id)
        if result.failures and not self.request.without_safety_copy:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in result.failures.items())
            raise RestoreFailed(
                f"what is there now cannot be copied first, so there would be no way back: {reasons}",
                todo="repair that, or accept the loss of what is there: --without-safety-copy",
            )

    def _progress_only(self, news: Step | Progress) -> None:
        """The safety backup is one step of the restore; its own steps would only confuse."""
        if not isinstance(news, Step):
            self.context.report(news)

    def _restore_store(self, name: StoreName, manifest: Manifest) -> None:
        self.lease.renew()  # never write once somebody else may be at work
        self.mine = list(dict.fromkeys((*self.mine, name)))
        self._note(touched=tuple(dict.fromkeys((*self.journal.touched, name))))
        verified = (artifact.name for artifact in manifest.of_store(name))  # by _verify, or by the safety's checks
        with self.context.work(verified=verified, warn=self.result.warnings.append) as work:
            self.context.stores[name].restore(self.context.repository.source(manifest), work)

    def _note(self, **changes: object) -> None:
        """Write the journal; on the way back a full disk must not stop the putting back."""
        try:
            self.journal = self.file.update(self.journal, step=self.step_name, **changes)
        except OSError:
            if self.step_name != "put back":
                raise

    def _compare(self, manifest: Manifest, names: tuple[StoreName, ...]) -> None:
        for name in names:
            self.lease.renew()
            expected = manifest.fingerprint(name)
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

    def _put_back(self, error: BaseException) -> None:
        """Return to the safety backup and start what was stopped; always raises when something had been touched."""
        failed_step = self.step_name
        self.context.cancel.clear()  # the way back must not be stopped by what stopped the way forth
        not_back = self._roll_back()
        if not not_back and self.before is None:
            self._start_again(wait=False)  # the platform is what it was; it may have been unwell
        if not self.mine:
            self.file.put_back(self.before)
            return
        safety = self.result.safety
        if not_back:
            raise RestoreFailed(
                f"the restore failed at '{failed_step}' and not everything could be put back: {not_back}",
                tried=f"first error: {error}",
                todo=f"the services that write stay stopped; {self.journal.advice}",
            ) from error
        self.file.put_back(self.before)
        back = f"{', '.join(self.mine)} put back from safety backup {safety.id if safety else ''}, identical"
        if isinstance(error, Cancelled):
            raise Cancelled(f"the restore was cancelled at '{failed_step}'; {back}") from error
        raise RestoreFailed(
            f"the restore failed at '{failed_step}'; {back}",
            tried=str(error),
            todo=f"remove the cause, then: archon restore {self.manifest.id} --confirm {CONFIRMATION}",
        ) from error

    def _roll_back(self) -> str:
        """Restore every touched store from the safety backup; returns what could not be put back."""
        touched = tuple(self.mine)
        if not touched:
            return ""
        safety = self.result.safety
        if safety is None:
            return f"no safety backup of {', '.join(touched)}"
        failed: list[str] = []
        with self._step("put back", safety.id):
            self._revive(failed)
            for name in touched:
                if not safety.of_store(name):
                    failed.append(f"{name}: no safety copy")
                    continue
                try:
                    self._restore_store(name, safety)
                    self._compare(safety, (name,))
                except Exception as error:  # noqa: BLE001 - reported; the other stores must be put back all the same
                    failed.append(f"{name}: {type(error).__name__}: {error}")
        return "; ".join(failed)

    def _revive(self, failed: list[str]) -> None:
        """A server that died during the restore has to run again before its data can be put back."""
        try:
            self._start_stores()
        except Exception as error:  # noqa: BLE001 - reported; what can be put back must be
            failed.append(str(error))

    def _start_again(self, *, wait: bool = True) -> None:
        """Start by phases what the restore stopped, and wait for health; failures are reported, not raised."""
        recreate = "configuration" in self.journal.touched
        with self._step("start", ", ".join(self.journal.stopped)):
            for phase in services.phases(self.journal.stopped):
                names = [service.name for service in phase]
                try:
                    (self.context.runtime.recreate if recreate else self.context.runtime.up)(*names)
                    if wait:
                        wait_until_ready(names, self.context.settings, self.context.runtime)
                except ArchonError as error:
                    self.result.unhealthy |= dict.fromkeys(names, str(error))

    def _record(self) -> None:
        """Keep the measured duration beside the backup: the RTO is data."""
        incident, objective = restore_objective(len(self.names))
        detail = (
            f"{self.result.rto:.1f} s for {', '.join(self.names)}; objective for {incident} {objective.target:.0f} s"
        )
        self.context.repository.record(
            self.manifest.id,
            CheckRecord(
                name="restore",
                passed=True,
                detail=detail,
                time=datetime.now(UTC),
                seconds=self.result.rto,
            ),
        )

    @contextmanager
    def _step(self, name: str, detail: str = "") -> Iterator[None]:
        self.step_name = name
        if name not in ("put back", "start"):
            self.context.check()
        self.context.report(Step(name, detail))
        started = time.monotonic()
        yield
        self.result.seconds[name] = time.monotonic() - started
        self.context.report(Step(name, detail, self.result.seconds[name]))
