"""The response to a critical issue: assess, make room, recover, bring everybody back, tell, report.

What does not matter in an emergency (the catalogue's non-essential services) is stopped so that the rest has the
machine, and always started again: also after a failure, also when the run was cancelled, and by the next response if
this one was killed, because it is noted in the home who was stopped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from archon_dagster.errors import ArchonError, ConfigurationError
from archon_dagster.platform.runtime.protocol import Runtime
from archon_dagster.platform.settings import Settings
from archon_dagster.recovery.classify import in_order
from archon_dagster.recovery.findings import Findings
from archon_dagster.recovery.incident import Incident, open_incident
from archon_dagster.recovery.isolation import bring_back, isolated
from archon_dagster.recovery.noting import note
from archon_dagster.recovery.recover import Outcome, Recovery, respond
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

    @property
    def needs_a_person(self) -> bool:
        """Something is still broken."""
        return any(outcome.how != "recovered" for outcome in self.outcomes)


def p0_response(description: str, recovery: Recovery, settings: Settings, runtime: Runtime, notify: Notify) -> Response:
    """Respond to an issue that somebody calls critical; the order is that of the module."""
    if not description.strip():
        raise ConfigurationError("what is the issue?", todo="describe it in a sentence")
    bring_back(settings, runtime)
    findings = recovery.look()
    note(recovery.book, findings, recovery.policy(), recovery.clock(), recovery.relapse)
    incident = _incident(description, recovery, findings)
    recovery.tell(f"incident {incident.id}: {incident.title}")
    with isolated(settings, runtime, lambda text: _say(recovery, incident, text)):
        outcomes = tuple(respond(recovery, incident.id)) if findings.unwell else ()
    incident = recovery.book.get(incident.id)
    notified = _notify(notify, incident, outcomes)
    now = recovery.clock()
    incident = recovery.book.change(incident.id, lambda one: one.note(now, "note", f"notification: {notified}"))
    if not findings.unwell:
        why = "the assessment found nothing that is not well"
        incident = recovery.book.change(incident.id, lambda one: one.note(now, "recovered", why))
    return Response(incident, outcomes, notified, write_report(recovery.book, incident, now))


def _incident(description: str, recovery: Recovery, findings: Findings) -> Incident:
    """The incident this is about: the first that is open already, else a new one."""
    said = " ".join(description.split())
    now = recovery.clock()
    known = [one for one in recovery.book.open() if set(one.roots) & findings.unwell.keys()]
    if known:
        ours = sorted(known, key=lambda one: one.kind == "external")[0]
        note_it = f"reported as critical: {said}"
        # people are told its end at once: what fails after that is another incident, or nobody would hear of it
        told = {"manual": True}
        return recovery.book.change(ours.id, lambda one: one.model_copy(update=told).note(now, "note", note_it))
    names = in_order(findings.unwell)
    return recovery.book.add(open_incident("single_service", names, names, now, text=said, manual=True))


def _say(recovery: Recovery, incident: Incident, text: str) -> None:
    now = recovery.clock()
    recovery.book.change(incident.id, lambda one: one.note(now, "note", text))
    recovery.tell(text)


def _notify(notify: Notify, incident: Incident, outcomes: tuple[Outcome, ...]) -> str:
    """Tell people; that this failed is part of the report and ends nothing."""
    said = "; ".join(f"{one.incident.title}: {one.how}, {one.why}" for one in outcomes) or "nothing was found broken"
    try:
        return notify(incident, said)
    except ArchonError as error:
        return f"failed: {error.what}"
