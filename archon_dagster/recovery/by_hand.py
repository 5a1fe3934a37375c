"""A recovery that a person has launched: what was handed to a person is tried again, and nothing is left unsaid.

The automation leaves an escalated incident alone. Whoever launches a run has changed something (the host, the policy,
the backup), or wants it tried all the same: its attempts begin anew.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from archon_dagster.recovery.decision import Escalate
from archon_dagster.recovery.findings import Findings
from archon_dagster.recovery.incident import Step, Verb
from archon_dagster.recovery.noting import Standing, note, try_again
from archon_dagster.recovery.recover import ALL_VERBS, Outcome, Recovery, respond


def recover_by_hand(recovery: Recovery, verbs: frozenset[Verb] = ALL_VERBS, incident_id: str = "") -> list[Outcome]:
    """Recover one incident, or whatever is broken now; how each ended, those besides that are still open included."""
    findings = recovery.look()
    _note(recovery, findings)
    try_all_again(recovery, incident_id)
    first = incident_id or _first(_note(recovery, findings))
    outcomes = respond(recovery, first, verbs) if first else []
    return [*outcomes, *left_open(recovery, {one.incident.id for one in outcomes})]


def try_all_again(recovery: Recovery, incident_id: str = "") -> None:
    """Open again what was handed to a person and is not over: one incident, or every one."""
    for one in [recovery.book.get(incident_id)] if incident_id else recovery.book.here():
        try_again(recovery.book, one, recovery.clock())


def left_open(recovery: Recovery, met: Collection[str]) -> list[Outcome]:
    """The incidents besides those that are still open, with the reason."""
    return [_outcome(one) for one in _note(recovery, recovery.look()) if one.incident.id not in met]


def _first(standing: Sequence[Standing]) -> str:
    """The incident about which something can be done first, or that is waited for."""
    return next((one.incident.id for one in standing if not isinstance(one.decision, Escalate)), "")


def _note(recovery: Recovery, findings: Findings) -> list[Standing]:
    return note(recovery.book, findings, recovery.policy(), recovery.clock(), recovery.relapse)


def _outcome(standing: Standing) -> Outcome:
    incident, decision = standing.incident, standing.decision
    if incident.state == "escalated":
        said = next(event.text for event in reversed(incident.events) if event.kind == "escalated")
        return Outcome(incident, "escalated", said)
    if isinstance(decision, Step):
        return Outcome(incident, "elsewhere", f"next: {decision}")
    return Outcome(incident, "waiting", decision.why)
