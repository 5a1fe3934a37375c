"""What scaling looks like to an operator; plain values, shown by Dagster and by the command line."""

from __future__ import annotations

from archon_dagster.platform.limits import Resources
from archon_dagster.platform.runtime.protocol import Replicas
from archon_dagster.scaling.apply import Applied

REPLICAS = ("replica", "state", "well", "connections", "process")
LIMITS = ("service", "before", "after", "reserved")


def replica_rows(replicas: Replicas) -> list[dict[str, str | int]]:
    """A row of :data:`REPLICAS` for each."""
    return [
        {
            "replica": one.number,
            "state": one.state,
            "well": "yes" if one.well else "no",
            "connections": one.served,
            "process": one.instance,
        }
        for one in replicas.each
    ]


def limit_rows(applied: Applied) -> list[dict[str, str]]:
    """A row of :data:`LIMITS` for each service that changes."""
    return [
        {
            "service": one.service,
            "before": limits_text(one.before),
            "after": limits_text(one.after),
            "reserved": reserved_text(one.after),
        }
        for one in applied.changes
    ]


def limits_text(limits: Resources | None) -> str:
    """Limits in a few words."""
    if limits is None:
        return "not set"
    said = limits.as_compose()["limits"]
    return f"{said['cpus']} CPUs, {said['memory']}"


def reserved_text(limits: Resources) -> str:
    """Reservations in a few words."""
    said = limits.as_compose()["reservations"]
    return f"{said['cpus']} CPUs, {said['memory']}"


def notes(applied: Applied) -> list[str]:
    """Everything that is not a change, a line each."""
    found = [f"limits are enforced: {applied.enforced}"]
    if applied.kept:
        found.append(f"as they were already: {', '.join(applied.kept)}")
    if applied.absent:
        found.append(f"this platform does not have: {', '.join(applied.absent)}")
    return found
