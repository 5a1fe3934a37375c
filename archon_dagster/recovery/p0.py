"""The response to a critical issue: assess, keep evidence, make room, recover, bring everybody back, tell, report.

What does not matter in an emergency (the catalogue's non-essential services) is stopped so that the rest has the
machine, and always started again: also after a failure, also when the run was cancelled, and by the next response if
this one was killed, because it is noted in the home who was stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from archon_dagster.errors import ArchonError, ConfigurationError
from archon_dagster.platform.runtime.protocol import Runtime
from archon_dagster.platform.services import BY_NAME
from archon_dagster.platform.settings import Settings
from archon_dagster.recovery.by_hand import left_open, try_all_again
from archon_dagster.recovery.classify import in_order
from archon_dagster.recovery.decision import AGAIN
from archon_dagster.recovery.findings import Findings
from archon_dagster.recovery.incident import Incident, open_incident
from archon_dagster.recovery.isolation import bring_back, dispensable, isolated
from archon_dagster.recovery.noting import note
from archon_dagster.recovery.recover import Outcome, Recovery, keep_evidence, respond
from archon_dagster.recovery.report import write_report

Notify = Callable[[Incident, str], str]
"""Tells people about an incident; returns what came of it, in words."""


@dataclass(frozen=True, slots=True)
class Response:
    """What came of it: the incident it is about, how each recovery ended, and where the report is."""

    incident: Incident
    outcomes: tuple[Outcome, ...]
    notified: str
    report: Path


def p0_response(description: str, recovery: Recovery, settings: Settings, runtime: Runtime, notify: Notify) -> Response:
    """Respond to an issue that somebody calls critical; the order is that of the module."""
    if not description.strip():
        raise ConfigurationError("what is the issue?", todo="describe it in a sentence")
    bring_back(settings, runtime)
    paused, recovery = recovery.policy().paused, _although_paused(recovery)
    findings = recovery.look()
    note(recovery.book, findings, recovery.policy(), recovery.clock(), recovery.relapse)
    incident = _incident(description, recovery, findings)
    recovery.tell(f"incident {incident.id}: {incident.title}")
    if paused:
        _say(recovery, incident, f"the automation is paused {paused}; a person has launched this, so it acts")
    try_all_again(recovery)
    if findings.unwell:
        outcomes = _recover(recovery, incident, findings, settings, runtime)
    else:
        outcomes = [_nothing_found(recovery, incident)]
    besides = left_open(recovery, {one.incident.id for one in outcomes})
    outcomes = [*(_as_it_ended(recovery, one) for one in outcomes), *besides]
    incident = recovery.book.get(incident.id)
    notified = _notify(notify, incident, outcomes)
    now = recovery.clock()
    incident = recovery.book.change(incident.id, lambda one: one.note(now, "note", f"notification: {notified}"))
    return Response(incident, tuple(outcomes), notified, write_report(recovery.book, incident, now))


def _recover(
    recovery: Recovery, incident: Incident, findings: Findings, settings: Settings, runtime: Runtime
) -> list[Outcome]:
    """Keep what is there, make room, recover, bring everybody back."""
    spare = dispensable(settings, runtime)
    unwell = in_order({*incident.services, *(findings.unwell.keys() & set(spare))})
    keep_evidence(recovery, incident.id, unwell, findings)  # who is stopped and started again leaves no trace of why
    if all(BY_NAME[name].external for name in findings.unwell):
        return respond(recovery, incident.id)  # nothing is restarted for it: nobody needs room
    with isolated(settings, runtime, lambda text: _say(recovery, incident, text)) as stopped:
        outcomes = respond(recovery, incident.id)
    _until_back(recovery, stopped)
    return outcomes


def _until_back(recovery: Recovery, names: Sequence[str]) -> None:
    """Wait until who was stopped to make room is well again, as long as that may take; who is not then is news."""
    limit = max((BY_NAME[name].start_budget for name in names), default=0.0)
    end = recovery.clock() + timedelta(seconds=limit)
    while names and recovery.clock() < end and recovery.look().unwell.keys() & set(names):
        recovery.wait(AGAIN.total_seconds())
        recovery.hands.check()


def _although_paused(recovery: Recovery) -> Recovery:
    """The pause is for what happens by itself; this does not."""
    return replace(recovery, policy=lambda: replace(recovery.policy(), paused=""))


def _nothing_found(recovery: Recovery, incident: Incident) -> Outcome:
    now, why = recovery.clock(), "the assessment found nothing that is not well"
    ended = recovery.book.change(incident.id, lambda one: one.note(now, "recovered", why))
    return Outcome(ended, "recovered", why)


def _incident(description: str, recovery: Recovery, findings: Findings) -> Incident:
    """The incident this is about: the most important that is open already, else a new one."""
    said = " ".join(description.split())
    now = recovery.clock()
    known = [one for one in recovery.book.here() if set(one.roots) & findings.unwell.keys()]
    if known:
        ours = min(known, key=_importance)
        note_it = f"reported as critical: {said}"
        # people are told its end at once: what fails after that is another incident, or nobody would hear of it
        told = {"manual": True}
        return recovery.book.change(ours.id, lambda one: one.model_copy(update=told).note(now, "note", note_it))
    names = in_order(findings.unwell)
    return recovery.book.add(open_incident("single_service", names, names, now, text=said, manual=True))


def _importance(incident: Incident) -> tuple[bool, bool, int]:
    """What is nobody's to mend comes last, before that what is stopped to make room; else what is started first."""
    roots = [BY_NAME[name] for name in incident.roots]
    spared = not any(root.essential for root in roots)
    return incident.kind == "external", spared, min((root.order for root in roots), default=0)


def _as_it_ended(recovery: Recovery, outcome: Outcome) -> Outcome:
    """Who was stopped to make room is seen to be well only once they are back."""
    incident = recovery.book.get(outcome.incident.id)
    if incident.is_open or outcome.how == "recovered":
        return outcome
    return Outcome(incident, "recovered", incident.events[-1].text)


def _say(recovery: Recovery, incident: Incident, text: str) -> None:
    now = recovery.clock()
    recovery.book.change(incident.id, lambda one: one.note(now, "note", text))
    recovery.tell(text)


def _notify(notify: Notify, incident: Incident, outcomes: Sequence[Outcome]) -> str:
    """Tell people; that this failed is part of the report and ends nothing."""
    said = "; ".join(f"{one.incident.title}: {one.how}, {one.why}" for one in outcomes)
    try:
        return notify(incident, said)
    except ArchonError as error:
        return f"failed: {error.what}"
