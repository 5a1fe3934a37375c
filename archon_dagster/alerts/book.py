"""One alert per incident: what has been told, and what has to be told now.

An incident is told when it opens, again when it gets worse or is handed to a person, once per reminder interval while
it lasts, and once when it is over. During maintenance and while the automation is paused nothing is told: an incident
that begins and ends meanwhile is never heard of, one that is still there afterwards is told then, and the end of one
that was told before is told then too. An incident that is over stays over: late news of it says nothing.

``decide`` is a function of plain values: the book so far, what happened, the clock and the policy go in; the new book
and the notices come out.

=========  ====================================================
``held``   it is there, and nobody was told yet
``open``   it is there, and was told
``ending`` it is over, and nobody was told of that yet
``closed`` it is over, and that was told
=========  ====================================================
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from archon_dagster.alerts.alert import Alert, Notice, rank

REMEMBERED = 1000
"""How many closed incidents are kept, so that late news of them is known to be late."""

EVERYBODY = "*"
"""In the place of a service: the whole platform is in maintenance, or the automation is paused."""


@dataclass(frozen=True, slots=True)
class Raised:
    """An incident is there, or there is news of it; its id is never used for another one."""

    alert: Alert


@dataclass(frozen=True, slots=True)
class Cleared:
    """An incident is over; ``outcome`` says how."""

    incident: str
    outcome: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """Everything that is wrong right now, as one source sees it: what it no longer sees is over.

    The incident of each alert is the *subject*, which starts with ``<source>/``; the book makes the id of it, a new
    one every time the same thing goes wrong again. One that somebody has closed is not told again while it lasts.

    :param unsure: how the subjects begin of which nothing can be said now: none is opened, and none is over.
    """

    source: str
    alerts: tuple[Alert, ...]
    outcome: str = ""
    unsure: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


Event = Raised | Cleared | Seen | Tick


@dataclass(frozen=True, slots=True)
class Policy:
    """How alerts are told.

    :param reminder: seconds between two notices of one incident; 0: no reminders.
    :param silent: of whom nothing may be told now, and why, by service; :data:`EVERYBODY` for all of them.
    """

    reminder: float = 14_400.0
    silent: Mapping[str, str] = field(default_factory=dict)

    def silences(self, alert: Alert) -> bool:
        """Whether this alert has to wait."""
        if alert.always:
            return False
        return EVERYBODY in self.silent or (bool(alert.services) and all(one in self.silent for one in alert.services))


@dataclass(frozen=True, slots=True)
class Entry:
    """What the book knows of one incident.

    :param told: the last notice, ``None`` before there is one; :param told_as: how severe it was then.
    :param asked: what a person was last asked for.
    :param ended: when it was over; :param outcome: how. :param dismissed: somebody has said so, nobody has seen it.
    """

    alert: Alert
    state: Literal["held", "open", "ending", "closed"] = "held"
    told: datetime | None = None
    told_as: Literal["info", "warning", "critical"] = "info"
    asked: str = ""
    ended: datetime | None = None
    outcome: str = ""
    dismissed: bool = False

    @property
    def lasts(self) -> bool:
        """Whether it is still there."""
        return self.state in ("held", "open")


Book = Mapping[str, Entry]
"""The entries by incident id, in the order they were raised."""


def decide(book: Book, event: Event, now: datetime, policy: Policy) -> tuple[Book, list[Notice]]:
    """What to tell now, and the book afterwards."""
    page = dict(book)
    for step in _steps(page, event, now):
        _note(page, step, now, by_hand=isinstance(event, Cleared))
    notices = []
    for incident, entry in list(page.items()):
        page[incident], notice = _tell(entry, now, policy)
        if notice is not None:
            notices.append(notice)
    return _bounded(page), notices


def _steps(page: Book, event: Event, now: datetime) -> Iterator[Raised | Cleared]:
    """What a source sees, as news of single incidents."""
    if isinstance(event, Raised | Cleared):
        yield event
    if not isinstance(event, Seen):
        return
    live = {_subject(key): key for key, entry in page.items() if entry.state != "closed"}
    dismissed = {_subject(key): entry.ended for key, entry in page.items() if entry.dismissed}
    wrong = {alert.incident for alert in event.alerts}
    for alert in event.alerts:
        told_off = dismissed.get(alert.incident)
        if alert.incident not in live and (alert.incident.startswith(event.unsure) or _lasts_since(alert, told_off)):
            continue
        yield Raised(replace(alert, incident=live.get(alert.incident) or f"{alert.incident}@{now:%Y%m%dT%H%M%S.%f}"))
    for subject, incident in live.items():
        over = subject not in wrong and not subject.startswith(event.unsure)
        if subject.startswith(f"{event.source}/") and over:
            yield Cleared(incident, event.outcome)


def _lasts_since(alert: Alert, dismissed: datetime | None) -> bool:
    """Whether it began before somebody closed it, and so is what was closed."""
    return dismissed is not None and alert.since <= dismissed


def _subject(incident: str) -> str:
    return incident.rpartition("@")[0]


def _note(page: dict[str, Entry], step: Raised | Cleared, now: datetime, *, by_hand: bool) -> None:
    """Enter the news; nothing is told yet."""
    incident = step.alert.incident if isinstance(step, Raised) else step.incident
    known = page.get(incident)
    if isinstance(step, Cleared):
        dismissed = by_hand and bool(_subject(incident))  # what a source sees, it goes on seeing
        if known is not None and known.state == "held" and not dismissed:
            del page[incident]  # nobody has heard of it, and nobody has to
        elif known is not None and known.lasts:
            state: Literal["closed", "ending"] = "closed" if known.state == "held" else "ending"
            page[incident] = replace(known, state=state, ended=now, outcome=step.outcome, dismissed=dismissed)
    elif known is None:
        page[incident] = Entry(step.alert)
    elif known.state != "closed":
        merged = _merged(known.alert, step.alert)
        lasts: Literal["held", "open"] = "held" if known.state == "held" else "open"
        page[incident] = replace(known, alert=merged, state=lasts, ended=None, outcome="", dismissed=False)


def _merged(old: Alert, new: Alert) -> Alert:
    """The newer words; but an incident began when it began, and was as bad as it was."""
    return replace(
        new,
        since=min(old.since, new.since),
        severity=max(old.severity, new.severity, key=rank),
        always=old.always or new.always,
    )


def _tell(entry: Entry, now: datetime, policy: Policy) -> tuple[Entry, Notice | None]:
    """What is owed of this incident."""
    alert = entry.alert
    if entry.state == "closed" or policy.silences(alert):
        return entry, None
    if entry.state == "ending":
        return replace(entry, state="closed"), Notice("resolved", alert, now, entry.outcome)
    told = replace(entry, state="open", told=now, told_as=alert.severity, asked=alert.asks or entry.asked)
    if entry.state == "held" and alert.severity == "info":
        return replace(told, state="closed", ended=now), Notice("note", alert, now)
    if entry.state == "held" or entry.told is None:
        return told, Notice("opened", alert, now)
    if rank(alert.severity) > rank(entry.told_as):
        return told, Notice("worse", alert, now)
    if told.asked != entry.asked:
        return told, Notice("handed", alert, now)
    if policy.reminder and (now - entry.told).total_seconds() >= policy.reminder:
        return told, Notice("reminder", alert, now)
    return entry, None


def _bounded(page: dict[str, Entry]) -> Book:
    closed = [incident for incident, entry in page.items() if entry.state == "closed"]
    for incident in closed[:-REMEMBERED]:
        del page[incident]
    return page
