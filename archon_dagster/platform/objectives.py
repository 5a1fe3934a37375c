"""Recovery objectives as data: the runbook's two tables.

RTO: how long a recovery may take. RPO: how old the newest backup of a store may be. All in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

MINUTE, HOUR = 60.0, 3600.0


@dataclass(frozen=True, slots=True)
class Objective:
    """What is aimed for, and what must never be exceeded, in seconds."""

    target: float
    maximum: float


RTO: dict[str, Objective] = {
    "single service failure": Objective(5 * MINUTE, 15 * MINUTE),
    "database corruption": Objective(30 * MINUTE, 2 * HOUR),
    "complete system failure": Objective(1 * HOUR, 4 * HOUR),
    "data center outage": Objective(4 * HOUR, 24 * HOUR),
}

RPO: dict[str, Objective] = {
    "vectors": Objective(1 * HOUR, 4 * HOUR),
    "graph": Objective(1 * HOUR, 4 * HOUR),
    "configuration": Objective(0, 1 * HOUR),
    "relational": Objective(15 * MINUTE, 1 * HOUR),
}


def restore_objective(stores: int) -> tuple[str, Objective]:
    """The RTO row that a restore of that many stores is measured against."""
    incident = "complete system failure" if stores > 1 else "database corruption"
    return incident, RTO[incident]
