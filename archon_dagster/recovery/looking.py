"""Make :class:`Findings` of what the health monitor knows: of its last tick, or of a fresh one.

The one place where recovery meets the monitor's own words.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from archon_dagster.asking import ask_all
from archon_dagster.errors import BackupNotFound, StoreError
from archon_dagster.health import at_work, monitor
from archon_dagster.health import state as states
from archon_dagster.health.background import COUNTED
from archon_dagster.health.consistency import DATABASE_GONE
from archon_dagster.health.evaluation import ServiceState
from archon_dagster.health.knowledge import Counts
from archon_dagster.health.root_cause import below, explain
from archon_dagster.health.samples import Facet
from archon_dagster.health.state import MonitorState
from archon_dagster.platform.runtime.protocol import Runtime
from archon_dagster.platform.services import BY_NAME
from archon_dagster.platform.settings import Settings
from archon_dagster.recovery.book import Book
from archon_dagster.recovery.data_loss import HOLDER
from archon_dagster.recovery.findings import Finding, Findings, Proof, ProofKind
from archon_dagster.recovery.hands_off import left_alone
from archon_dagster.recovery.isolation import stopped_on_purpose
from archon_dagster.recovery.panic import panicked_over
from archon_dagster.repository.repository import Repository
from archon_dagster.restore.journal import JournalFile
from archon_dagster.stores.base import STORES, StoreName
from archon_dagster.stores.open import open_stores

STALE = 5  # intervals of the monitor (and at least a minute) after which its word is too old to act on
_ASK_LIMIT = 10.0  # seconds for the repository and the logs
_UNSURE = ("unknown", "maintenance")
_FEW = 10  # records; a store that had fewer may as well be empty
_PROBLEMS: dict[str, ProofKind] = {
    "dead_collection": "unreadable",
    "garbage_collection": "garbage",
    "count_collapsed": "collapsed",
    "half_restored": "half_restored",
}


def confirmed(settings: Settings, runtime: Runtime) -> Findings | None:
    """What the monitor had confirmed at its last tick; ``None`` where that is too long ago to act on."""
    state = states.load(settings.home)
    oldest = max(60.0, STALE * float(settings.health_interval))
    if datetime.now(UTC).timestamp() - state.at > oldest:
        return None
    return findings_of(state, settings, runtime, thorough=bool(Book(settings.home).here()))


def fresh(settings: Settings, runtime: Runtime) -> Findings:
    """What is so now: everything is asked, doubts are settled, and the stores are counted.

    Nothing is written but what a due end-to-end test writes and deletes. Ask it without holding the platform lock: who
    holds it is taken to be changing things.
    """
    before = states.load(settings.home)
    # what was counted before is forgotten: a count that fails now must not be taken for the one before the loss
    known = replace(before.known, live={}, live_at=0.0, expected_at=0.0)
    found = monitor.tick(settings, runtime, before=replace(before, known=known))
    if found.events or any(one.state == "unhealthy" for one in found.state.services.values()):
        # a tick with bad news leaves the slower looks to the next one, and what they find counts from the next one on
        found = monitor.tick(settings, runtime, before=found.state)
    return findings_of(found.state, settings, runtime, thorough=True)


def findings_of(state: MonitorState, settings: Settings, runtime: Runtime, *, thorough: bool = False) -> Findings:
    """The monitor's state in the words of recovery, with what it does not look at: logs, the journal, the backups.

    :param thorough: look there also while everything is well.
    """
    unsure = {name: one.detail or one.state for name, one in state.services.items() if one.state in _UNSURE}
    now = time.time()
    alone = left_alone(settings, now)  # a window may have been opened since the monitor looked
    unsure |= alone
    bad = {name: one for name, one in state.services.items() if one.state == "unhealthy" and name not in unsure}
    proofs = [*_proofs(state, bad), *_database_gone(state)]
    more = _asked(settings, runtime, state, bad) if bad or proofs or thorough else {}
    backups, purpose = more.get("backups"), more.get("at_work")
    for found in (more.get("panics"), more.get("databases")):
        proofs += found if isinstance(found, list) else []
    silent = alone.keys() | {name for name, one in state.services.items() if one.state == "maintenance"}
    proofs = [proof for proof in proofs if HOLDER[proof.store] not in silent]
    causes = _causes(state, bad, proofs, settings)
    unwell = {name: _finding(name, one, causes) for name, one in bad.items()}
    for proof in proofs:
        holder = HOLDER[proof.store]
        if holder not in unwell:
            unwell[holder] = _proven(holder, proof, state)
    journal = JournalFile(settings).read()
    work = purpose if isinstance(purpose, str) else ""
    return Findings(
        at=_instant(state.at),
        unwell=unwell,
        watched=frozenset(state.services),
        proofs=tuple(proofs),
        unsure={name: why for name, why in unsure.items() if name not in unwell},
        stopped=frozenset(stopped_on_purpose(settings.home, now)),
        flapping=frozenset(name for name, one in state.services.items() if one.flapping),
        uncounted=_uncounted(state, backups if isinstance(backups, dict) else {}, settings),
        counted=_instant(state.known.live_at) if settings.health_counts and state.known.live_at else None,
        at_work=work,
        interrupted=journal.advice if journal is not None and not work else "",
        backups=backups if isinstance(backups, dict) else {},
        backups_known=isinstance(backups, dict),
    )


def _uncounted(state: MonitorState, backups: Mapping[StoreName, str], settings: Settings) -> dict[str, str]:
    """The stores of which the monitor cannot say whether anything is lost.

    A server under load may be too slow to be counted or to be looked into, and the newest backup may be younger than
    the monitor's last question for one.
    """
    found: dict[str, str] = {"vectors": state.unexamined} if state.unexamined else {}
    for store in COUNTED if settings.health_counts else ():
        counted = state.known.live.get(store, Counts(None, "not counted yet"))
        compared = store in state.known.expected
        if HOLDER[store] not in state.services or not (compared or store in backups):
            continue
        if counted.counts is None:
            found[store] = counted.detail or "not counted"
        elif not compared:
            found[store] = f"not compared with backup {backups[store]} yet"
    return found


def _asked(
    settings: Settings, runtime: Runtime, state: MonitorState, bad: Mapping[str, ServiceState]
) -> Mapping[str, object]:
    """What takes longer, side by side; only asked where something is wrong."""
    return ask_all(
        {
            "backups": lambda: newest_backups(settings),
            "panics": lambda: list(_panics(runtime, bad)),
            "databases": lambda: list(_dropped_lately(state, bad, settings, runtime)),
            "at_work": lambda: at_work.purpose(settings),
        },
        _ASK_LIMIT,
    )


def newest_backups(settings: Settings) -> dict[StoreName, str]:
    """The newest good backup of each store; raises where the repository cannot be asked."""
    if settings.repository_setting is None and not Path(settings.repository).exists():
        return {}  # the default one, which the first backup makes
    repository = Repository.open(settings.repository)
    found: dict[StoreName, str] = {}
    for store in STORES:
        try:
            found[store] = repository.resolve("latest", stores=(store,)).id
        except BackupNotFound:
            continue
    return found


def _finding(name: str, one: ServiceState, causes: Mapping[str, tuple[str, ...]]) -> Finding:
    mending = one.streak > 0  # what is not well cannot be in doubt otherwise
    return Finding(name, one.detail, _instant(one.first_seen), _instant(one.since), causes.get(name, ()), mending)


def _causes(
    state: MonitorState, bad: Mapping[str, ServiceState], proofs: Iterable[Proof], settings: Settings
) -> Mapping[str, tuple[str, ...]]:
    """Who is to blame: as the monitor says, unless something is proven of somebody it calls well."""
    proven = {HOLDER[proof.store]: True for proof in proofs}
    if proven.keys() <= bad.keys():
        return state.causes
    explained = explain(proven | {name: one.reached for name, one in bad.items()}, settings.health_depends)
    return {name: causes or state.causes.get(name, ()) for name, causes in explained.items()}


def _proven(holder: str, proof: Proof, state: MonitorState) -> Finding:
    return Finding(holder, proof.detail, _instant(state.at), _instant(state.at))


def _instant(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _proofs(state: MonitorState, bad: Mapping[str, ServiceState]) -> Iterator[Proof]:
    for name, one in bad.items():
        store = _store_of(name)
        for facet in one.failed:
            kind = _PROBLEMS.get(facet.problem)
            if store is not None and kind is not None and not facet.minor:
                yield _refined(state, store, kind, facet)


def _refined(state: MonitorState, store: StoreName, kind: ProofKind, facet: Facet) -> Proof:
    """A collapse to nothing at all is another thing than one to less than half, and a collection may just be gone."""
    if kind != "collapsed":
        return Proof(store, kind, facet.detail, facet.parts)
    expected, counted = state.known.expected.get(store), state.known.live.get(store)
    had = sum(expected.counts.values()) if expected else 0
    if counted is not None and counted.counts is not None and had >= _FEW and not sum(counted.counts.values()):
        return Proof(store, "came_up_empty", facet.detail)
    if (
        store == "vectors"
        and facet.parts
        and expected is not None
        and set(facet.parts) != {part for part, count in expected.counts.items() if count}
    ):
        return Proof(store, "gone", facet.detail, facet.parts)
    return Proof(store, kind, facet.detail)


def _database_gone(state: MonitorState) -> Iterator[Proof]:
    """A server without its database accepts connections and cannot be counted."""
    counted = state.known.live.get("relational")
    if counted is not None and counted.counts is None and DATABASE_GONE.search(counted.detail):
        yield Proof("relational", "gone", counted.detail)


def _dropped_lately(
    state: MonitorState, bad: Mapping[str, ServiceState], settings: Settings, runtime: Runtime
) -> Iterator[Proof]:
    """Who needs the database has failed, and its server is well: was it dropped since the monitor last counted?"""
    holder = HOLDER["relational"]
    one = state.services.get(holder)
    unexplained = [name for name in bad if not state.causes.get(name)]
    if one is None or one.state != "healthy":
        return
    if not any(holder in below(name, settings.health_depends) for name in unexplained):
        return
    try:
        open_stores(settings, runtime)["relational"].describe()
    except StoreError as error:
        if DATABASE_GONE.search(str(error)):
            yield Proof("relational", "gone", str(error).splitlines()[0])


def _panics(runtime: Runtime, bad: Mapping[str, ServiceState]) -> Iterator[Proof]:
    """The vector server has ended, and its last words name a collection."""
    name = HOLDER["vectors"]
    if name not in bad or bad[name].reached or name not in runtime.services():
        return
    if any(status.service == name and status.state in ("running", "paused") for status in runtime.status()):
        return
    for collection, words in panicked_over(runtime.logs(name, 60)).items():
        yield Proof("vectors", "cannot_load", words, (collection,))


def _store_of(service: str) -> StoreName | None:
    store = BY_NAME[service].store
    return next((name for name in STORES if name == store), None)
