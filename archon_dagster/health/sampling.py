"""One concurrent round over all services.

Every service gets its own time, none more than the round has, and one that hangs in spite of that is left behind in a
daemon thread: a round ends in time with everything dead or frozen. Nothing here decides anything: a sample is what was
seen.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from archon_dagster.asking import ask_all
from archon_dagster.health.samples import Facet, Problem, Sample
from archon_dagster.platform.probes import Answer, address, probe
from archon_dagster.platform.probes.collections import CollectionReport, Examination, examine
from archon_dagster.platform.runtime.protocol import Runtime
from archon_dagster.platform.services import CATALOGUE, Service
from archon_dagster.platform.settings import Settings

UNSEEN = "not examined"
"""Said of collections of which a round has found out nothing."""

_LONGEST = 500  # characters kept of a list of names

MARGIN = 0.3  # seconds of a round kept for what is not waiting for a server


@dataclass(frozen=True, slots=True)
class Watched:
    """Who is asked, and why the others are not."""

    services: tuple[Service, ...]
    left_out: Mapping[str, str]


def watched(settings: Settings, runtime: Runtime) -> Watched:
    """The services of this runtime (of the settings where they name some) and the configured external ones."""
    ours = settings.health_watched or _default(runtime)
    left_out: dict[str, str] = {}
    asked: list[Service] = []
    for service in CATALOGUE:
        if service.external and not address(service, settings):
            left_out[service.name] = f"not configured: {service.address_setting} is not set"
        elif service.name in ours or (service.external and not settings.health_watched):
            asked.append(service)
        elif settings.health_watched:
            left_out[service.name] = "not among ARCHON_HEALTH_WATCHED"
        else:
            left_out[service.name] = "this platform does not have it"
    return Watched(tuple(asked), left_out)


def _default(runtime: Runtime) -> tuple[str, ...]:
    """Of servers that run elsewhere only the stores have addresses of which one can be sure."""
    if runtime.kind == "elsewhere":
        return tuple(service.name for service in CATALOGUE if service.store)
    return runtime.services()


def take_samples(
    services: Iterable[Service], settings: Settings, clock: Callable[[], float] = time.time
) -> dict[str, Sample]:
    """One round: ask these services at once, within the limit of a round."""
    limit = settings.health_round_limit
    chosen = [_within(service, limit - MARGIN) for service in services]
    answers = ask_all({one.name: partial(_sample, one, settings, clock) for one in chosen}, limit)
    return {one.name: _in_time(one, answers[one.name], settings, clock) for one in chosen}


def _in_time(service: Service, sample: Sample | Exception, settings: Settings, clock: Callable[[], float]) -> Sample:
    """What came within the time; a probe that hangs or raises has met a service that is not well."""
    if isinstance(sample, Sample):
        return sample
    late = isinstance(sample, TimeoutError)
    text = str(sample) if late else f"its answer cannot be read: {type(sample).__name__}: {sample}"[:300]
    return _as_sample(service, Answer(False, text, settings.health_round_limit), settings, clock)


def _within(service: Service, limit: float) -> Service:
    return replace(service, probe=replace(service.probe, timeout=min(service.probe.timeout, max(0.05, limit))))


def _sample(service: Service, settings: Settings, clock: Callable[[], float]) -> Sample:
    if service.probe.kind == "qdrant":
        return _qdrant_sample(service, settings, clock)
    return _as_sample(service, probe(service, settings), settings, clock)


def _as_sample(service: Service, answer: Answer, settings: Settings, clock: Callable[[], float]) -> Sample:
    told = answer.seconds if answer.ok or answer.degraded else None
    return Sample(service.name, clock(), _facets(service, answer, settings), told)


def _facets(service: Service, answer: Answer, settings: Settings) -> tuple[Facet, ...]:
    """Reachable, ready and fast, from one answer."""
    if not answer.reached:
        unknown = Facet("ready", None, "it cannot be reached"), Facet("fast", None, "it cannot be reached")
        return (Facet("reachable", False, answer.text, problem="unreachable"), *unknown)
    return Facet("reachable", True, "accepts connections"), _ready(answer), _fast(service, answer, settings)


def _ready(answer: Answer) -> Facet:
    if answer.ok:
        return Facet("ready", True, answer.text)
    if answer.degraded:
        return Facet("ready", False, answer.text, minor=True, problem="says_degraded")
    silent = answer.text.startswith("no answer within")
    return Facet("ready", False, answer.text, problem="silent" if silent else "not_ready")


def _fast(service: Service, answer: Answer, settings: Settings) -> Facet:
    policy = settings.health_policies.get(service.name)
    limit = (policy.slow_after if policy else None) or service.probe.slow_after
    if not answer.ok and not answer.degraded:
        return Facet("fast", None, "there was no good answer to be timed")
    said = f"{answer.seconds * 1000:.0f} ms, threshold {limit * 1000:.0f} ms"
    slow = answer.seconds > limit
    return Facet("fast", not slow, said, minor=True, problem="slow" if slow else "")


# qdrant


def _qdrant_sample(service: Service, settings: Settings, clock: Callable[[], float]) -> Sample:
    found = examine(service, settings, service.probe.timeout, random.Random())
    sample = _as_sample(service, found.answer, settings, clock)
    if not found.answer.ok:
        why = f"{UNSEEN}: it did not list its collections" if found.answer.degraded else "the server is not ready"
        return sample.with_facets((Facet("functional", None, why),))
    sample = sample.with_facets((*_loaded(found), _known_answers(found.collections)))
    return replace(
        sample,
        counts={report.name: report.points for report in found.collections if report.points is not None},
        sizes={report.name: dict(report.sizes) for report in found.collections if report.sizes},
    )


def _loaded(found: Examination) -> tuple[Facet, ...]:
    """The ``ready`` of a server that says it is, with collections that cannot be read or are red."""
    bad = [report for report in found.collections if report.condition in ("dead", "red")]
    dead = [report for report in bad if report.condition == "dead"]
    if not bad:
        return ()
    said = "; ".join(
        f"collection {one.name} cannot be read: {one.detail}" if one in dead else one.detail for one in bad
    )
    problem: Problem = "dead_collection" if dead else "not_ready"
    return (Facet("ready", False, said, problem=problem, parts=_names(dead or bad)),)


def _known_answers(reports: Iterable[CollectionReport]) -> Facet:
    reports = tuple(reports)
    garbage = [report for report in reports if report.condition == "garbage"]
    if garbage:
        said = "; ".join(f"collection {report.name}: {report.detail}" for report in garbage)
        return Facet("functional", False, said, problem="garbage_collection", parts=_names(garbage))
    good = [report for report in reports if report.condition == "good"]
    open_ = [report for report in reports if report.condition in ("unknown", "dead", "red")]
    if open_ and not good:
        return Facet("functional", None, f"{UNSEEN}: {', '.join(_names(open_))}")
    rest = f"; {UNSEEN}: {', '.join(_names(open_))}" if open_ else ""
    said = f"{len(good)} collections find their own points{rest}"
    return Facet("functional", True, said, parts=_names(open_))  # what it does not speak for


def unexamined(sample: Sample | None) -> str:
    """What a round has found out nothing about, in words; empty where it saw everything, or nobody was asked."""
    seen = sample.facet("functional") if sample is not None else None
    return seen.detail[:_LONGEST] if seen is not None and (seen.passed is None or UNSEEN in seen.detail) else ""


def _names(reports: Iterable[CollectionReport]) -> tuple[str, ...]:
    return tuple(report.name for report in reports)
