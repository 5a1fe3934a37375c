"""An incident: what broke, when, what was done about it in which order, and how it ended.

Everything that is asked of an incident (how often something was tried, what was interrupted, how long it took) is read
from its timeline, so that the file on disk is all that is needed to go on after a crash.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict

from archon_dagster.platform.objectives import RTO, Objective
from archon_dagster.stores.base import StoreName

Kind = Literal["single_service", "store_lost", "store_corrupt", "complete_failure", "external"]
Verb = Literal["evidence", "copy_aside", "set_aside", "restart", "recreate", "start_all", "restore"]
EventKind = Literal[
    "detected",  # the first bad sample
    "confirmed",  # it is believed
    "classified",  # what it is turned out to be something else
    "started",  # an action begins
    "finished",  # it ended, well or not
    "note",  # worth knowing, and no action
    "escalated",  # a person is needed
    "relapsed",  # it was over, and is not
    "asked",  # a person wants it tried again
    "recovered",
    "merged",  # it is part of another incident now
]

ACTIONS: frozenset[Verb] = frozenset({"restart", "recreate", "start_all", "restore"})
"""What may change the platform, and so counts as an attempt; the others only look, copy or move aside."""

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


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


class Step(_Strict):
    """One thing to do.

    :param services: whom it is done to. :param store: whose data it is about.
    :param parts: collections it is about; none: the store as a whole.
    :param backup: what is restored.
    """

    verb: Verb
    services: tuple[str, ...] = ()
    store: StoreName | None = None
    parts: tuple[str, ...] = ()
    backup: str = ""

    def __str__(self) -> str:
        whom = ", ".join(self.services)
        what = f" ({', '.join(self.parts)})" if self.parts else ""
        said: dict[Verb, str] = {
            "evidence": f"capture evidence of {whom}",
            "copy_aside": f"copy the files of {whom}{what} aside",
            "set_aside": f"set damaged files of {whom} aside{what}",
            "restart": f"restart {whom}",
            "recreate": f"recreate {whom}",
            "start_all": f"start everything in order: {whom}",
            "restore": f"restore {self.store}{what} from backup {self.backup}",
        }
        return said[self.verb]


class Event(_Strict):
    """One line of the timeline.

    :param ok: how an action ended. :param seconds: how long it took.
    """

    at: AwareDatetime
    kind: EventKind
    text: str = ""
    step: Step | None = None
    ok: bool | None = None
    seconds: float | None = None


class Incident(_Strict):
    """One incident.

    :param roots: services that failed on their own. :param services: everybody concerned, the roots first.
    :param commands: what a person can type, where one is needed.
    :param manual: a person has asked for it; it does not begin again when the same fails later.
    """

    id: str
    kind: Kind
    roots: tuple[str, ...]
    services: tuple[str, ...]
    events: tuple[Event, ...] = ()
    commands: tuple[str, ...] = ()
    manual: bool = False

    # what it is

    @property
    def title(self) -> str:
        """In a few words."""
        if not self.roots:
            return "reported as critical, and nothing was found that is not well"
        return f"{TITLES[self.kind]}: {', '.join(self.roots)}"

    @property
    def objective(self) -> tuple[str, Objective] | None:
        """The row of the RTO table that it is measured against."""
        row = _OBJECTIVES.get(self.kind)
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

    @property
    def has_evidence(self) -> bool:
        """Evidence was captured since it began, began again, or is tried again."""
        begin = max(i for i, event in enumerate(self.events) if event.kind in ("confirmed", "relapsed", "asked"))
        later = self.events[begin:]
        return any(e.kind == "finished" and e.step is not None and e.step.verb == "evidence" for e in later)

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
) -> Incident:
    """A new incident, confirmed now."""
    events = (
        *((Event(at=min(first_seen, now), kind="detected", text="first bad sample"),) if first_seen else ()),
        Event(at=now, kind="confirmed", text=text),
    )
    return Incident(id=new_id(now), kind=kind, roots=roots, services=services, events=events, manual=manual)


def new_id(now: datetime) -> str:
    """A UTC instant and a short random suffix, as backups have them."""
    return f"{now.astimezone(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"
