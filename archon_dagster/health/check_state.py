"""Which checks of a service fail, each believed as slowly as the service itself.

A service is confirmed as a whole. Which of its checks fails may differ from sample to sample while it stays degraded,
so whoever tells of a single check needs it confirmed too: ``failures`` bad samples in a row, ``successes`` good ones
before it passes again. What a sample does not say of a check changes nothing while something else fails; of a service
that is well it has nothing against it: there is nothing to compare any more, or it is not tested any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from archon_dagster.health.samples import Facet, Sample


@dataclass(frozen=True, slots=True)
class CheckState:
    """What is believed of one check, and what speaks against it.

    :param failing: it is believed to fail. :param since: the first of the samples that led there.
    :param streak: samples in a row that speak for the opposite; :param pending_since: the first of them.
    :param facet: what it said when it failed last.
    """

    failing: bool = False
    since: float = 0.0
    streak: int = 0
    pending_since: float = 0.0
    facet: Facet | None = None


Checks = Mapping[str, CheckState]
"""By name; one that passes and has nothing against it is left out."""

PASSING = CheckState()


def advance_checks(before: Checks, sample: Sample, now: float, failures: int, successes: int) -> dict[str, CheckState]:
    """The checks of a service after one more sample; in maintenance all of them are judged anew."""
    if sample.maintenance:
        return {}
    known: dict[str, Facet] = {facet.name: facet for facet in sample.facets if facet.passed is not None}
    after = {**before}
    for name in {*before, *known} if sample.verdict == "healthy" else known:
        after[name] = _advanced(before.get(name, PASSING), known.get(name), now, failures, successes)
    return {name: check for name, check in after.items() if check != PASSING}


def _advanced(check: CheckState, facet: Facet | None, now: float, failures: int, successes: int) -> CheckState:
    fails = facet is not None and facet.passed is False
    if fails == check.failing:
        return replace(check, streak=0, pending_since=0.0, facet=facet) if fails else PASSING
    first = check.pending_since if check.streak else now
    seen = replace(check, streak=check.streak + 1, pending_since=first, facet=facet if fails else check.facet)
    if seen.streak < (failures if fails else successes):
        return seen
    return CheckState(failing=True, since=first, facet=facet) if fails else PASSING
