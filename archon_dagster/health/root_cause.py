"""Who is to blame: a service whose dependency is not well is *affected*, not failed on its own.

What accepts no connection has failed on its own whatever its dependencies do: nobody's outage closes another one's
port. The catalogue says who depends on whom.
"""

from __future__ import annotations

from collections.abc import Mapping, Set

from archon_dagster.platform.services import BY_NAME


def causes(service: str, unwell: Set[str]) -> tuple[str, ...]:
    """The unwell services that a service depends on, directly or not, and that depend on no unwell one themselves."""
    return tuple(sorted(name for name in _below(service) & unwell if not _below(name) & unwell))


def explain(unwell: Mapping[str, bool]) -> dict[str, tuple[str, ...]]:
    """For each unwell service the root causes outside of itself; none: it is one.

    :param unwell: the services that are not well, and whether each accepts connections.
    """
    return {
        name: causes(name, unwell.keys()) if reached else () for name, reached in unwell.items()
    }  # fmt: skip


def affected_by(service: str, names: Set[str]) -> tuple[str, ...]:
    """Those of the given services that depend on this one."""
    return tuple(sorted(name for name in names if service in _below(name)))


def _below(service: str) -> set[str]:
    """Everything that a service depends on."""
    found: set[str] = set()
    waiting = [service]
    while waiting:
        for name in BY_NAME[waiting.pop()].depends_on:
            if name not in found:
                found.add(name)
                waiting.append(name)
    return found
