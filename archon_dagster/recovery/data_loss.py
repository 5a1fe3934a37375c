"""The rungs for data that are proven lost or corrupt.

* Whatever the policy, what is there is copied aside first where it may be all that is left: the directory of a graph
  server that came up empty (it writes an empty snapshot over it when it stops), the files of a damaged collection. A
  copy destroys nothing. Where there is none (the files are not at hand, no room), to make one is the first thing that a
  person is told.
* A vector server that ends at start because of one collection: that collection's directory is set aside (never
  deleted), the server started, the collection restored.
* Everything else: the store, or the collections that are concerned, are restored from the newest good backup.

Without the policy's word nothing but the copy is made; a person gets the commands.
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

SILENT = "the backup repository does not answer"

Allowed = Callable[[Step], Decision]


def next_step(
    incident: Incident, findings: Findings, policy: Policy, proofs: Sequence[Proof], allowed: Allowed
) -> Decision:
    """What to do about one store with proven loss.

    :param proofs: about that store.
    :param allowed: lets a step pass, or says why it has to wait or is tried no more.
    """
    store, holder = proofs[0].store, HOLDER[proofs[0].store]
    if _only_its_log_says_so(incident, proofs, holder):
        return allowed(Step(verb="restart", services=(holder,)))
    if copy := copy_first(incident, policy, proofs):
        return copy
    said = "; ".join((*(proof.detail for proof in proofs), *_copies(incident, store)))
    todo = commands(incident, proofs, findings.backups)
    backup = findings.backups.get(store, "")
    if not backup and not findings.backups_known:
        why, limit = f"{said}; and {SILENT}", timedelta(seconds=policy.lock_limit)
        if findings.at - (incident.noted_since_action(SILENT) or findings.at) < limit:
            return Wait(findings.at + AGAIN, why, f"{SILENT}; a person is asked after {limit}")
        return Escalate(why, (*todo, "archon backups"))
    if not backup:
        return Escalate(f"{said}; and there is no good backup of the {store}", (*todo, "archon backups"))
    if policy.level != "restore":
        return Escalate(f"{said}; the policy leaves a restore to a person (ARCHON_RECOVERY=restore allows it)", todo)
    if dead := [proof for proof in proofs if proof.kind == "cannot_load"]:
        return _set_aside(incident, policy, dead, holder, todo, allowed)
    if any(_is_empty_graph(proof) for proof in proofs) and not _copies(incident, store):
        at_hand = "could not be copied aside" if holder in policy.files else "are not at hand (ARCHON_MEMGRAPH_DATA)"
        return Escalate(f"{said}; and its files {at_hand}, which comes before anything else", todo)
    return allowed(Step(verb="restore", services=(holder,), store=store, parts=_parts(proofs), backup=backup))


def copy_first(incident: Incident, policy: Policy, proofs: Sequence[Proof]) -> Step | None:
    """The copy of one store's files that is to be made before anything else; ``None`` where there is none to make."""
    store, holder = proofs[0].store, HOLDER[proofs[0].store]
    wanted = [proof for proof in proofs if _kept_by_nobody_else(proof, policy)]
    if not wanted or holder not in policy.files or _tried(incident, store) >= policy.attempts:
        return None
    if store == "graph":
        return None if _copies(incident, store) else Step(verb="copy_aside", services=(holder,), store=store)
    copied = {part for event in incident.done("copy_aside") if event.step for part in event.step.parts}
    left = tuple(part for part in _parts(wanted) if part not in copied)
    return Step(verb="copy_aside", services=(holder,), store=store, parts=left) if left else None


def commands(incident: Incident, proofs: Sequence[Proof], backups: Mapping[StoreName, str]) -> tuple[str, ...]:
    """What a person types to get one store back, in the order in which it is safe."""
    store, holder = proofs[0].store, HOLDER[proofs[0].store]
    first: list[str] = []
    if any(_is_empty_graph(proof) for proof in proofs) and not _copies(incident, store):
        first.append(f"copy the data directory of {holder} before it is stopped or restarted: it overwrites it then")
    damaged = [part for proof in proofs if _is_damaged(proof) for part in proof.parts]
    if damaged and not _copies(incident, store):
        named = ", ".join(f"collections/{part}" for part in dict.fromkeys(damaged))
        first.append(f"copy {named} of {holder}'s storage before anything is restored")
    if dead := [part for proof in proofs if proof.kind == "cannot_load" for part in proof.parts or ("<name>",)]:
        named = ", ".join(f"collections/{part}" for part in dict.fromkeys(dead))
        first.append(f"stop {holder}, move {named} out of its storage, start it, then:")
    restores = (command for proof in proofs for command in restore_commands(proof, backups))
    return tuple(dict.fromkeys((*first, *restores)))


def still_aside(incident: Incident, findings: Findings) -> tuple[Proof, ...]:
    """Collections that this incident has set aside and not brought back, once their server runs."""
    if HOLDER["vectors"] in findings.unwell:
        return ()
    aside = [part for event in incident.done("set_aside") if event.step for part in event.step.parts]
    restored = [event.step for event in incident.done("restore") if event.step and event.step.store == "vectors"]
    left = tuple(part for part in aside if not any(not step.parts or part in step.parts for step in restored))
    return (Proof("vectors", "gone", f"set aside: {', '.join(left)}", left),) if left else ()


def restore_commands(proof: Proof, backups: Mapping[StoreName, str]) -> tuple[str, ...]:
    """What a person types to get back what is proven lost, and no more than that; nothing where no backup has it."""
    backup = backups.get(proof.store)
    if backup is None:
        return ()
    parts = _parts([proof])
    if parts:
        return tuple(command(backup, (), ("--collection", part)) for part in parts)
    return (command(backup, (proof.store,)),)


def _parts(proofs: Sequence[Proof]) -> tuple[str, ...]:
    """The collections that are concerned; none, where the store as a whole is, or cannot be restored in parts."""
    if any(not proof.parts or proof.store != "vectors" for proof in proofs):
        return ()
    return tuple(dict.fromkeys(part for proof in proofs for part in proof.parts))


def _is_empty_graph(proof: Proof) -> bool:
    return proof.store == "graph" and proof.kind == "came_up_empty"


def _is_damaged(proof: Proof) -> bool:
    return proof.store == "vectors" and proof.kind in ("unreadable", "garbage", "cannot_load")


def _kept_by_nobody_else(proof: Proof, policy: Policy) -> bool:
    """Where the policy restores, garbage is in the restore's safety copy, and what kills its server is moved."""
    if policy.level == "restore" and proof.kind in ("garbage", "cannot_load"):
        return False
    return _is_empty_graph(proof) or _is_damaged(proof)


def _only_its_log_says_so(incident: Incident, proofs: Sequence[Proof], holder: str) -> bool:
    """A log may be old: it is believed once the server was started and has ended again before our eyes."""
    says = any(proof.kind == "cannot_load" for proof in proofs)
    return says and not incident.begun(("restart", "recreate", "start_all"), holder)


def _tried(incident: Incident, store: StoreName) -> int:
    return sum(event.step is not None and event.step.store == store for event in incident.begun(("copy_aside",)))


def _copies(incident: Incident, store: StoreName) -> tuple[str, ...]:
    """What was copied of a store, and where it is."""
    done = incident.done("copy_aside")
    return tuple(event.text for event in done if event.step is not None and event.step.store == store)


def _set_aside(
    incident: Incident, policy: Policy, proofs: Sequence[Proof], holder: str, todo: tuple[str, ...], allowed: Allowed
) -> Decision:
    parts = _parts(proofs)
    done = {part for event in incident.done("set_aside") if event.step for part in event.step.parts}
    if parts and set(parts) <= done:
        return allowed(Step(verb="restart", services=(holder,)))
    why = f"{holder} cannot start because of {', '.join(parts) or 'what it holds'}: {proofs[0].detail}"
    if holder not in policy.files or not parts:
        return Escalate(f"{why}; its files are not at hand (ARCHON_QDRANT_STORAGE)", todo)
    if len(incident.begun(("set_aside",))) >= policy.attempts:
        return Escalate(f"{why}; it could not be set aside", todo)
    return Step(verb="set_aside", services=(holder,), store="vectors", parts=parts)
