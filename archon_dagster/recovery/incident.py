"""An incident: what broke, when, what was done about it in which order, and how it ended.

Everything that is asked of an incident (how often something was tried, what was interrupted, how long it took) is read
from its timeline, so that the file on disk is all that is needed to go on after a crash.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Literal

from archon_dagster.platform.objectives import RTO, Objective
from archon_dagster.platform.recovery_settings import PRIMARY
from archon_dagster.recovery.event import ACTIONS, Event, EventKind, Step, Strict, Verb

__all__ = ["ACTIONS", "TITLES", "Event", "EventKind", "Incident", "Kind", "Step", "Verb", "new_id", "open_incident"]

Kind = Literal["single_service", "store_lost", "store_corrupt", "complete_failure", "external"]

_OPENS: tuple[EventKind, ...] = ("relapsed", "asked", "classified")
"""What opens an incident again, also one that was handed to a person: what they were told is no longer all."""

TITLES: dict[Kind, str] = {
    "single_service": "single service failure",
    "store_lost": "data lost",
    "store_corrupt": "data corrupt",
    "complete_failure": "complete failure",
    "external": "external service down",
}

_OBJECTIVES: dict[Kind, str] = {
    "single_service": "single service failure",
    "store_lost": "database corruption",
    "store_corrupt": "database corruption",
    "complete_failure": "complete system failure",
}
"""The row of the runbook's table; nobody here can promise anything about an external service."""

_SITE_OBJECTIVE = "data center outage"
_EVIDENCE_TRIES = 2


class Incident(Strict):
    """One incident.

    :param roots: services that failed on their own. :param services: everybody concerned, the roots first.
    :param commands: what a person can type, where one is needed.
    :param manual: a person has asked for it; it does not begin again when the same fails later.
    :param site: where a disaster recovery was asked for; empty: an incident of this platform, as every other one.
    """

    id: str
    kind: Kind
    roots: tuple[str, ...]
    services: tuple[str, ...]
    events: tuple[Event, ...] = ()
    commands: tuple[str, ...] = ()
    manual: bool = False
    site: str = ""

    # what it is

    @property
    def elsewhere(self) -> bool:
        """It is about another site: what is seen of this platform says nothing about it."""
        return self.site not in ("", PRIMARY)

    @property
    def title(self) -> str:
        """In a few words."""
        if not self.roots:
            return "reported as critical, and nothing was found that is not well"
        where = f" at site {self.site}" if self.elsewhere else ""
        return f"{TITLES[self.kind]}{where}: {', '.join(self.roots)}"

    @property
    def objective(self) -> tuple[str, Objective] | None:
        """The row of the RTO table that it is measured against."""
        row = _SITE_OBJECTIVE if self.site else _OBJECTIVES.get(self.kind)
        return (row, RTO[row]) if row else None

    @property
    def state(self) -> Literal["open", "escalated", "recovered", "merged"]:
        """Where it stands."""
        last = self._last(*_OPENS, "escalated", "recovered", "merged")
        return "open" if last is None or last.kind in _OPENS else last.kind  # type: ignore[return-value]

    @property
    def is_open(self) -> bool:
        """It is not over."""
        return self.state in ("open", "escalated")

    # when

    @property
    def opened(self) -> datetime:
        """When it was confirmed."""
        return next(event.at for event in self.events if event.kind == "confirmed")

    @property
    def last_began(self) -> datetime:
        """When it was confirmed, or has begun again."""
        return next(event.at for event in reversed(self.events) if event.kind in ("confirmed", "relapsed"))

    @property
    def first_seen(self) -> datetime:
        """When the first sample showed it."""
        return next((event.at for event in self.events if event.kind == "detected"), self.opened)

    @property
    def closed(self) -> datetime | None:
        """When it was over."""
        last = self._last("recovered", "merged")
        return last.at if last and not self.is_open else None

    @property
    def seconds_to_detect(self) -> float:
        """From the first bad sample to its confirmation."""
        return max(0.0, (self.opened - self.first_seen).total_seconds())

    @property
    def seconds_to_recover(self) -> float | None:
        """From its confirmation until it was well again; ``None`` while it is not."""
        if self.state != "recovered" or self.closed is None:
            return None
        return max(0.0, (self.closed - self.opened).total_seconds())

    @property
    def within_objective(self) -> bool | None:
        """Whether it was over in time; ``None`` while it is not over, or where nothing is promised."""
        if self.seconds_to_recover is None or self.objective is None:
            return None
        return self.seconds_to_recover <= self.objective[1].target

    # what was done

    @property
    def attempts(self) -> int:
        """How many actions were begun; one that was killed counts, for it may be why."""
        return len(self.begun(ACTIONS, ever=True))

    @property
    def interrupted(self) -> Step | None:
        """The step that was begun and has not ended: it is going on now, or its process was killed."""
        last = self._last("started", "finished")
        return last.step if last and last.kind == "started" else None

    @property
    def last_action(self) -> Event | None:
        """The end of the last action, or its beginning where it never ended."""
        return next((event for event in reversed(self.events) if event.step and event.step.verb in ACTIONS), None)

    def noted_since_action(self, beginning: str) -> datetime | None:
        """When such a note was first written since the last action, or since it began or was begun anew."""
        found = None
        for event in reversed(self.events):
            acted = event.step is not None and event.step.verb in ACTIONS
            if acted or event.kind in ("confirmed", "relapsed", "asked"):
                break
            if event.kind == "note" and event.text.startswith(beginning):
                found = event.at
        return found

    def tried(self, step: Step) -> tuple[Event, ...]:
        """The beginnings of actions of the same kind on the same thing: what is limited.

        Restores are counted by store, everything else by the service on which it was done most often.
        """
        if step.verb == "restore":
            return tuple(event for event in self.begun(("restore",)) if event.step and event.step.store == step.store)
        families = [self.begun(ACTIONS - {"restore"}, service) for service in step.services]
        return max(families, key=len, default=())

    def end_of(self, begin: Event) -> Event:
        """The end of a step; its beginning, where it never ended."""
        later = self.events[self.events.index(begin) + 1 :]
        return next((event for event in later if event.kind == "finished" and event.step == begin.step), begin)

    def aside_since(self, at: datetime) -> bool:
        """Whether files were set aside after that: what failed before may work now."""
        return any(event.at >= at for event in self.done("set_aside"))

    def begun(self, verbs: Iterable[Verb], service: str = "", *, ever: bool = False) -> tuple[Event, ...]:
        """The beginnings of such steps, of one service where it is named.

        :param ever: also of those from before a person has asked for another try, with which the attempts begin anew.
        """
        wanted = frozenset(verbs)
        asked = 0 if ever else max((i for i, event in enumerate(self.events) if event.kind == "asked"), default=0)
        return tuple(
            event
            for event in self.events[asked:]
            if event.kind == "started"
            and event.step is not None
            and event.step.verb in wanted
            and (not service or service in event.step.services)
        )

    def done(self, verb: Verb) -> tuple[Event, ...]:
        """The good ends of such steps."""
        return tuple(
            event
            for event in self.events
            if event.kind == "finished" and event.ok and event.step is not None and event.step.verb == verb
        )

    def without_evidence(self, services: Iterable[str]) -> tuple[str, ...]:
        """Of whom no evidence was captured yet, in this try. Where that has failed twice it is done without."""
        ends = [e for e in self._this_try() if e.kind == "finished" and e.step and e.step.verb == "evidence"]
        had = {name for event in ends if event.ok and event.step for name in event.step.services}
        failed = Counter(name for event in ends if not event.ok and event.step for name in event.step.services)
        return tuple(name for name in services if name not in had and failed[name] < _EVIDENCE_TRIES)

    def _this_try(self) -> tuple[Event, ...]:
        """The events since it began, or began again in any way."""
        begin, handed = 0, False
        for place, event in enumerate(self.events):
            if event.kind in ("confirmed", "relapsed", "asked") or (event.kind == "classified" and handed):
                begin = place
            if event.kind in (*_OPENS, "escalated"):
                handed = event.kind == "escalated"
        return self.events[begin:]

    def _last(self, *kinds: EventKind) -> Event | None:
        return next((event for event in reversed(self.events) if event.kind in kinds), None)

    # how it goes on

    def with_event(self, event: Event) -> Incident:
        """The same with one more line."""
        return self.model_copy(update={"events": (*self.events, event)})

    def note(self, at: datetime, kind: EventKind, text: str) -> Incident:
        """The same with a line of words."""
        return self.with_event(Event(at=at, kind=kind, text=text))

    def opened_again(self, at: datetime, kind: EventKind, text: str) -> Incident:
        """The same, and no longer what a person was told to type."""
        return self.model_copy(update={"commands": ()}).note(at, kind, text)


def open_incident(
    kind: Kind,
    roots: tuple[str, ...],
    services: tuple[str, ...],
    now: datetime,
    first_seen: datetime | None = None,
    text: str = "",
    *,
    manual: bool = False,
    site: str = "",
) -> Incident:
    """A new incident, confirmed now."""
    events = (
        *((Event(at=min(first_seen, now), kind="detected", text="first bad sample"),) if first_seen else ()),
        Event(at=now, kind="confirmed", text=text),
    )
    return Incident(
        id=new_id(now), kind=kind, roots=roots, services=services, events=events, manual=manual, site=site
    )  # fmt: skip


def new_id(now: datetime) -> str:
    """A UTC instant and a short random suffix, as backups have them."""
    return f"{now.astimezone(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"
