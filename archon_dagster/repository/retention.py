"""Which backups are kept, and why each of the others may go. Nothing here reads or writes anything.

The words are restic's: of each set of stores the newest backup of each of the last so many hours, days, weeks, months
and years *that have one* is kept. Counting what is there, and measuring ages to the newest backup instead of to now,
means that an installation at rest loses nothing, however long it rests and whatever its clock shows.

A backup goes only when no rule keeps it, and these keep it whatever the policy says:

* it is the newest good one that has some store, or this set of stores, or the newest whose checks passed;
* its set of stores has no good backup at all, or fewer than the minimum would be left;
* it is marked, or something needs it: a restore, an incident;
* it is a safety backup of the last weeks, or the newest one;
* its time is ahead of the clock: then nobody can say how old anything is.

Backups that a check speaks against fill no good one's place, and are kept as if they were good: damage of one chunk
speaks against every backup that shares it, and the next backup may repair them all. What is not a complete backup is
none of this module's business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import groupby

from archon_dagster.repository.catalogue import Entry

LAST_GOOD = "last good"
AHEAD = timedelta(hours=1)  # by which a backup's time may be ahead of the clock that plans
Key = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Policy:
    """How many are kept of each set of stores; see the module.

    :param within: everything so much older than the newest one; :param minimum: good ones, whatever the rules say.
    :param safety: the same as ``within``, for safety backups. :param zone: whose days and hours are meant.
    """

    last: int = 0
    hourly: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0
    yearly: int = 0
    within: timedelta = timedelta()
    minimum: int = 1
    safety: timedelta = timedelta(days=30)
    zone: tzinfo = UTC

    @property
    def rules(self) -> tuple[tuple[str, int, Callable[[datetime], Key]], ...]:
        """Each rule that counts periods: its name, how many, and which period an instant is in."""
        return (
            ("hourly", self.hourly, _hour),
            ("daily", self.daily, lambda at: (at.year, at.month, at.day)),
            ("weekly", self.weekly, lambda at: at.isocalendar()[:2]),
            ("monthly", self.monthly, lambda at: (at.year, at.month)),
            ("yearly", self.yearly, lambda at: (at.year,)),
        )


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of one backup. ``keeps`` is why it stays; ``why`` says in words what happens and why."""

    entry: Entry
    keeps: tuple[str, ...]

    @property
    def goes(self) -> bool:
        return not self.keeps

    @property
    def why(self) -> str:
        if self.goes:
            return "newer backups of the same stores fill every place of the policy"
        good = [why for why in self.keeps if why.startswith(LAST_GOOD)]
        others = [why for why in self.keeps if why not in good]
        return ", ".join([*others, *(good if len(good) == 1 else [LAST_GOOD] if good else [])])


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be kept and what would go, newest first; ``others`` are no complete backups and are left alone."""

    decisions: tuple[Decision, ...]
    others: tuple[Entry, ...] = ()

    @property
    def going(self) -> tuple[Entry, ...]:
        """What may go, oldest first: a removal that is interrupted has removed what matters least."""
        return tuple(decision.entry for decision in reversed(self.decisions) if decision.goes)

    @property
    def kept(self) -> tuple[Entry, ...]:
        return tuple(decision.entry for decision in self.decisions if not decision.goes)

    @property
    def last_good(self) -> tuple[Entry, ...]:
        """What is relied on from now on: before anything goes, these must be proven to be there."""
        return tuple(d.entry for d in self.decisions if any(why.startswith(LAST_GOOD) for why in d.keeps))


@dataclass(slots=True)
class _Reasons:
    """Why each backup is kept, in the order in which it was found out."""

    found: dict[str, list[str]] = field(default_factory=dict)

    def add(self, entries: Iterable[Entry], why: str) -> None:
        for entry in entries:
            reasons = self.found.setdefault(entry.id, [])
            if why not in reasons:
                reasons.append(why)

    def of(self, entry: Entry) -> tuple[str, ...]:
        return tuple(self.found.get(entry.id, ()))


def plan(
    entries: Iterable[Entry],
    policy: Policy,
    now: datetime,
    *,
    marked: Iterable[str] = (),
    needed: Mapping[str, str] | None = None,
) -> Plan:
    """Decide about every complete backup.

    :param entries: the catalogue, with checks. :param now: the storage's clock.
    :param marked: ids with a mark; :param needed: ids that something needs, and what.
    """
    listed = sorted(entries, key=lambda entry: entry.id, reverse=True)
    whole = [entry for entry in listed if entry.state == "complete" and entry.summary is not None]
    keep = _Reasons()
    ahead = {entry.id for entry in whole if entry.created - now > AHEAD}
    keep.add((entry for entry in whole if entry.id in ahead), "its time is ahead of the clock")
    timely = [entry for entry in whole if entry.id not in ahead]
    usual = [entry for entry in timely if not _is_safety(entry)]
    for group in _by_stores(usual):
        _apply(policy, group, keep)
    _keep_safety([entry for entry in timely if _is_safety(entry)], usual, policy, now, keep)
    _keep_last_good(whole, keep)
    marks = frozenset(marked)
    keep.add((entry for entry in whole if entry.id in marks), "marked to be kept")
    for entry in whole:
        if why := (needed or {}).get(entry.id):
            keep.add([entry], why)
    decided = tuple(Decision(entry, keep.of(entry)) for entry in whole)
    known = {entry.id for entry in whole}
    return Plan(decided, tuple(entry for entry in listed if entry.id not in known))


def is_good(entry: Entry) -> bool:
    """Nothing speaks against it. Where the checks were not asked for, nothing is known, and that is not good."""
    return entry.checks is not None and entry.checks.reliable


def has_passed(entry: Entry) -> bool:
    """It was checked, and every check passed."""
    return entry.checks is not None and entry.checks.state == "passed"


def _apply(policy: Policy, group: Sequence[Entry], keep: _Reasons) -> None:
    """The policy on the backups of one set of stores, newest first."""
    good = [entry for entry in group if is_good(entry)]
    if not good:
        keep.add(group, "there is no good backup of these stores")
        return
    for part in (good, group):  # the second time with those that a check speaks against, see the module
        _fill(policy, part, keep)
    left = [entry for entry in good if keep.of(entry)]
    more = [entry for entry in good if not keep.of(entry)]
    keep.add(more[: max(0, policy.minimum - len(left))], f"minimum of {policy.minimum}")


def _fill(policy: Policy, group: Sequence[Entry], keep: _Reasons) -> None:
    keep.add(group[: policy.last], "last")
    oldest = max(entry.created for entry in group) - policy.within
    keep.add((entry for entry in group if policy.within and entry.created >= oldest), "recent")
    for name, count, period in policy.rules:
        seen: set[Key] = set()
        for entry in group:
            key = period(entry.created.astimezone(policy.zone))
            if key not in seen and len(seen) < count:
                seen.add(key)
                keep.add([entry], name)


def _hour(at: datetime) -> Key:
    """The hour; that which a clock put back shows twice is two of them."""
    offset = at.utcoffset() or timedelta()
    return at.year, at.month, at.day, at.hour, int(offset.total_seconds())


def _keep_safety(
    safety: Sequence[Entry], usual: Sequence[Entry], policy: Policy, now: datetime, keep: _Reasons
) -> None:
    keep.add(safety[:1], "newest safety backup")
    newest = min(now, max((entry.created for entry in (*safety, *usual)), default=now))
    recent = (entry for entry in safety if newest - entry.created <= policy.safety)
    keep.add(recent, f"way back, {policy.safety.days} days")


def _keep_last_good(whole: Sequence[Entry], keep: _Reasons) -> None:
    """The newest good and the newest proven one of each store and of each set, among the usual ones and among all."""
    usual = [entry for entry in whole if not _is_aside(entry)]
    stores = {store for entry in whole for store in _stores(entry)}
    for among in (usual, whole):
        for sound in (is_good, has_passed):
            good = [entry for entry in among if sound(entry)]
            for store in sorted(stores):
                keep.add([entry for entry in good if store in _stores(entry)][:1], f"{LAST_GOOD} of {store}")
            for group in _by_stores(good):
                keep.add(group[:1], f"{LAST_GOOD} of these stores")


def _by_stores(entries: Iterable[Entry]) -> list[list[Entry]]:
    """By set of stores, imports apart, each newest first."""

    def key(entry: Entry) -> tuple[bool, tuple[str, ...]]:
        return _is_aside(entry), tuple(sorted(_stores(entry)))

    newest_first = sorted(entries, key=lambda entry: entry.id, reverse=True)
    return [list(group) for _, group in groupby(sorted(newest_first, key=key), key=key)]


def _stores(entry: Entry) -> tuple[str, ...]:
    return entry.summary.stores if entry.summary else ()


def _is_safety(entry: Entry) -> bool:
    return entry.summary is not None and entry.summary.kind == "safety"


def _is_aside(entry: Entry) -> bool:
    """``latest`` never means it."""
    return entry.summary is not None and entry.summary.kind in ("safety", "imported")
