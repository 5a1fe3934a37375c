"""What one look at one service gives: a few facets, and the verdict that follows from them.

===============  ==========================================================================================
``reachable``    something accepts the connection
``ready``        it answers, and says that it is well (Qdrant: every collection can be read)
``fast``         it answers within its threshold
``functional``   it does its work: a stored point finds itself; a marked document is indexed and found;
                 the model returns a vector
``consistent``   what it holds fits: vector sizes with the model and the settings, counts with the last backup
===============  ==========================================================================================
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from archon_dagster.platform.services import BY_NAME

FacetName = Literal["reachable", "ready", "fast", "functional", "consistent"]
Verdict = Literal["healthy", "degraded", "unhealthy", "unknown"]

Problem = Literal[
    "",
    "unreachable",  # nothing accepts the connection
    "silent",  # it accepts the connection and does not answer in time
    "not_ready",  # it answers, and is not well
    "says_degraded",  # it says that it works in part
    "slow",
    "dead_collection",  # cannot be read; ``parts`` names them
    "garbage_collection",  # stored points do not find themselves; ``parts`` names them
    "database_gone",  # the server answers, the database of the settings does not exist
    "half_restored",  # an interrupted restore has begun to replace the data; ``parts`` names the collection, if one
    "count_collapsed",  # far fewer records than the last good backup has, or none; ``parts`` names what
    "wrong_dimension",  # vector sizes that do not go together; ``parts`` names the collections
    "end_to_end",  # a marked document was not indexed, not found, or not deleted
    "false_claim",  # it says that it is well, and does not know of what its store holds
    "no_vector",  # the model returns none
]

_BASE: tuple[FacetName, ...] = ("reachable", "ready", "fast")
_MORE: dict[str, tuple[FacetName, ...]] = {
    "qdrant": ("functional", "consistent"),
    "memgraph": ("consistent",),
    "postgres": ("consistent",),
    "archon-bridge": ("functional",),
    "archon-search": ("functional",),
    "ollama": ("functional", "consistent"),
}


def facets_of(service: str) -> tuple[FacetName, ...]:
    """The facets that apply to a service."""
    return _BASE + _MORE.get(service, ())


FACETS: dict[str, tuple[FacetName, ...]] = {name: facets_of(name) for name in BY_NAME}


@dataclass(frozen=True, slots=True)
class Facet:
    """One side of a service's health.

    :param passed: ``None``: not known, with the reason in ``detail``.
    :param minor: failing makes the service degraded, not unhealthy.
    :param problem: what is wrong, for programs. :param parts: which collections or tables it is about.
    """

    name: FacetName
    passed: bool | None
    detail: str = ""
    minor: bool = False
    problem: Problem = ""
    parts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at one service.

    :param at: when, in seconds since the epoch.
    :param seconds: the time to its answer; ``None`` where there was none.
    :param maintenance: why nobody should be told; empty outside of maintenance.
    :param counts: records by part, :param sizes: lengths of dense vectors by collection and name, where they were seen.
    """

    service: str
    at: float
    facets: tuple[Facet, ...] = ()
    seconds: float | None = None
    maintenance: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    sizes: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    @property
    def failed(self) -> tuple[Facet, ...]:
        """What is not as it should be."""
        return tuple(facet for facet in self.facets if facet.passed is False)

    @property
    def verdict(self) -> Verdict:
        """The worst of its facets; what is not known does not count."""
        if any(not facet.minor for facet in self.failed):
            return "unhealthy"
        if self.failed:
            return "degraded"
        return "healthy" if any(facet.passed for facet in self.facets) else "unknown"

    @property
    def text(self) -> str:
        """What is wrong, or what it answered, in one line."""
        said = self.failed or tuple(facet for facet in self.facets if facet.name == "ready")
        return "; ".join(facet.detail for facet in said if facet.detail) or "not asked"

    @property
    def reached(self) -> bool:
        """Something accepted the connection, as far as is known."""
        return not any(facet.name == "reachable" for facet in self.failed)

    def with_facets(self, more: Iterable[Facet]) -> Sample:
        """The same with these facets in the place of those of the same names."""
        new = {facet.name: facet for facet in more}
        kept = [new.pop(facet.name, facet) for facet in self.facets]
        return replace(self, facets=(*kept, *new.values()))

    def facet(self, name: str) -> Facet | None:
        """One facet, where it was looked at."""
        return next((facet for facet in self.facets if facet.name == name), None)
