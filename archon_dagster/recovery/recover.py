"""Climb the ladder of one incident: decide, write it down, do it, look again, until it is over or has to wait.

What is decided comes from :mod:`archon_dagster.recovery.ladder`, what is done from
:mod:`archon_dagster.recovery.actions`; here is only the order of things: a step is on disk before it begins, its end
right after it ended, and whether it has helped is said by fresh probes. Kill this process at any moment: the next one
goes on from the file.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal, Protocol

from archon_dagster.errors import Cancelled, RepositoryBusy
from archon_dagster.recovery.actions import Result
from archon_dagster.recovery.book import Book
from archon_dagster.recovery.decision import AGAIN, Decision, Escalate, Recovered, Wait
from archon_dagster.recovery.findings import Findings
from archon_dagster.recovery.incident import Event, Incident, Step, Verb
from archon_dagster.recovery.ladder import next_step
from archon_dagster.recovery.noting import Standing, follow, note, settle
from archon_dagster.recovery.policy import Policy
from archon_dagster.recovery.report import write_report

SERVICE_VERBS: frozenset[Verb] = frozenset({"evidence", "restart", "recreate"})
STORE_VERBS: frozenset[Verb] = SERVICE_VERBS | {"copy_aside", "set_aside", "restore"}
ALL_VERBS: frozenset[Verb] = STORE_VERBS | {"start_all"}


WAITS = "waits: "


class Acting(Protocol):
    """What acts; see :class:`~archon_dagster.recovery.actions.Hands`."""

    def hold(self, step: Step, incident: Incident) -> AbstractContextManager[str]: ...
    def do(self, step: Step, incident: Incident, findings: Findings, now: datetime) -> Result: ...
    def check(self) -> None: ...


@dataclass(frozen=True)
class Recovery:
    """What is needed to recover.

    :param look: asks everything anew; takes seconds. :param policy: read before every decision: somebody may pause.
    :param wait: waits so many seconds, unless cancelled. :param patience: seconds of waiting before a run ends.
    :param tell: receives one line of news for each line of the timeline.
    """

    book: Book
    hands: Acting
    look: Callable[[], Findings]
    policy: Callable[[], Policy]
    wait: Callable[[float], None]
    patience: float = 30.0
    relapse: float = 15.0
    clock: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))
    tell: Callable[[str], None] = field(default=lambda _: None)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How far it came. ``elsewhere``: the next step is another job's."""

    incident: Incident
    how: Literal["recovered", "escalated", "waiting", "elsewhere"]
    why: str


def respond(recovery: Recovery, incident_id: str, verbs: frozenset[Verb] = ALL_VERBS) -> list[Outcome]:
    """Recover one incident, and then every other one for which something can be done now; one after another."""
    with recovery.book.turn():
        outcomes = [recover(recovery, incident_id, verbs)]
        seen = {incident_id}
        while (more := _another(recovery, seen, verbs)) is not None:
            seen.add(more.incident.id)
            outcomes.append(recover(recovery, more.incident.id, verbs))
        return outcomes


def _another(recovery: Recovery, seen: set[str], verbs: frozenset[Verb]) -> Standing | None:
    findings = recovery.look()
    standing = note(recovery.book, findings, recovery.policy(), recovery.clock(), recovery.relapse)
    for one in standing:
        if one.incident.id not in seen and isinstance(one.decision, Step) and one.decision.verb in verbs:
            return one
    return None


def recover(recovery: Recovery, incident_id: str, verbs: frozenset[Verb] = ALL_VERBS) -> Outcome:
    """Go up the ladder of one incident; whoever calls has the turn, see :func:`respond`."""
    outcome = _Climb(recovery, incident_id, verbs).run()
    write_report(recovery.book, outcome.incident, recovery.clock())
    return outcome


def keep_evidence(recovery: Recovery, incident_id: str, services: tuple[str, ...], findings: Findings) -> None:
    """Keep evidence before something that is no rung of the ladder."""
    _Climb(recovery, incident_id, ALL_VERBS).act(Step(verb="evidence", services=services), findings)


class _Climb:
    def __init__(self, recovery: Recovery, incident_id: str, verbs: frozenset[Verb]):
        self.recovery, self.id, self.verbs = recovery, incident_id, verbs
        self.waited = 0.0

    def run(self) -> Outcome:
        findings = self.recovery.look()
        while True:
            self.recovery.hands.check()
            incident, now = self.recovery.book.get(self.id), self.recovery.clock()
            if not incident.is_open:
                return Outcome(incident, "recovered", "it is over")
            incident = follow(self.recovery.book, incident, findings, now)
            decided = next_step(incident, findings, self.recovery.policy(), now, self.recovery.book.recent(now))
            decision: Decision | None = decided
            if isinstance(decided, Step) and decided.verb in self.verbs:
                decision = self._take(decided, incident, findings)
            if isinstance(decision, Step):
                return Outcome(incident, "elsewhere", f"next: {decision}")
            if isinstance(decision, Recovered | Escalate):
                return self._end(incident, decision, now)
            if decision is not None:
                settle(self.recovery.book, Standing(incident, decision), now)
            if decision is not None and not self._waits(decision, now):
                return Outcome(incident, "waiting", decision.why)
            if not (isinstance(decided, Step) and decided.verb == "evidence" and decision is None):
                findings = self.recovery.look()  # evidence changes nothing: what was seen before it still counts

    def _take(self, step: Step, incident: Incident, findings: Findings) -> Wait | Escalate | None:
        """Take a step; ``None`` when it has ended, well or not."""
        try:
            with self.recovery.hands.hold(step, incident) as remark:
                self.waited = 0.0
                self.act(step, findings, remark)
        except RepositoryBusy as busy:
            return self._locked_out(incident, busy)
        return None

    def act(self, step: Step, findings: Findings, remark: str = "") -> None:
        """Write it down, do it, write down how it ended."""
        begun = self.recovery.clock()
        incident = self._write(Event(at=begun, kind="started", text=remark, step=step))
        try:
            result = self.recovery.hands.do(step, incident, findings, begun)
        except Cancelled:
            self._finish(step, begun, Result(False, "cancelled on request"))
            raise
        except Exception as error:  # noqa: BLE001 - an attempt that failed, whatever the reason; the ladder goes on
            result = Result(False, f"{type(error).__name__}: {error}")
        self._finish(step, begun, result)

    def _finish(self, step: Step, begun: datetime, result: Result) -> None:
        now = self.recovery.clock()
        seconds = max(0.0, (now - begun).total_seconds())
        self._write(Event(at=now, kind="finished", text=result.detail[:8000], step=step, ok=result.ok, seconds=seconds))

    def _write(self, event: Event) -> Incident:
        incident = self.recovery.book.change(self.id, lambda one: one.with_event(event))
        self.recovery.tell(line_of(event))
        return incident

    def _locked_out(self, incident: Incident, busy: RepositoryBusy) -> Wait | Escalate:
        now = self.recovery.clock()
        limit = timedelta(seconds=self.recovery.policy().lock_limit)
        since = incident.noted_since_action(WAITS)
        if since is None:  # said once, not every few seconds
            self._write(Event(at=now, kind="note", text=f"{WAITS}{busy.what}; a person is asked after {limit}"))
        elif now - since > limit:
            return Escalate(f"somebody else has kept the platform for too long: {busy.what}", ("archon status",))
        return Wait(now + AGAIN, busy.what)

    def _waits(self, wait: Wait, now: datetime) -> bool:
        """Wait here, if that is not for long; else the run ends, and another one goes on when it is time."""
        seconds = (wait.until - now).total_seconds() if wait.until is not None else float("inf")
        if self.waited + seconds > self.recovery.patience:
            return False
        self.recovery.tell(f"waiting {seconds:.0f} s: {wait.why}")
        self.recovery.wait(max(0.0, seconds))
        self.waited += max(0.1, seconds)
        return True

    def _end(self, incident: Incident, decision: Recovered | Escalate, now: datetime) -> Outcome:
        settle(self.recovery.book, Standing(incident, decision), now)
        ended = self.recovery.book.get(self.id)
        self.recovery.tell(line_of(ended.events[-1]))
        return Outcome(ended, "recovered" if isinstance(decision, Recovered) else "escalated", decision.why)


def line_of(event: Event) -> str:
    """A line of the timeline in words."""
    how = "" if event.ok is None else " done" if event.ok else " FAILED"
    took = "" if event.seconds is None else f" ({event.seconds:.1f} s)"
    what = str(event.step) if event.step else ""
    text = event.text.partition("\n")[0]
    return ": ".join(filter(None, (event.kind, f"{what}{how}{took}".strip(), text)))
