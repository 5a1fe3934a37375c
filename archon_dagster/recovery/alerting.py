"""What somebody is told of an incident: one alert for each, which says what was tried and what to do next."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta

from archon_dagster.alerts.alert import Alert, Severity
from archon_dagster.alerts.book import Cleared, Entry, Event, Raised
from archon_dagster.backup.summary import duration_text
from archon_dagster.platform.automation import Pause
from archon_dagster.recovery.incident import Incident, Kind

PAUSED = "automation/paused"
_PREFIX = "incident/"
_GONE = "nothing is known of it any more: its file is damaged or was removed; what still fails is a new incident"

_SEVERITY: dict[Kind, Severity] = {
    "single_service": "warning",
    "external": "warning",
    "store_lost": "critical",
    "store_corrupt": "critical",
    "complete_failure": "critical",
}


def news(
    incidents: list[Incident],
    told: Iterable[str],
    now: datetime,
    link: Callable[[Incident], str | None],
    relapse: float,
) -> list[Event]:
    """What to tell of incidents; telling it again says nothing new.

    :param told: see :func:`unended`. The end of each is told whenever it is learned: the control plane may have been
        down for a night, or the incident's file be damaged or gone.
    :param link: where an open one is looked at.
    :param relapse: seconds after its end within which an incident may begin again. Its end is told after that: an alert
        that was resolved is never opened again, so nobody would be told of what has failed anew.
    """
    known = {subject(incident): incident for incident in incidents}
    found: list[Event] = [Raised(alert_of(one, link(one))) for one in incidents if one.is_open]
    for name in told:
        incident = known.get(name)
        if incident is None:
            found.append(Cleared(name, _GONE))
        elif incident.closed is not None and _calm(incident, incident.closed, relapse) <= now:
            found.append(Cleared(name, outcome_of(incident)))
    return found


def unended(book: Mapping[str, Entry]) -> list[str]:
    """The incidents of which somebody may have been told, and of whose end nobody was."""
    return [name for name, entry in book.items() if name.startswith(_PREFIX) and entry.lasts]


def _calm(incident: Incident, closed: datetime, relapse: float) -> datetime:
    """When its end is certain; one that is part of another one does not begin again."""
    return closed if incident.state == "merged" else closed + timedelta(seconds=relapse)


def subject(incident: Incident) -> str:
    """How the incident is called among the alerts."""
    return f"{_PREFIX}{incident.id}"


def alert_of(incident: Incident, link: str | None = None) -> Alert:
    """The alert of an open incident. One that a person is needed for is critical, whatever it is."""
    handed = incident.state == "escalated"
    said = next((event.text for event in reversed(incident.events) if event.kind == "escalated"), "")
    what = next((event.text for event in incident.events if event.kind == "confirmed"), "")
    show = f"archon incidents show {incident.id}"
    return Alert(
        incident=subject(incident),
        severity="critical" if handed and incident.kind != "external" else _SEVERITY[incident.kind],
        title=incident.title,
        what=f"{what}; {said}" if handed and said else what,
        since=incident.first_seen,
        tried=tried(incident),
        todo=(*incident.commands, show) if handed else ("nothing yet: the automatic recovery is at it", show),
        link=link,
        services=incident.services,
        asks="\n".join(incident.commands) or said if handed else "",
    )


def tried(incident: Incident) -> tuple[str, ...]:
    """What was done, in order, each with its end."""
    ends = [event for event in incident.events if event.kind == "finished" and event.step is not None]
    return tuple(
        f"{event.step} ({'done' if event.ok else 'failed'} in {duration_text(event.seconds or 0.0)})" for event in ends
    )


def outcome_of(incident: Incident) -> str:
    """How it ended."""
    if incident.state == "merged":
        return incident.events[-1].text
    took = f"recovered {duration_text(incident.seconds_to_recover or 0.0)} after it was confirmed"
    done = tried(incident)
    return f"{took}, by: {'; '.join(done)}" if done else f"{took}, by itself or by hand"


def pause_alert(pause: Pause, now: datetime) -> Alert:
    """That nothing is done automatically; told once for each pause, also while everything else is silent."""
    begun = f"{pause.since.astimezone(UTC):%Y%m%dT%H%M%SZ}" if pause.since else "damaged"
    return Alert(
        incident=f"{PAUSED}@{begun}",
        severity="info",
        title="the automation is paused",
        what=str(pause),
        since=pause.since or now.astimezone(UTC),
        todo=("let it go on: archon automation resume",),
        always=True,
    )
