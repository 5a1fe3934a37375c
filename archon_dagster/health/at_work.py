"""A backup holds writers still, a restore or a start has services down for a while: none of that is a failure.

Asked only when something does not answer. While a backup is at work, the silence of a writer says nothing; while a
restore or a start is, everything that this platform runs is in maintenance. Who works says so as the purpose of the
platform lock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from archon_dagster.asking import ask_all
from archon_dagster.health.samples import Sample
from archon_dagster.platform.services import BY_NAME
from archon_dagster.platform.settings import Settings
from archon_dagster.repository.repository import Repository

LIMIT = 1.0  # seconds
SERVICES_ARE_DOWN = ("restore", "start", "cold start", "cold_start")
"""How the purposes of such work begin."""


def purpose(settings: Settings) -> str:
    """What the holder of the platform lock does, e.g. ``restore of 2026…``; empty where nobody is known to hold it."""
    return _asked(settings) or ""


def is_held(settings: Settings) -> bool | None:
    """Whether somebody holds the platform lock; ``None``: the repository does not say."""
    answer = _asked(settings)
    return None if answer is None else answer != ""


def _asked(settings: Settings) -> str | None:
    if settings.repository_setting is None and not Path(settings.repository).exists():
        return ""  # the default one, which the first backup makes

    def ask() -> str:
        holder = Repository.open(settings.repository).holder()
        return (holder.purpose or "unknown work") if holder else ""

    answer = ask_all({"holder": ask}, LIMIT)["holder"]
    return answer if isinstance(answer, str) else None


def excuse(samples: Mapping[str, Sample], work: str) -> dict[str, Sample]:
    """The samples with what the work at hand explains taken out."""
    return {name: _excused(sample, work) for name, sample in samples.items()}


def _excused(sample: Sample, work: str) -> Sample:
    service = BY_NAME[sample.service]
    if not work or service.external or sample.maintenance:
        return sample
    if work.startswith(SERVICES_ARE_DOWN):
        return replace(sample, maintenance=f"{work} is at work")
    if "backup" in work and service.writer and sample.verdict == "unhealthy":
        told = tuple(replace(f, passed=None, detail=f"held still by the {work}", problem="") for f in sample.failed)
        known = tuple(replace(f, passed=None) for f in sample.facets if f.passed)
        return replace(sample, facets=known, seconds=None).with_facets(told)
    return sample
