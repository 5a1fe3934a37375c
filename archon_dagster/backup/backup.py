"""Take a backup: capture, seal, check.

The order is: lock -> let go what a killed run left paused -> ask every store (one that is down ends the backup
before anything is begun) -> capture inside the window -> seal (the manifest is written last) -> check. A backup that
fails a check is kept, shown as failed, and never chosen as ``latest``.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from archon_dagster.backup.capture import capture
from archon_dagster.backup.checks import Expected, check_backup, last_good, mark_checks
from archon_dagster.context import OperationContext, Step
from archon_dagster.errors import ConfigurationError, StoreError
from archon_dagster.platform.absence import require_present
from archon_dagster.platform.quiesce import thaw_leftovers
from archon_dagster.repository.lock import Lease
from archon_dagster.repository.manifest import BackupKind, Manifest
from archon_dagster.repository.verification import CheckRecord
from archon_dagster.restore.journal import JournalFile
from archon_dagster.stores.base import STORES, Description, StoreName

_GIT_LIMIT = 10.0  # seconds git may take to say where a checkout is


@dataclass(frozen=True)
class BackupRequest:
    """What to back up, and why.

    :param stores: which stores; default all.
    :param quiesce: pause the writers while capturing; ``None`` = as the settings say.
    :param accept_counts: an operator's word that fewer (or no) records than before are right.
    :param portable: also keep the vectors in a form that any version of their server takes; ``None`` = yes, but not in
        a safety backup, which goes back onto the server it came from.
    """

    kind: BackupKind = "manual"
    stores: tuple[StoreName, ...] = STORES
    quiesce: bool | None = None
    accept_counts: bool = False
    note: str = ""
    portable: bool | None = None

    @property
    def wants_portable(self) -> bool:
        return self.kind != "safety" if self.portable is None else self.portable


@dataclass(frozen=True)
class BackupResult:
    """A sealed backup, what its checks said, and what each step took in seconds.

    :param parts: what the export of a store went into, in seconds; the stores are exported side by side.
    """

    manifest: Manifest
    checks: tuple[CheckRecord, ...]
    live: dict[StoreName, Description]
    seconds: dict[str, float]
    failures: dict[StoreName, str] = field(default_factory=dict)
    parts: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def good(self) -> bool:
        """Whether every check passed, so that ``latest`` may choose it."""
        return all(check.passed for check in self.checks)


def take_backup(context: OperationContext, request: BackupRequest) -> BackupResult:
    """Take one backup under the repository's lock; see the module for the order and what a failure leaves."""
    if not request.stores:
        raise ConfigurationError("no store to back up was named", todo=f"name at least one of {', '.join(STORES)}")
    require_present(request.stores, context.settings, context.runtime)
    with context.repository.lock(f"{request.kind} backup") as lease:
        thaw_leftovers(context.settings, context.runtime)
        context.sweep()
        _refuse_half_restored(context, request)
        return back_up_under_lock(context, request, lease)


def _refuse_half_restored(context: OperationContext, request: BackupRequest) -> None:
    """What an interrupted restore left is no state anybody wants a backup of."""
    journal = JournalFile(context.settings).read()
    half = [name for name in request.stores if journal is not None and name in journal.touched]
    if journal is not None and half:
        raise StoreError(
            f"{', '.join(half)} may be half restored: the restore of {journal.backup} was interrupted at "
            f"'{journal.step}', so no backup was taken",
            todo=journal.advice,
        )


def back_up_under_lock(
    context: OperationContext, request: BackupRequest, lease: Lease, *, tolerate_failures: bool = False
) -> BackupResult:
    """As :func:`take_backup`, for a caller that holds the lock already (a restore taking its safety copy).

    :param tolerate_failures: leave out stores that cannot be copied and say so in ``failures``.
    """
    timer = _Timer(context)
    with timer.step("ask the stores"):
        live, failures = _describe(context, request.stores, tolerate_failures)
    previous = last_good(context, tuple(live))
    with context.repository.begin(request.kind, lease=lease, check=context.check) as pending:
        with timer.step("capture", ", ".join(live)):
            captured = capture(
                context,
                tuple(live),
                pending,
                quiesce=_quiesce(context, request),
                tolerate_failures=tolerate_failures,
                portable=request.wants_portable,
            )
        failures |= captured.failures
        timer.seconds |= {f"export {name}": seconds for name, seconds in captured.seconds.items()}
        with timer.step("seal"):
            mark_checks(context, pending.id, finished=False)
            manifest = pending.seal(
                window=captured.window,
                stores=tuple(name for name in live if name not in failures),
                versions={name: description.version for name, description in live.items() if name not in failures},
                image_digests=context.runtime.image_digests(),
                git_revision=git_revision(context.settings.project_dir),
                note=request.note,
            )
    with timer.step("check"):
        expected = Expected(request.stores, live, previous, request.accept_counts, failures)
        checks = check_backup(context, manifest, expected)
        mark_checks(context, manifest.id, finished=True)
    return BackupResult(manifest, tuple(checks), live, timer.seconds, failures, captured.parts)


def _quiesce(context: OperationContext, request: BackupRequest) -> bool:
    if context.runtime.kind == "elsewhere":
        return False  # nobody here can hold the writers still, and the manifest must not claim it
    return context.settings.quiesce == "pause" if request.quiesce is None else request.quiesce


def _describe(
    context: OperationContext, names: Sequence[StoreName], tolerate: bool
) -> tuple[dict[StoreName, Description], dict[StoreName, str]]:
    found: dict[StoreName, Description] = {}
    failures: dict[StoreName, str] = {}
    for name in names:
        context.check()
        try:
            found[name] = context.stores[name].describe()
        except StoreError as error:
            if not tolerate:
                raise
            failures[name] = str(error).splitlines()[0]
    return found, failures


def git_revision(directory: Path) -> str | None:
    """The commit of the platform's project directory; ``None`` where it is no checkout, or git is not here to ask."""
    if not (directory / ".git").exists():
        return None
    command = ["git", "-C", str(directory), "rev-parse", "HEAD"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=_GIT_LIMIT, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None


@dataclass
class _Timer:
    """Measures named steps and reports each when it begins and when it ends."""

    context: OperationContext
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str, detail: str = "") -> Iterator[None]:
        self.context.check()
        self.context.report(Step(name, detail))
        started = time.monotonic()
        yield
        self.seconds[name] = time.monotonic() - started
        self.context.report(Step(name, detail, self.seconds[name]))
