"""Keep the book up to what is known: open, continue, merge and close incidents. Nothing on the platform is touched."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from archon_dagster.health.root_cause import Depends, below
from archon_dagster.platform.services import BY_NAME
from archon_dagster.recovery.book import Book
from archon_dagster.recovery.classify import Case, classify, in_order
from archon_dagster.recovery.decision import UNSTEADY, Decision, Escalate, Recovered, Wait
from archon_dagster.recovery.findings import Findings
from archon_dagster.recovery.incident import TITLES, Incident, Step, open_incident
from archon_dagster.recovery.ladder import next_step
from archon_dagster.recovery.policy import Policy


@dataclass(frozen=True, slots=True)
class Standing:
    """An open incident and what is to be done about it now."""

    incident: Incident
    decision: Decision


def note(book: Book, findings: Findings, policy: Policy, now: datetime, relapse: float) -> list[Standing]:
    """Bring the book up to date; what is left to do, what can be done first.

    :param relapse: seconds after its end within which the same failure is the same incident.
    """
    ended = _ended_already(book, findings)
    for case in classify(findings):
        if not set(case.roots) <= ended:
            _enter(book, case, findings, now, relapse)
    _note_unsteady(book, findings, now)
    recent = book.recent(now)
    standing = [Standing(one, next_step(one, findings, policy, now, recent)) for one in book.here()]
    left = [settled for one in standing if (settled := settle(book, one, now)) is not None]
    return sorted(left, key=lambda one: (not isinstance(one.decision, Step), _place(one.incident)))


def note_others(book: Book, findings: Findings, now: datetime, relapse: float, also: Depends) -> None:
    """While a recovery is at work: open incidents of what it cannot be the cause of, and nothing else.

    Such a run may restore for hours; that Ollama has failed meanwhile is no news for afterwards.

    :param also: who depends on whom besides the catalogue; an external service that needs one of ours may suffer now.
    """
    for case in classify(findings):
        if case.kind == "external" and not any(below(root, also) for root in case.roots):
            _enter(book, case, findings, now, relapse)


def follow(book: Book, incident: Incident, findings: Findings, now: datetime) -> Incident:
    """One incident with who else is concerned by now, and as what it has turned out to be."""
    for case in classify(findings):
        if set(case.roots) & set(incident.roots) and _goes_on(incident, case):
            incident = book.change(incident.id, lambda one, case=case: _continued(one, case, now))  # type: ignore[misc]
    return incident


def settle(book: Book, standing: Standing, now: datetime) -> Standing | None:
    """Write down a decision that needs no action; ``None`` where the incident is over by it."""
    decision, incident = standing.decision, standing.incident
    if isinstance(decision, Wait) and decision.noted:
        incident = book.change(incident.id, lambda one: waiting(one, decision, now))
    if isinstance(decision, Recovered):
        book.change(incident.id, lambda one: one.note(now, "recovered", decision.why) if one.is_open else one)
        return None
    if isinstance(decision, Escalate):
        incident = book.change(incident.id, lambda one: escalated(one, decision, now))
    return Standing(incident, decision)


def waiting(incident: Incident, decision: Wait, now: datetime) -> Incident:
    """The incident, with what it waits for; said once."""
    known = not decision.noted or incident.noted_since_action(decision.noted)
    return incident if known else incident.note(now, "note", decision.noted)


def escalated(incident: Incident, decision: Escalate, now: datetime) -> Incident:
    """The incident, handed to a person; said once."""
    if incident.state != "open":
        return incident
    asked = incident.model_copy(update={"commands": decision.commands})
    return asked.note(now, "escalated", decision.why)


def _ended_already(book: Book, findings: Findings) -> set[str]:
    """Services that fresh probes have found well, which the monitor does not know yet: it has not looked since, or has
    not seen it often enough."""
    ended = set[str]()
    for one in book.all()[:50]:
        if one.state == "recovered" and one.closed is not None and not one.elsewhere:
            ended |= {service for service in one.services if _knows_less(findings, service, one.closed)}
    return ended


def _knows_less(findings: Findings, service: str, closed: datetime) -> bool:
    found = findings.unwell.get(service)
    return closed >= findings.at or (found is not None and found.mending and found.since <= closed)


def _enter(book: Book, case: Case, findings: Findings, now: datetime, relapse: float) -> None:
    known = {one.id: one for root in case.roots if (one := book.covering(root)) is not None}
    same = next((one for one in known.values() if _goes_on(one, case)), None)
    if same is None:
        same = _again(book, case, now, relapse) or book.add(_new(case, findings, now))
    else:
        same = book.change(same.id, lambda one: _continued(one, case, now))
    if case.kind == "complete_failure":
        inside = (one for one in book.here() if one.id != same.id and set(one.roots) <= set(case.services))
        _merge(book, inside, same, now)


def _goes_on(incident: Incident, case: Case) -> bool:
    return case.kind != "complete_failure" or incident.kind == "complete_failure"


def _continued(incident: Incident, case: Case, now: datetime) -> Incident:
    """The incident with who else is concerned by now, and as what it has turned out to be."""
    others = in_order({*incident.services, *case.services} - {*incident.roots})
    grown = incident.model_copy(update={"services": (*incident.roots, *others)})
    if case.kind not in ("store_lost", "store_corrupt"):
        return grown
    if incident.kind == "complete_failure":  # it stays that, and is about more now
        said = f"{TITLES[case.kind]}: {', '.join(case.roots)}"
        known = any(event.kind == "classified" and event.text == said for event in incident.events)
        return grown if known else grown.opened_again(now, "classified", said)
    if incident.kind not in ("single_service", "store_lost") or incident.kind == case.kind:
        return grown
    return grown.model_copy(update={"kind": case.kind}).opened_again(now, "classified", TITLES[case.kind])


def try_again(book: Book, incident: Incident, now: datetime) -> Incident:
    """A person asks for it: an incident that was handed over is open again, and its attempts begin anew."""

    def again(one: Incident) -> Incident:
        handed = one.state == "escalated" and not one.elsewhere
        return one.opened_again(now, "asked", "a run by hand: tried again") if handed else one

    return book.change(incident.id, again)


def _again(book: Book, case: Case, now: datetime, relapse: float) -> Incident | None:
    """An incident that was over a moment ago and is not: what was tried before counts."""
    for one in book.all()[:20]:
        lately = one.closed is not None and now - one.closed <= timedelta(seconds=relapse)
        if one.state == "recovered" and lately and one.roots == case.roots and not one.manual:
            return book.change(
                one.id, lambda it: _continued(it.note(now, "relapsed", "it failed again at once"), case, now)
            )
    return None


def _new(case: Case, findings: Findings, now: datetime) -> Incident:
    first = [findings.unwell[root] for root in case.roots]
    said = "; ".join(f"{one.service}: {one.detail}" for one in first)[:2000]
    return open_incident(case.kind, case.roots, case.services, now, min(one.first_seen for one in first), said)


def _note_unsteady(book: Book, findings: Findings, now: datetime) -> None:
    """That an incident stays open although everybody is well at times is said in it, once."""
    for incident in book.here():
        for root in set(incident.roots) & findings.flapping:
            said = f"{root} {UNSTEADY}"
            if all(event.text != said for event in incident.events):
                book.change(incident.id, lambda one, said=said: one.note(now, "note", said))  # type: ignore[misc]


def _merge(book: Book, incidents: Iterable[Incident], into: Incident, now: datetime) -> None:
    for incident in incidents:
        book.change(incident.id, lambda one: one.note(now, "merged", f"everything is down: see incident {into.id}"))


def _place(incident: Incident) -> tuple[int, str]:
    """What is started first is mended first."""
    return min((BY_NAME[root].order for root in incident.roots), default=0), incident.id
