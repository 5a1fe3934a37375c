"""What the ladder may answer besides a step."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from archon_dagster.recovery.incident import Step

AGAIN = timedelta(seconds=5)
"""When to look again at what somebody else is doing."""

UNSTEADY = "keeps failing and coming back: the incident stays open until it has been calm for a while"
"""Of a service that is well at this moment, and flapping."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing now.

    :param until: when to look again; ``None``: when something changes.
    :param noted: what the incident is to say of it, once: how long it lasts is counted from there.
    """

    until: datetime | None
    why: str
    noted: str = ""


@dataclass(frozen=True, slots=True)
class Escalate:
    """A person is needed. :param commands: what they can type, the first thing first."""

    why: str
    commands: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Recovered:
    """It is over."""

    why: str


Decision = Step | Wait | Escalate | Recovered
