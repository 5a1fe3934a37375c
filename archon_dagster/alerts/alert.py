"""What somebody is told: an alert says what is wrong, a notice says it at one moment.

An :class:`Alert` answers the questions of whoever is woken by it: what, since when, what was tried, what to do next,
where to look. A :class:`Notice` is an alert being told: for the first time, because it got worse, because it is handed
to a person, as a reminder, or because it is over.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Severity = Literal["info", "warning", "critical"]
"""``critical``: get up; ``warning``: look at it today; ``info``: good to know, told once and done."""

SEVERITIES: tuple[Severity, ...] = ("info", "warning", "critical")
"""From the least to the most severe."""

Kind = Literal["note", "opened", "worse", "handed", "reminder", "resolved"]


def rank(severity: Severity) -> int:
    """How severe, as a number that grows."""
    return SEVERITIES.index(severity)


@dataclass(frozen=True, slots=True)
class Alert:
    """Something is wrong.

    :param incident: the incident's id: whatever is told about one incident carries the same.
    :param title: what is wrong in a few words, without the severity.
    :param what: what was seen, as exactly as it is known.
    :param since: when it began, as far as is known; with a time zone.
    :param tried: what was tried already, in order.
    :param todo: what a person can do next, the first thing first; commands ready to paste.
    :param link: where to look, usually the run in the UI.
    :param services: whom it is about; a maintenance window of all of them silences it. Empty: the platform.
    :param asks: what a person is asked for, where nothing else is done about it; told again where it becomes another
        thing.
    :param always: tell it also during maintenance and while the automation is paused.
    """

    incident: str
    severity: Severity
    title: str
    what: str
    since: datetime
    tried: tuple[str, ...] = ()
    todo: tuple[str, ...] = ()
    link: str | None = None
    services: tuple[str, ...] = ()
    asks: str = ""
    always: bool = False


@dataclass(frozen=True, slots=True)
class Notice:
    """An alert being told; ``outcome`` says how it ended, where it has."""

    kind: Kind
    alert: Alert
    at: datetime
    outcome: str = ""
