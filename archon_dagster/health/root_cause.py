"""Who is to blame: a service whose dependency is not well is *affected*, not failed on its own.

What accepts no connection has failed on its own whatever its dependencies do: nobody's outage closes another one's
port. What merely works in part explains who works in part, and nobody's outage: it may stay like that for weeks, and
who is down meanwhile has to be mended. The catalogue says who depends on whom; what it cannot know of a platform (a
Supabase that is run over the platform's own PostgreSQL) the settings say.
"""

from __future__ import annotations

from collections.abc import Mapping, Set

from archon_dagster.platform.services import BY_NAME

Depends = Mapping[str, tuple[str, ...]]
"""Whom a service depends on besides those of the catalogue."""

_NOBODY: Depends = {}


def causes(service: str, unwell: Set[str], also: Depends = _NOBODY) -> tuple[str, ...]:
    """The unwell services that a service depends on, directly or not, and that depend on no unwell one themselves."""
    return tuple(sorted(name for name in below(service, also) & unwell if not below(name, also) & unwell))


def explain(
    unwell: Mapping[str, bool], also: Depends = _NOBODY, *, in_part: Set[str] = frozenset()
) -> dict[str, tuple[str, ...]]:
    """For each unwell service the root causes outside of itself; none: it is one.

    :param unwell: the services that are not well, and whether each accepts connections.
    :param in_part: those of them that are merely degraded.
    """
    down = unwell.keys() - in_part
    return {
        name: causes(name, unwell.keys() if name in in_part else down, also) if reached else ()
        for name, reached in unwell.items()
    }


def below(service: str, also: Depends = _NOBODY) -> set[str]:
    """Everything that a service depends on, directly or not."""
    found: set[str] = set()
    waiting = [service]
    while waiting:
        name = waiting.pop()
        for other in (*BY_NAME[name].depends_on, *also.get(name, ())):
            if other not in found:
                found.add(other)
                waiting.append(other)
    return found
