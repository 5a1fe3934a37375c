"""Judge a backup right after it was sealed.

========================  ============================================================================
``complete``              every store asked for has its artifacts
``digests``               every chunk was read back and has its digest, every artifact its own
``readable``              every artifact was read by its own engine, where one is at hand
``counts_match_live``     what was captured is what the live store said it holds, before or now
``counts_plausible``      nothing that was there in the last good backup has vanished or halved
========================  ============================================================================

The results are recorded in the repository: one failed check keeps a backup out of ``latest`` and ends the run that
took it as failed. A safety backup is
asked the first three only: what is there before a restore may well be a ruin.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from archon_dagster.context import OperationContext
from archon_dagster.errors import ArchonError, BackupNotFound, DamagedBackup
from archon_dagster.repository.check_state import FINISHED, state_of
from archon_dagster.repository.manifest import Manifest
from archon_dagster.repository.verification import CheckRecord, Severity, Verification, failed_checks
from archon_dagster.stores.base import STORES, Description, StoreName, Verdict

Ask = Callable[[StoreName], Mapping[str, int]]
"""Asks a live store how many records each of its parts holds now; empty where it does not say."""

CHECKS: tuple[str, ...] = ("complete", "digests", "readable", "counts_match_live", "counts_plausible")

TAKEN = "backup {backup} was taken and kept, but"
"""How the error about a failed check begins; told apart by it from a backup that was not taken."""

LIVE_TOLERANCE = 0.05  # share of the live count by which a capture may differ: writers go on until the window opens
LIVE_ALLOWANCE = 100  # records by which it may always differ
HALVED = 0.5  # a part with less than this share of the last good backup's count is suspicious


@dataclass(frozen=True)
class Finding:
    """One check's answer before it is recorded."""

    passed: bool
    detail: str
    severity: Severity = "error"


@dataclass(frozen=True)
class Expected:
    """What a backup is judged by.

    :param stores: which stores were asked for; :param failures: why some of them are not there.
    :param live: what the live stores said just before; :param previous: the last good backup of the same stores.
    :param accepted: the operator's word that fewer records are right.
    """

    stores: tuple[StoreName, ...]
    live: Mapping[StoreName, Description]
    previous: Manifest | None
    accepted: bool
    failures: Mapping[StoreName, str]


def check_backup(context: OperationContext, manifest: Manifest, expected: Expected) -> list[CheckRecord]:
    """Run the checks of :data:`CHECKS` on a sealed backup, record and return the results."""
    questions: dict[str, Callable[[], Finding]] = {
        "complete": lambda: complete(manifest, expected.stores, expected.failures),
        "digests": lambda: _digests(context, manifest),
        "readable": lambda: readable(verify_artifacts(context, manifest)),
    }
    if manifest.kind != "safety":
        questions["counts_match_live"] = lambda: counts_match_live(manifest, expected.live, _live_counts(context))
        questions["counts_plausible"] = lambda: counts_plausible(
            manifest, expected.previous, accepted=expected.accepted
        )
    return [_record(context, manifest, name, ask()) for name, ask in questions.items()]


def raise_for_failed(backup_id: str, checks: Sequence[CheckRecord]) -> None:
    """:class:`DamagedBackup` where a check failed: a backup nobody may take for a good one must not end as success."""
    state = state_of(checks)
    if state.reliable:
        return
    failed = [check for check in failed_checks(checks) if check.name != FINISHED]
    raise DamagedBackup(
        f"{TAKEN.format(backup=backup_id)} {state}",
        tried="; ".join(f"{check.name}: {check.detail}" for check in failed) or None,
        todo="`latest` will not choose it; find out why, then take another (if the counts are right: --accept-counts, "
        "in the launchpad accept_counts: true)",
    )


def mark_checks(context: OperationContext, backup_id: str, *, finished: bool) -> None:
    """Keep a backup out of ``latest`` until its checks have been run, also if the run dies in between."""
    detail = "every check was run" if finished else "the run ended before its checks did: take another backup"
    record = CheckRecord(name=FINISHED, passed=finished, detail=detail, time=datetime.now(UTC))
    context.repository.record(backup_id, record)


def _record(context: OperationContext, manifest: Manifest, name: str, finding: Finding) -> CheckRecord:
    record = CheckRecord(
        name=name,
        passed=finding.passed,
        severity=finding.severity,
        detail=finding.detail,
        time=datetime.now(UTC),
    )
    context.repository.record(manifest.id, record)
    return record


def complete(manifest: Manifest, asked: Iterable[StoreName], failures: Mapping[StoreName, str]) -> Finding:
    """Every store that was asked for has at least one artifact."""
    missing = [name for name in asked if not manifest.of_store(name)]
    if missing:
        reasons = "; ".join(f"{name}: {failures.get(name, 'no artifact')}" for name in missing)
        return Finding(False, f"not in the backup: {reasons}")
    return Finding(True, f"{len(manifest.artifacts)} artifacts of {len(manifest.stores)} stores")


def _digests(context: OperationContext, manifest: Manifest) -> Finding:
    with context.work() as work:
        result = context.repository.verify(manifest.id, work, record=False)
    if not result.passed:
        return Finding(False, result.summary())
    return Finding(True, f"{result.chunks:,} chunks read back, {result.bytes_read:,} bytes")


def verify_artifacts(
    context: OperationContext, manifest: Manifest, names: Iterable[StoreName] | None = None
) -> list[Verdict]:
    """Let every store's own engine read its artifacts (of the named stores; default all)."""
    source = context.repository.source(manifest)
    verdicts: list[Verdict] = []
    for name, store in context.stores.items():
        if manifest.of_store(name) and (names is None or name in names):
            with context.work() as work:
                verdicts.extend(store.verify(source, work))
    return verdicts


def verify_backup(context: OperationContext, manifest: Manifest) -> tuple[Manifest, Verification, list[Verdict]]:
    """Read a backup back whenever somebody asks: its digests, then the artifacts that are whole by their engines.

    What is found is recorded, so that ``latest`` does not choose a backup that has rotted; that an engine could read
    is recorded only where every artifact was read, because a machine without the engines must not clear a failure.
    """
    with context.work() as work:
        digests = context.repository.verify(manifest.id, work)
    bad = digests.damaged_artifacts()
    whole = [name for name in STORES if not any(artifact.name in bad for artifact in manifest.of_store(name))]
    sound = digests.passed or bool(bad)  # damage of no artifact is damage of the manifest itself
    verdicts = verify_artifacts(context, manifest, whole) if sound else []
    finding = readable(verdicts)
    read = {verdict.artifact for verdict in verdicts if verdict.state == "verified"}
    if not finding.passed or read.issuperset(artifact.name for artifact in manifest.artifacts):
        _record(context, manifest, "readable", finding)
    return manifest, digests, verdicts


def readable(verdicts: Iterable[Verdict]) -> Finding:
    """No artifact is damaged; those that no engine here can read are named but do not fail."""
    verdicts = list(verdicts)
    damaged = [f"{v.artifact}: {v.detail}" for v in verdicts if v.state == "damaged"]
    unread = [f"{v.artifact}: {v.detail}" for v in verdicts if v.state == "not verifiable here"]
    if damaged:
        return Finding(False, "; ".join(damaged))
    if unread:
        return Finding(True, f"not verifiable here, digests only: {'; '.join(unread)}", severity="warning")
    return Finding(True, f"{len(verdicts)} artifacts read by their own engine")


def counts_match_live(manifest: Manifest, before: Mapping[StoreName, Description], now: Ask) -> Finding:
    """What was captured lies between what the live store said before and what it says now, give or take a little.

    :param now: asked only about stores whose capture is not what they said before: writers may have gone on meanwhile.
    """
    wrong: list[str] = []
    for store, description in before.items():
        captured = counts_of(manifest, store)
        apart = {
            part: said for part, said in description.counts.items() if not _between(captured.get(part, 0), said, said)
        }
        if not manifest.of_store(store) or not apart:
            continue
        later = now(store)
        for part, said in apart.items():
            got, says = captured.get(part, 0), later.get(part, said)
            if not _between(got, said, says):
                wrong.append(f"{store} {part}: {got} captured, the live store had {said} before and has {says} now")
    if wrong:
        return Finding(False, "; ".join(wrong))
    return Finding(True, "the captured counts are those of the live stores")


def _between(got: int, before: int, now: int) -> bool:
    """Nothing at all where there was something is never right."""
    least, most = sorted((before, now))
    allowed = max(most * LIVE_TOLERANCE, LIVE_ALLOWANCE)
    return least - allowed <= got <= most + allowed and bool(got or not before)


def _live_counts(context: OperationContext) -> Ask:
    def ask(name: StoreName) -> Mapping[str, int]:
        try:
            return context.stores[name].describe().counts
        except ArchonError:  # it has gone meanwhile: what it said before decides
            return {}

    return ask


def counts_plausible(manifest: Manifest, previous: Manifest | None, *, accepted: bool = False) -> Finding:
    """Compare with the last good backup: a part that vanished or is empty now fails, one that halved warns."""
    if previous is None:
        return Finding(True, "the first good backup: nothing to compare with")
    vanished: list[str] = []
    halved: list[str] = []
    for store in manifest.stores:
        now, before = counts_of(manifest, store), counts_of(previous, store)
        for part, count in before.items():
            line = f"{store} {part}: {now.get(part, 0):,} now, {count:,} in {previous.id}"
            if count and not now.get(part):
                vanished.append(line)
            elif count and now[part] < count * HALVED:
                halved.append(line)
    if accepted and (vanished or halved):
        return Finding(True, f"accepted by the operator: {'; '.join(vanished + halved)}")
    if vanished:
        return Finding(False, "; ".join(vanished))
    if halved:
        return Finding(False, "; ".join(halved), severity="warning")
    return Finding(True, f"nothing is missing that {previous.id} had")


def counts_of(manifest: Manifest, store: str) -> dict[str, int]:
    """Records per part (collection, nodes, table, …) of one store as captured."""
    return {part: count for artifact in manifest.of_store(store) for part, count in artifact.counts.items()}


def last_good(context: OperationContext, stores: Iterable[StoreName]) -> Manifest | None:
    """The newest good backup that has these stores, if there is one."""
    try:
        return context.repository.resolve("latest", stores=tuple(stores))
    except BackupNotFound:
        return None
