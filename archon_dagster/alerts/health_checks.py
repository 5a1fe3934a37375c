"""Which checks of services are worth an alert: what the health monitor has confirmed, and no incident tells of.

An outage is an incident, and told as one. What is left are the checks of which nobody would hear: a service is slow, a
collection has the wrong size, a table was emptied. A check that another service's failure explains is left to the alert
of that one; and one that has failed for less than a minute is left alone, for an incident may be about to be opened.

What is only left alone is not *over* either: an alert that was told before goes on until its check passes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from archon_dagster.alerts.alert import Alert
from archon_dagster.alerts.book import Entry
from archon_dagster.alerts.failures import CHECKS
from archon_dagster.health import FailingCheck, Standing
from archon_dagster.health.samples import facets_of
from archon_dagster.platform.services import BY_NAME

PREFIX = f"{CHECKS}/health/"
SETTLING = 60.0
"""Seconds that a check has to fail before it is told; after an incident's end, seconds in which it still explains what
the monitor has not looked at again."""
_INCIDENTS = "incident/"
_SAID: dict[str, str] = {
    "reachable": "cannot be reached",
    "ready": "is not ready",
    "fast": "is slow",
    "functional": "does not do its work",
    "consistent": "holds what does not fit",
}


def alerts(
    standing: Standing, book: Mapping[str, Entry], now: datetime, page: Callable[[str], str | None]
) -> tuple[tuple[Alert, ...], tuple[str, ...]]:
    """What to tell, and how the subjects begin that are to be left as they are.

    :param standing: what the monitor believes; look at its age before. :param page: where a service is seen.
    """
    concerned, any_incident = _concerned(book, now)
    told, left = [], [f"{PREFIX}{name}/" for name in standing.unsettled]
    for name, since in standing.flapping.items():  # one alert, not twenty
        told.append(_flapping(name, since, page))
        left += [f"{PREFIX}{name}/{check}" for check in facets_of(name)]
        left += [told[-1].incident] if name in concerned else []
    for check in standing.failing:
        alert = _alert(check, page)
        told.append(alert)
        young = now.timestamp() - check.since < SETTLING
        # in an emergency services that are not essential may have been stopped to make room
        explained = check.service in concerned or (any_incident and not BY_NAME[check.service].essential)
        if young or explained or check.causes:
            left.append(alert.incident)
    return tuple(told), tuple(left)


def everything() -> tuple[str, ...]:
    """What is left as it is while the monitor says nothing."""
    return (PREFIX,)


def _concerned(book: Mapping[str, Entry], now: datetime) -> tuple[set[str], bool]:
    """The services that an incident tells of now, or did a moment ago; and whether there is one."""
    entries = [entry for name, entry in book.items() if name.startswith(_INCIDENTS) and _tells(entry, now)]
    return {service for entry in entries for service in entry.alert.services}, bool(entries)


def _tells(entry: Entry, now: datetime) -> bool:
    return entry.ended is None or (now - entry.ended).total_seconds() < SETTLING


def _alert(check: FailingCheck, page: Callable[[str], str | None]) -> Alert:
    also = f"; affected by it: {', '.join(check.affected)}" if check.affected else ""
    return Alert(
        incident=f"{PREFIX}{check.service}/{check.check}",
        severity="warning" if check.minor else "critical",
        title=f"{check.service} {_SAID[check.check]}",
        what=f"{check.detail or 'it gives no reason'}{also}",
        since=datetime.fromtimestamp(check.since, UTC),
        todo=_next_for(check),
        link=page(check.service),
        services=(check.service,),
    )


def _flapping(service: str, since: float, page: Callable[[str], str | None]) -> Alert:
    return Alert(
        incident=f"{PREFIX}{service}/flapping",
        severity="warning",
        title=f"{service} keeps changing between well and unwell",
        what="it is flapping: it fails and comes back again and again, so single failures of it are not told",
        since=datetime.fromtimestamp(since, UTC),
        todo=(
            f"how it was lately: archon health history {service}",
            "the cause is load or memory more often than a crash: archon performance",
        ),
        link=page(service),
        services=(service,),
    )


def _next_for(check: FailingCheck) -> tuple[str, ...]:
    quiet = (
        f'not to be told while you work on it: archon health maintenance --for 1h --why "…" --service {check.service}'
    )
    look = "look now: archon health; docs/health.md says what its words mean and what to do"
    if check.check == "fast":
        return look, f"since when it is slow: archon health history {check.service}", quiet
    if not check.minor:
        return "no recovery has taken it up: archon incidents, archon status", look, quiet
    return look, quiet
