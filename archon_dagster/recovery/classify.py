"""What kind of incident it is, from what is known.

A store is *lost* or *corrupt* only where that is proven; a server that merely does not answer is a failed service.
Everything down at once is one incident and not nine. An external service that is down is nobody's to restart.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from archon_dagster.platform.services import BY_NAME
from archon_dagster.recovery.findings import LOST, Findings, Proof
from archon_dagster.recovery.incident import Kind

_ORDER = {name: place for place, name in enumerate(sorted(BY_NAME, key=lambda name: BY_NAME[name].order))}


@dataclass(frozen=True, slots=True)
class Case:
    """One thing that is wrong now: its kind, who failed on their own, and everybody concerned, the roots first."""

    kind: Kind
    roots: tuple[str, ...]
    services: tuple[str, ...]


def classify(findings: Findings) -> tuple[Case, ...]:
    """Everything that is wrong now, one case for each root cause; all of it in one where everything is down."""
    unwell = findings.unwell
    if is_complete(findings):
        elsewhere = tuple(name for name in in_order(unwell) if BY_NAME[name].external and not _own(findings, name))
        names = in_order(unwell.keys() - set(elsewhere))
        roots = tuple(name for name in names if not _own(findings, name))
        everything = Case("complete_failure", roots, (*roots, *(name for name in names if name not in roots)))
        return (everything, *(_case(findings, name) for name in elsewhere))
    return tuple(_case(findings, name) for name in in_order(unwell) if not unwell[name].causes)


def is_complete(findings: Findings) -> bool:
    """Nothing that matters works, and it is not one failure that the others follow from."""
    core = [name for name in findings.watched if BY_NAME[name].critical and not BY_NAME[name].external]
    down = [name for name in core if name in findings.unwell]
    return len(core) > 1 and len(down) == len(core) and sum(not _own(findings, name) for name in down) > 1


def kind_of(service: str, proofs: Iterable[Proof]) -> Kind:
    """What the failure of one service is, as far as it is proven."""
    if BY_NAME[service].external:
        return "external"
    kinds = {proof.kind for proof in proofs if proof.store == BY_NAME[service].store}
    if not kinds:
        return "single_service"
    return "store_lost" if kinds <= LOST else "store_corrupt"


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Services in the order in which they are started; the external ones first."""
    return tuple(sorted(set(names), key=_ORDER.__getitem__))


def _case(findings: Findings, root: str) -> Case:
    affected = in_order(name for name, one in findings.unwell.items() if root in one.causes)
    return Case(kind_of(root, findings.proofs), (root,), (root, *affected))


def _own(findings: Findings, name: str) -> tuple[str, ...]:
    """The causes of a service among this platform's own services."""
    return tuple(cause for cause in findings.unwell[name].causes if not BY_NAME[cause].external)
