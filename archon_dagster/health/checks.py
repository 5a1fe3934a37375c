"""Samples as Dagster events: what a check says, and what an asset shows."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import dagster as dg

from archon_dagster.health.evaluation import ServiceState
from archon_dagster.health.history import History
from archon_dagster.health.monitor import Tick
from archon_dagster.health.samples import FACETS, Facet, FacetName, Sample
from archon_dagster.health.summary import explained, last_hour, milliseconds, response_table, state_text
from archon_dagster.platform.services import CATALOGUE

GROUP = "health"
KEYS = {service.name: dg.AssetKey(["health", service.name]) for service in CATALOGUE}

Metadata = dict[str, dg.MetadataValue[Any]]

_MEANING: dict[FacetName, str] = {
    "reachable": "Something accepts the connection.",
    "ready": "It answers and says that it is well; Qdrant: every collection can be read.",
    "fast": "It answers within its threshold.",
    "functional": "It does its work.",
    "consistent": "What it holds fits: vector sizes with the model, counts with the last backup.",
}
_FUNCTIONAL = {
    "qdrant": "In every collection stored points find themselves.",
    "archon-bridge": "It knows of what the graph holds.",
    "archon-search": "A marked document was indexed, found, seen in Qdrant and deleted.",
    "ollama": "The embedding model returns a vector.",
}

SPECS = [
    dg.AssetCheckSpec(
        facet,
        asset=KEYS[name],
        description=_FUNCTIONAL[name] if facet == "functional" else _MEANING[facet],
    )
    for name, facets in FACETS.items()
    for facet in facets
]


def evaluations(sample: Sample, causes: tuple[str, ...]) -> Iterator[dg.AssetCheckEvaluation]:
    """An event for each facet that is known; in maintenance there is none."""
    for facet in _known(sample):
        yield dg.AssetCheckEvaluation(
            asset_key=KEYS[sample.service],
            check_name=facet.name,
            passed=bool(facet.passed),
            severity=_severity(facet, causes),
            metadata=_facet_metadata(facet, sample, causes),
            description=explained(facet.detail, causes) if not facet.passed else facet.detail,
        )


def results(sample: Sample, causes: tuple[str, ...]) -> Iterator[dg.AssetCheckResult]:
    """The same as results of a run."""
    for facet in _known(sample):
        yield dg.AssetCheckResult(
            asset_key=KEYS[sample.service],
            check_name=facet.name,
            passed=bool(facet.passed),
            severity=_severity(facet, causes),
            metadata=_facet_metadata(facet, sample, causes),
            description=explained(facet.detail, causes) if not facet.passed else facet.detail,
        )


def observation(name: str, found: Tick, history: History) -> dg.AssetObservation:
    """One service now, with its response times: Dagster plots the numbers."""
    return dg.AssetObservation(KEYS[name], metadata=metadata(name, found, history))


def metadata(name: str, found: Tick, history: History) -> Metadata:
    """What is shown of a service."""
    sample, state = found.samples[name], found.state.services[name]
    causes = found.state.causes.get(name, ())
    shown: Metadata = {
        "state": dg.MetadataValue.text(state_text(state)),
        "answer": dg.MetadataValue.text(explained(sample.maintenance or sample.text, causes)),
        "response times": dg.MetadataValue.md(response_table(history, name, found.state.at)),
    }
    hour = last_hour(history, name, found.state.at)
    numbers = {
        "response time (ms)": milliseconds(sample),
        "median of the last hour (ms)": hour.p50 and round(hour.p50 * 1000, 1),
        "95 % of the last hour below (ms)": hour.p95 and round(hour.p95 * 1000, 1),
    }
    shown |= {label: dg.MetadataValue.float(value) for label, value in numbers.items() if value is not None}
    return shown | _since(state)


def _known(sample: Sample) -> Iterator[Facet]:
    """What is told of a sample. A service that cannot be reached is not ready either: a green answer of before would
    stay beside the red one and mislead."""
    if sample.maintenance:
        return
    for facet in sample.facets:
        known = replace(facet, passed=False) if facet.name == "ready" and not sample.reached else facet
        if known.passed is not None:
            yield known


def _severity(facet: Facet, causes: tuple[str, ...]) -> dg.AssetCheckSeverity:
    """A failure that another service explains is no error of this one."""
    return dg.AssetCheckSeverity.WARN if facet.minor or causes else dg.AssetCheckSeverity.ERROR


def _facet_metadata(facet: Facet, sample: Sample, causes: tuple[str, ...]) -> Metadata:
    shown: Metadata = {"detail": dg.MetadataValue.text(facet.detail)}
    time = milliseconds(sample)
    if facet.name == "fast" and time is not None:
        shown["response time (ms)"] = dg.MetadataValue.float(time)
    if facet.problem:
        shown["problem"] = dg.MetadataValue.text(facet.problem)
    if facet.parts:
        shown["about"] = dg.MetadataValue.text(", ".join(facet.parts))
    if causes and not facet.passed:
        shown["because of"] = dg.MetadataValue.text(", ".join(causes))
    return shown


def _since(state: ServiceState) -> Metadata:
    return {"since": dg.MetadataValue.timestamp(state.since)} if state.since else {}
