"""The slower looks: the end-to-end test, the counts, the model; each at its own pace.

One that fails is made again at once until it is confirmed, and is then due in every round until it passes, so that
neither the failure nor its end is noticed ten minutes late. While somebody backs up or restores, nothing is written and
nothing is compared.

After a test that search did not answer, what it may have indexed since is deleted.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from archon_dagster.asking import ask_all
from archon_dagster.errors import ArchonError, BackupNotFound
from archon_dagster.health import claims, late_documents
from archon_dagster.health.at_work import purpose
from archon_dagster.health.consistency import judge
from archon_dagster.health.end_to_end import Busy, run_end_to_end, sweep_again
from archon_dagster.health.knowledge import Counts, Expected, Knowledge, Model, Tested
from archon_dagster.health.samples import Facet, Problem, Sample
from archon_dagster.platform.probes.answer import FAILURES, Unwell, in_words
from archon_dagster.platform.probes.externals import embedding_length
from archon_dagster.platform.runtime.protocol import Runtime
from archon_dagster.platform.services import BY_NAME
from archon_dagster.platform.settings import Settings
from archon_dagster.repository.manifest import Manifest
from archon_dagster.repository.repository import Repository
from archon_dagster.stores.base import StoreName
from archon_dagster.stores.open import open_stores

log = logging.getLogger(__name__)

LIMIT = 12.0  # seconds of all of them together
EXPECTED_EVERY = 5  # so many times slower than the counts is the repository asked
COUNTED: tuple[StoreName, ...] = ("graph", "relational")  # the vectors are counted in every round
COMPARED: tuple[StoreName, ...] = ("vectors", *COUNTED)


def look(
    known: Knowledge,
    samples: Mapping[str, Sample],
    settings: Settings,
    runtime: Runtime,
    now: float,
    *,
    only_reading: bool = False,
) -> Knowledge:
    """What is known after everything that is due has been looked at, side by side, within :data:`LIMIT`.

    :param only_reading: leave out what writes to the platform or makes it work hard.
    """
    suspicious = _suspicious(known, samples, settings)
    seldom = EXPECTED_EVERY if known.expected else 1  # until there is a first backup, it is waited for
    due = {
        "end_to_end": _due(known.end_to_end.at, settings.health_end_to_end, now, again=known.end_to_end.passed is False)
        and _well(samples, "archon-search", "qdrant"),
        "model": _due(known.model.at, settings.health_model, now, again=known.model.passed is False)
        and settings.embedding_model is not None
        and _well(samples, "ollama"),
        "live": _due(known.live_at, settings.health_counts, now, again=suspicious or _came_back(known, samples)),
        "expected": _due(known.expected_at, settings.health_counts * seldom, now, again=suspicious),
    }
    due["late"] = not due["end_to_end"] and _well(samples, "qdrant") and late_documents.is_due(settings.home, now)
    if only_reading:
        due |= {"end_to_end": False, "model": False, "late": False}
    if (due["end_to_end"] or due["live"] or due["late"]) and purpose(settings):
        due |= {"end_to_end": False, "live": False, "late": False}
    looks: dict[str, Callable[[], object]] = {
        "end_to_end": lambda: _test(settings, now),
        "model": lambda: _ask_model(settings, now),
        "live": lambda: _count(samples, settings, runtime),
        "expected": lambda: _expected(settings),
        "late": lambda: sweep_again(settings, now),
    }
    questions = {name: look for name, look in looks.items() if due[name]}
    known = _learned(known, ask_all(questions, LIMIT) if questions else {}, now)
    if due["live"]:
        well = {name: sample for name, sample in samples.items() if not sample.maintenance and not _broken(sample)}
        known = replace(known, claims=claims.ask(well, known, settings, now))
    return known


def _learned(known: Knowledge, answers: Mapping[str, object], now: float) -> Knowledge:
    for name, answer in answers.items():
        failed = isinstance(answer, Exception)
        if name == "late" and failed:  # tried again in the next round
            log.warning("documents of end-to-end tests that came late could not be deleted: %s", answer)
        elif isinstance(answer, Tested):
            known = replace(known, end_to_end=answer)
        elif isinstance(answer, Model):
            known = replace(known, model=answer)
        elif name == "end_to_end":
            known = replace(known, end_to_end=Tested(None, str(answer), now))
        elif name == "model":
            known = replace(known, model=Model(None, known.model.length, str(answer), now))
        elif name == "live":
            counted: Mapping[str, Counts] = {} if failed else answer  # type: ignore[assignment]
            known = replace(known, live={**known.live, **counted}, live_at=now)
        elif name == "expected" and failed:
            known = replace(known, expected_trouble=str(answer).splitlines()[0], expected_at=now)
        elif name == "expected":
            known = replace(known, expected=answer, expected_trouble="", expected_at=now)  # type: ignore[arg-type]
    return known


def facets(sample: Sample, known: Knowledge, settings: Settings) -> Sample:
    """The sample with what is known besides."""
    more: list[Facet] = []
    if sample.service == "archon-search":
        claim, tested = known.claims.get(sample.service), known.end_to_end
        if claim is not None and tested.passed is None:
            more.append(_claimed(claim))
        else:
            problem: Problem = "end_to_end" if tested.passed is False else ""
            more.append(Facet("functional", tested.passed, tested.detail, problem=problem))
    if sample.service == "archon-bridge" and (claim := known.claims.get(sample.service)) is not None:
        more.append(_claimed(claim))
    if sample.service == "ollama":
        model = known.model
        more.append(
            Facet("functional", model.passed, model.detail, problem="no_vector" if model.passed is False else "")
        )
    consistent = judge(sample, known, settings)
    return sample.with_facets([*more, consistent] if consistent else more)


def _claimed(claim: Tested) -> Facet:
    return Facet("functional", claim.passed, claim.detail, problem="false_claim" if claim.passed is False else "")


def _due(last: float, every: float, now: float, *, again: bool) -> bool:
    return every > 0 and (again or now - last >= every or last > now)


def _well(samples: Mapping[str, Sample], *names: str) -> bool:
    """These services are there and answer; a test of one that does not would only repeat what is known."""
    return all(name in samples and not samples[name].maintenance and not _broken(samples[name]) for name in names)


def _broken(sample: Sample) -> bool:
    return any(facet.name in ("reachable", "ready") and not facet.minor for facet in sample.failed)


def _suspicious(known: Knowledge, samples: Mapping[str, Sample], settings: Settings) -> bool:
    judged = (judge(sample, known, settings) for sample in samples.values())
    suspected = any(facet is not None and facet.problem in ("count_collapsed", "database_gone") for facet in judged)
    return suspected or any(claim.passed is False for claim in known.claims.values())


def _came_back(known: Knowledge, samples: Mapping[str, Sample]) -> bool:
    """A store that did not answer last time does now: whatever has happened to it, it may be empty."""
    ready = {BY_NAME[name].store for name, sample in samples.items() if not _broken(sample)}
    return any(counts.down and store in ready for store, counts in known.live.items())


def _test(settings: Settings, now: float) -> Tested:
    """Made until it passes, at most as often as a failure needs to be believed."""
    pause = threading.Event()
    for attempt in range(settings.health_failures):
        if attempt:
            pause.wait(settings.health_reprobe)
        try:
            outcome = run_end_to_end(settings, limit=max(1.0, LIMIT / settings.health_failures - 1.0))
        except Busy as busy:
            return Tested(None, str(busy), now)
        if outcome.passed:
            break
    return Tested(outcome.passed, outcome.detail, now, outcome.seconds)


def _ask_model(settings: Settings, now: float) -> Model:
    begin, detail = time.monotonic(), ""
    for attempt in range(settings.health_failures):
        if attempt:
            threading.Event().wait(settings.health_reprobe)
        try:
            length = embedding_length(settings, timeout=5.0)
            return Model(True, length, f"{length} numbers in {(time.monotonic() - begin) * 1000:.0f} ms", now)
        except Unwell as bad:
            detail = str(bad)
        except (*FAILURES, KeyError, TypeError) as error:
            detail = in_words(error, 5.0)
    return Model(False, None, detail, now)


def _count(samples: Mapping[str, Sample], settings: Settings, runtime: Runtime) -> dict[str, Counts]:
    """Count the stores that answer; the others are marked, to be counted as soon as they do."""
    stores = open_stores(settings, runtime)
    found: dict[str, Counts] = {}
    asked: dict[str, Callable[[], object]] = {}
    for name, sample in samples.items():
        store = BY_NAME[name].store
        if store not in COUNTED:
            continue
        if _broken(sample):
            found[store] = Counts(None, "it does not answer", down=True)
        else:
            asked[store] = stores[store].describe
    for store, answer in (ask_all(asked, LIMIT - 2.0) if asked else {}).items():
        counts = getattr(answer, "counts", None)
        found[store] = Counts(counts, "" if counts is not None else str(answer).splitlines()[0])
    return found


def _expected(settings: Settings) -> dict[str, Expected]:
    """What the newest good backup of each store holds; nothing where there is no repository yet."""
    try:
        repository = Repository.open(settings.repository)
    except ArchonError:
        if settings.repository_setting is None:
            return {}  # the default one, which the first backup makes
        raise
    found: dict[str, Expected] = {}
    for store in COMPARED:
        try:
            manifest = repository.resolve("latest", stores=(store,))
        except BackupNotFound:
            continue
        found[store] = Expected(manifest.id, _captured(manifest, store))
    return found


def _captured(manifest: Manifest, store: str) -> dict[str, int]:
    """Records per part as captured; what is beside the content (roles) has no fingerprint, and no live count."""
    counts: dict[str, int] = {}
    for artifact in manifest.of_store(store):
        counts |= artifact.counts if artifact.fingerprint else {}
    return counts
