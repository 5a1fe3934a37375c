"""The rungs for data that are proven lost or corrupt.

* An empty graph server is not restarted: it writes an empty snapshot when it stops, over what may still be there. Its
  directory is copied aside, then the graph is restored.
* A vector server that ends at start because of one collection: that collection's directory is set aside (never
  deleted), the server started, the collection restored.
* Everything else: the store, or the collections that are concerned, are restored from the newest good backup.

Without the policy's word nothing of this is done; a person gets the command.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

from archon_dagster.platform.services import CATALOGUE
from archon_dagster.recovery.decision import AGAIN, Decision, Escalate, Wait
from archon_dagster.recovery.findings import Findings, Proof
from archon_dagster.recovery.incident import Incident, Step
from archon_dagster.recovery.policy import Policy
from archon_dagster.restore.request import command
from archon_dagster.stores.base import StoreName

HOLDER: dict[str, str] = {service.store: service.name for service in CATALOGUE if service.store}
"""The service that holds a store."""

Allowed = Callable[[Step], Decision]


def next_step(
    incident: Incident, findings: Findings, policy: Policy, proofs: Sequence[Proof], allowed: Allowed
) -> Decision:
    """What to do about one store with proven loss.

    :param proofs: about that store.
    :param allowed: lets a step pass, or says why it has to wait or is tried no more.
    """
    store = proofs[0].store
    said = "; ".join(proof.detail for proof in proofs)
    backup = findings.backups.get(store, "")
    if not backup and not findings.backups_known:
        why = f"{said}; and the backup repository does not answer"
        if findings.at - incident.opened < timedelta(seconds=policy.lock_limit):
            return Wait(findings.at + AGAIN, why)
        return Escalate(why, ("archon backups",))
    if not backup:
        return Escalate(f"{said}; and there is no good backup of the {store}", ("archon backups",))
    commands = tuple(filter(None, (restore_command(proof, findings.backups) for proof in proofs)))
    if policy.level != "restore":
        return Escalate(
            f"{said}; the policy leaves a restore to a person (ARCHON_RECOVERY=restore allows it)", commands
        )
    holder = HOLDER[store]
    if any(proof.kind == "cannot_load" for proof in proofs):
        return _set_aside(incident, policy, [p for p in proofs if p.kind == "cannot_load"], holder, commands, allowed)
    if any(proof.kind == "came_up_empty" for proof in proofs) and store == "graph" and not incident.done("copy_aside"):
        return _copy_aside(incident, policy, holder, store, commands, said)
    step = Step(verb="restore", services=(holder,), store=store, parts=_parts(proofs), backup=backup)
    return allowed(step)


def still_aside(incident: Incident, findings: Findings) -> tuple[Proof, ...]:
    """Collections that this incident has set aside and not brought back, once their server runs."""
    if HOLDER["vectors"] in findings.unwell:
        return ()
    aside = [part for event in incident.done("set_aside") if event.step for part in event.step.parts]
    restored = [event.step for event in incident.done("restore") if event.step and event.step.store == "vectors"]
    left = tuple(part for part in aside if not any(not step.parts or part in step.parts for step in restored))
    return (Proof("vectors", "gone", f"set aside: {', '.join(left)}", left),) if left else ()


def restore_command(proof: Proof, backups: Mapping[StoreName, str]) -> str:
    """What a person types to get back what is proven lost; empty where no backup has it."""
    backup = backups.get(proof.store)
    if backup is None:
        return ""
    parts = _parts([proof])
    if len(parts) == 1:
        return command(backup, (), ("--collection", parts[0]))
    return command(backup, (proof.store,))


def _parts(proofs: Sequence[Proof]) -> tuple[str, ...]:
    """The collections that are concerned; none, where the store as a whole is, or cannot be restored in parts."""
    if any(not proof.parts or proof.store != "vectors" for proof in proofs):
        return ()
    return tuple(dict.fromkeys(part for proof in proofs for part in proof.parts))


def _copy_aside(
    incident: Incident, policy: Policy, holder: str, store: StoreName, commands: tuple[str, ...], said: str
) -> Decision:
    if holder not in policy.files:
        why = f"{said}; its files are not at hand (ARCHON_MEMGRAPH_DATA), so they cannot be copied before anything else"
        return Escalate(why, (f"copy the data directory of {holder} before it is stopped or restarted", *commands))
    if len(incident.begun(("copy_aside",))) >= policy.attempts:
        return Escalate(f"{said}; its data directory could not be copied aside", commands)
    return Step(verb="copy_aside", services=(holder,), store=store)


def _set_aside(
    incident: Incident,
    policy: Policy,
    proofs: Sequence[Proof],
    holder: str,
    commands: tuple[str, ...],
    allowed: Allowed,
) -> Decision:
    """A log may be old: it is believed once the server was started and ended again before our eyes."""
    if not incident.begun(("restart", "recreate", "start_all"), holder):
        return allowed(Step(verb="restart", services=(holder,)))
    parts = _parts(proofs)
    done = {part for event in incident.done("set_aside") if event.step for part in event.step.parts}
    if parts and set(parts) <= done:
        return allowed(Step(verb="restart", services=(holder,)))
    why = f"{holder} cannot start because of {', '.join(parts) or 'what it holds'}: {proofs[0].detail}"
    if holder not in policy.files or not parts:
        by_hand = (
            f"stop {holder}, move collections/{parts[0] if parts else '<name>'} out of its storage, start it, then:"
        )
        return Escalate(f"{why}; its files are not at hand (ARCHON_QDRANT_STORAGE)", (by_hand, *commands))
    if len(incident.begun(("set_aside",))) >= policy.attempts:
        return Escalate(f"{why}; it could not be set aside", commands)
    return Step(verb="set_aside", services=(holder,), store="vectors", parts=parts)
