"""What to do next about an incident: a pure decision, from its timeline, what is known now, the policy and the clock.

::

    is it over?                            -> Recovered
    may anything be done now?              -> Wait      paused, maintenance, a restore at work, cooling down
    will nothing more help?                -> Escalate  with what a person can type
    evidence                               before anything is touched
    everything down                        -> start everything in order
    not well                               -> restart, then recreate, root cause first
    data proven lost or corrupt            -> copy aside, whatever the policy; then restore, where it allows that

An action that was begun and never ended (its process was killed) counts as an attempt and is judged anew from what is
there now. No step ever names an external service, one in a maintenance window, or one that needs such a one: who works
there is not disturbed. A service that keeps failing and coming back is one incident. What is limited is limited for
each service, and for the restores of each store.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from archon_dagster.health.root_cause import below
from archon_dagster.platform.services import BY_NAME, Service
from archon_dagster.recovery import data_loss
from archon_dagster.recovery.classify import in_order, is_complete
from archon_dagster.recovery.decision import AGAIN, UNSTEADY, Decision, Escalate, Recovered, Wait
from archon_dagster.recovery.findings import Findings, Proof
from archon_dagster.recovery.incident import Incident, Step
from archon_dagster.recovery.policy import Policy

__all__ = ["Decision", "Escalate", "Recovered", "Step", "Wait", "next_step"]

_RANK: dict[type, int] = {Step: 0, Wait: 1, Escalate: 2}
"""Of several things that are wrong: what can be done is done before anybody waits, and a person is asked last."""


def next_step(
    incident: Incident, findings: Findings, policy: Policy, now: datetime, recent: Mapping[str, int] | None = None
) -> Decision:
    """What to do about an open incident now.

    :param recent: actions on each service within the last hour, this incident's included.
    """
    return _Ladder(incident, findings, policy, now, recent or {}).decide()


@dataclass(frozen=True)
class _Ladder:
    incident: Incident
    findings: Findings
    policy: Policy
    now: datetime
    recent: Mapping[str, int]

    def decide(self) -> Decision:
        if self.incident.elsewhere:
            return Wait(None, f"it is about site {self.incident.site}: launch disaster_recovery for it")
        if not (self.unwell or self.proofs):
            return self._over()
        return self._held() or self._hopeless() or self._climb()

    def _over(self) -> Decision:
        """Nothing is known to be wrong; that everything is known to be well is more."""
        for name in self.incident.services:
            # who was only affected, and was stopped to make room, comes back with the rest
            if name in self.findings.unsure and (name in self.incident.roots or name not in self.findings.stopped):
                return Wait(self.now + AGAIN, f"{name}: {self.findings.unsure[name]}")
        if restless := [name for name in self.incident.roots if name in self.findings.flapping]:
            return Wait(None, f"{', '.join(restless)} {UNSTEADY}")
        if self.incident.kind in ("store_lost", "store_corrupt") and (why := self._not_disproven()):
            return Wait(self.now + AGAIN, why)
        return Recovered("every service concerned is well again")

    def _not_disproven(self) -> str:
        """A proven loss is over when the contrary was seen since; that a look has failed proves nothing."""
        known = max(e.at for e in self.incident.events if e.kind in ("confirmed", "classified", "relapsed"))
        for root in self.incident.roots:
            store = BY_NAME[root].store or ""
            if why := self.findings.uncounted.get(store):
                return f"{root}: its records could not be looked at: {why}"
            if store in ("graph", "relational") and self.findings.counted and self.findings.counted < known:
                return f"{root}: its records were not counted since the loss was seen"
        return ""

    # what is wrong

    @property
    def unwell(self) -> tuple[str, ...]:
        """Services of this incident that are not well; not those that something outside of it explains by now."""
        ours = set(self.incident.services)
        return in_order(
            name
            for name in ours & self.findings.unwell.keys()
            if name in self.incident.roots or set(self.findings.unwell[name].causes) <= ours
        )

    @property
    def proofs(self) -> tuple[Proof, ...]:
        """What is proven about the stores of this incident, what it has set aside itself included."""
        stores = {BY_NAME[name].store for name in self.incident.services}
        found = tuple(proof for proof in self.findings.proofs if proof.store in stores)
        return (*found, *data_loss.still_aside(self.incident, self.findings))

    @property
    def targets(self) -> tuple[str, ...]:
        """Whom a restart may help: our own, not explained by others, nothing below them unwell, no data at stake."""
        at_stake = {proof.store for proof in self.proofs}
        return tuple(
            name
            for name in self.unwell
            if not BY_NAME[name].external
            and not self.findings.unwell[name].causes
            and not self._lacks(BY_NAME[name])
            and BY_NAME[name].store not in at_stake
        )

    def _lacks(self, service: Service) -> bool:
        """Something of ours that it needs is not known to be well: to restart above that is of no use.

        Least of all where that is in maintenance: somebody works on it, and it must not be started either.
        """
        return any(name in self.findings.unwell or name in self.findings.unsure for name in _needs(service))

    # may anything be done

    def _held(self) -> Wait | None:
        if self.policy.paused:
            return Wait(None, f"the automation is paused: {self.policy.paused}")
        if self.findings.restoring:
            return Wait(self.now + AGAIN, f"the {self.findings.at_work} is at work and is left alone")
        for name in self.incident.roots:
            if name in self.findings.unsure and name not in self.findings.stopped:
                return Wait(None, f"{name}: {self.findings.unsure[name]}")
        return None

    def _hopeless(self) -> Decision | None:
        """Where no action will change anything."""
        if self.incident.state == "escalated":
            return Wait(None, "a person was asked")
        if self.incident.kind == "external" or (self.unwell and all(BY_NAME[name].external for name in self.unwell)):
            return Escalate(
                f"{', '.join(self.incident.roots)} is run by somebody else: nothing is restarted or restored for it",
                tuple(f"see what is wrong with {BY_NAME[name].title} where it runs" for name in self.incident.roots),
            )
        if self.findings.interrupted and not self.incident.begun(("restore",), ever=True):
            return Escalate(
                "a restore was interrupted, and the data may be half restored", (self.findings.interrupted,)
            )
        return None

    # what is done

    def _climb(self) -> Decision:
        if self.incident.without_evidence(self.incident.roots):
            return Step(verb="evidence", services=self.incident.without_evidence(self.incident.services))
        decision = self._rung()
        if isinstance(decision, Step) and (new := self.incident.without_evidence(decision.services)):
            return Step(verb="evidence", services=new)  # they have joined it since
        return decision

    def _rung(self) -> Decision:
        if self.policy.level == "off":
            return self._copy_first() or self._escalate("the automatic recovery is off (ARCHON_RECOVERY)")
        complete = self.incident.kind == "complete_failure" and is_complete(self.findings)
        possible = [self._start_all() if complete else self._restart(), *self._data_decisions()]
        return min(
            (decision for decision in possible if decision is not None),
            key=lambda decision: _RANK[type(decision)],
            default=Wait(self.now + AGAIN, self._what_is_waited_for()),
        )

    def _what_is_waited_for(self) -> str:
        for name in self.unwell:
            for needed in _needs(BY_NAME[name]):
                if needed in self.findings.unsure:
                    return f"{name} needs {needed}: {self.findings.unsure[needed]}"
        return "what is not well waits for something else that is not well"

    def _data_decisions(self) -> list[Decision]:
        return [self._heeding_writers(self._data_decision(proofs)) for proofs in self._losses()]

    def _data_decision(self, proofs: list[Proof]) -> Decision:
        return data_loss.next_step(self.incident, self.findings, self.policy, proofs, self._allowed)

    def _heeding_writers(self, decision: Decision) -> Decision:
        """A restore stops whoever writes: not somebody who is in maintenance."""
        unsure = self.findings.unsure
        held = [name for name in in_order(unsure.keys() - self.findings.stopped) if BY_NAME[name].writer]
        if isinstance(decision, Step) and decision.verb == "restore" and held:
            return Wait(self.now + AGAIN, f"a restore stops {held[0]}: {unsure[held[0]]}")
        return decision

    def _copy_first(self) -> Step | None:
        copies = (data_loss.copy_first(self.incident, self.policy, proofs) for proofs in self._losses())
        return next(filter(None, copies), None)

    def _losses(self) -> list[list[Proof]]:
        """What is proven, by store."""
        stores = dict.fromkeys(proof.store for proof in self.proofs)
        return [[proof for proof in self.proofs if proof.store == store] for store in stores]

    def _start_all(self) -> Decision | None:
        at_stake = {proof.store for proof in self.proofs if proof.kind != "cannot_load"}
        names = in_order(n for n in self.unwell if not BY_NAME[n].external and BY_NAME[n].store not in at_stake)
        return self._allowed(Step(verb="start_all", services=names)) if names else None

    def _restart(self) -> Decision | None:
        targets = self.targets
        if not targets:
            return None
        if soon := self._comes_back_by_itself(targets):
            return soon
        first = tuple(name for name in targets if BY_NAME[name].order == BY_NAME[targets[0]].order)
        tried = max(len(self.incident.begun(("restart", "recreate"), name)) for name in first)
        return self._allowed(Step(verb="recreate" if tried else "restart", services=first))

    def _comes_back_by_itself(self, targets: tuple[str, ...]) -> Wait | None:
        """Who was only affected gets some time once the root cause is well again."""
        last = self.incident.last_action
        if last is None or last.kind != "finished" or last.step is None or set(targets) & set(last.step.services):
            return None
        until = last.at + timedelta(seconds=self.policy.settle)
        return Wait(min(until, self.now + AGAIN), f"{targets[0]} may come back by itself") if self.now < until else None

    def _allowed(self, step: Step) -> Decision:
        """The step, unless it was tried too often or it is too early for it."""
        tried = self.incident.tried(step)
        if len(tried) >= self.policy.attempts:
            return self._escalate(f"{len(tried)} attempts did not help")
        busy = [name for name in step.services if self.recent.get(name, 0) >= self.policy.hourly]
        if busy:
            return self._escalate(f"{busy[0]} was acted on {self.recent[busy[0]]} times within an hour")
        if not tried or self.incident.aside_since(tried[-1].at):
            return step
        ended = self.incident.end_of(tried[-1])
        until = ended.at + self.policy.wait_after(len(tried))
        if self.now < until:
            return Wait(until, f"cooling down after attempt {len(tried)} of {self.policy.attempts}")
        return step

    def _escalate(self, why: str) -> Escalate:
        ours = [data_loss.commands(self.incident, proofs, self.findings.backups) for proofs in self._losses()]
        restores = (command for commands in ours for command in commands)
        restarts = () if self.proofs else map(self.policy.restart_command, self.targets or self.unwell)
        return Escalate(why, tuple(dict.fromkeys((*restores, *restarts))))


def _needs(service: Service) -> list[str]:
    """Services of ours that it needs, directly or not."""
    return [name for name in in_order(below(service.name)) if not BY_NAME[name].external]
