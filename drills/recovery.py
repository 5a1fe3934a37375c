"""One failure after the other: make it, wait without touching anything, and see what has come of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime

import httpx

from archon_dagster.errors import ArchonError
from archon_dagster.recovery.actions import ACTS
from archon_dagster.recovery.incident import Incident
from drills.checks import not_shown
from drills.faults import Fault
from drills.platform import Platform
from drills.results import SINGLE_SERVICE, Row
from drills.waiting import TooLate, wait_for

DETECT_LIMIT = 180.0  # seconds: the counts are looked at every minute, the rounds are every thirty seconds
RECOVER_LIMIT = 300.0
CALM_LIMIT = 180.0  # until the monitor calls everybody healthy
COMPARE_LIMIT = 20.0  # the monitor's own test has a marked document in the data for a moment
ALERT_LIMIT = 60.0  # a resolved notice waits until the checks are green

Tell = Callable[[str], None]


def drill(platform: Platform, faults: Iterable[Fault], tell: Tell) -> list[Row]:
    """Drill each failure; one that is not recovered from ends the drill, because nothing after it would say much."""
    rows: list[Row] = []
    for fault in faults:
        tell(fault.title)
        rows.append(_drilled(platform, fault, tell))
        if rows[-1].recover is None:
            tell("  not recovered: what is left is not drilled")
            break
    return rows


def calm(platform: Platform, since: datetime | None = None) -> None:
    """Wait until nothing is open and the monitor, looking after ``since``, calls everybody healthy."""

    def all_well() -> bool:
        looked = since is None or platform.health.at > since.timestamp()
        return looked and not platform.book.open() and bool(platform.health.services) and not platform.unwell()

    def seen() -> str:
        said = [f"incident {one.id} is {one.state}: {one.title}" for one in platform.book.open()]
        said += [f"{name}: {why}" for name, why in platform.unwell().items()]
        return "; ".join(said)

    wait_for("everybody healthy", all_well, CALM_LIMIT, seen)


def _drilled(platform: Platform, fault: Fault, tell: Tell) -> Row:
    row = Row(fault.title)
    try:
        calm(platform)
        before = {one.id for one in platform.book.all()}
        begun = datetime.now(UTC)
        doubt = fault.inject(platform)
        incident = _detected(platform, fault, before)
        tell(f"  {(incident.opened - begun).total_seconds():5.1f} s  {incident.title}")
        incident = _over(platform, incident.id)
        ended = datetime.now(UTC)
        _judge(row, fault, incident, begun)
        tell(f"  {(ended - begun).total_seconds():5.1f} s  {incident.state}: {', '.join(row.steps)}")
        calm(platform, ended)
        row.problems += [one for one in (doubt() if doubt else "",) if one]
        row.problems += _others(platform, before, incident)
        row.problems += [one for one in (not_shown(platform.settings, incident.services, begun),) if one]
        row.differences = differences(platform)
        _letters(platform, row, incident)
    except (TooLate, ArchonError, httpx.HTTPError) as error:
        row.problems.append(str(error))
    for problem in row.problems:
        tell(f"  ! {problem}")
    return row


def _detected(platform: Platform, fault: Fault, before: set[str]) -> Incident:
    def look() -> Incident | None:
        new = [one for one in platform.book.all() if one.id not in before and one.state != "merged"]
        return next((one for one in new if fault.root in one.roots), None)

    return wait_for(f"an incident of {fault.root}", look, DETECT_LIMIT, lambda: str(platform.unwell()))


def _over(platform: Platform, incident_id: str) -> Incident:
    """The incident when it is over; one that became part of another one: that other one."""

    def look() -> Incident | None:
        one = platform.book.get(incident_id)
        if one.state == "merged":
            one = next((it for it in platform.book.all() if it.kind == "complete_failure"), one)
        return one if one.state in ("recovered", "escalated") else None

    def seen() -> str:
        one = platform.book.get(incident_id)
        return f"{one.title} is {one.state}; its last line: {one.events[-1].kind} {one.events[-1].text[:300]}"

    return wait_for("the end of the incident", look, RECOVER_LIMIT, seen)


def _judge(row: Row, fault: Fault, incident: Incident, begun: datetime) -> None:
    row.kind = incident.kind
    row.detect = (incident.opened - begun).total_seconds()
    row.steps = tuple(
        event.step.verb
        for event in incident.events
        if event.kind == "started" and event.step is not None and event.step.verb != "evidence"
    )
    row.recover = incident.seconds_to_recover
    row.objective = _objective(incident)
    if incident.state != "recovered":
        row.problems.append(f"{incident.state}: {incident.events[-1].text[:300]}")
    if incident.kind != fault.kind:
        row.problems.append(f"taken for {incident.kind}, it is {fault.kind}")
    if not evidence_came_first(incident):
        row.problems.append("no evidence was kept before the first action")


def evidence_came_first(incident: Incident) -> bool:
    """Whether it was kept, and nothing was touched before that."""
    kept = next(iter(incident.done("evidence")), None)
    first = next(iter(incident.begun(ACTS, ever=True)), None)
    return kept is not None and (first is None or incident.events.index(kept) < incident.events.index(first))


def _objective(incident: Incident) -> float | None:
    if incident.kind == "single_service":
        return SINGLE_SERVICE
    return incident.objective[1].target if incident.objective else None


def _others(platform: Platform, before: set[str], incident: Incident) -> list[str]:
    """Incidents that one failure should not have opened."""
    new = [one for one in platform.book.all() if one.id not in before and one.id != incident.id]
    return [f"another incident: {one.id} {one.title}" for one in new if one.state != "merged"]


def differences(platform: Platform) -> list[str]:
    """What is not as it was before, also after a moment's patience."""
    found: list[str] = []

    def same() -> bool:
        found[:] = platform.differences()
        return not found

    with suppress(TooLate):
        wait_for("the same data", same, COMPARE_LIMIT)
    return found


def _letters(platform: Platform, row: Row, incident: Incident) -> None:
    """One alert, and one resolved notice; that it turned out to be worse may be told in between."""

    def count() -> tuple[int, int]:
        titles = platform.letters.about(incident.id)
        resolved = sum("RESOLVED" in title for title in titles)
        worse = sum("NOW " in title for title in titles)
        return len(titles) - resolved - worse, resolved

    with suppress(TooLate):
        wait_for("the resolved notice", lambda: count()[1] > 0, ALERT_LIMIT)
    row.alerts, row.resolved = count()
    if (row.alerts, row.resolved) != (1, 1):
        row.problems.append(f"alerts: {platform.letters.about(incident.id)}")
