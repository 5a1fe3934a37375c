"""Does what a service holds fit together: vector sizes with the model and the settings, counts with the last backup.

Loss is an error, because it can be undone: a store with less than half of the records of its last good backup (the
share is a setting), or a vector collection that is gone or empty. Everything else only degrades: a single table may
well be emptied by its owner, and a wrong dimension is a mistake in the configuration that no restart mends.
"""

from __future__ import annotations

from collections.abc import Mapping

from archon_dagster.health.knowledge import Expected, Knowledge
from archon_dagster.health.samples import Facet, Sample
from archon_dagster.platform.services import ARCHON_COLLECTIONS, BY_NAME
from archon_dagster.platform.settings import Settings

FEW = 10  # records; a part that had fewer may come and go


def judge(sample: Sample, known: Knowledge, settings: Settings) -> Facet | None:
    """The ``consistent`` of a service, where that applies to it."""
    if sample.service == "ollama":
        return _model_fits(known, settings)
    store = BY_NAME[sample.service].store
    if store is None:
        return None
    if any(facet.name != "fast" and not facet.minor for facet in sample.failed):
        return Facet("consistent", None, "not compared while it is not well")
    facets = [_counts_fit(_live(sample, known, store), known.expected.get(store), store, settings)]
    if store == "vectors":
        facets.append(_sizes_fit(sample.sizes, known.model.length, settings))
    return _merged(facets)


def _live(sample: Sample, known: Knowledge, store: str) -> Mapping[str, int] | None:
    if store == "vectors":
        return sample.counts
    counted = known.live.get(store)
    return counted.counts if counted else None


def _counts_fit(now: Mapping[str, int] | None, before: Expected | None, store: str, settings: Settings) -> Facet:
    if before is None:
        return Facet("consistent", None, "there is no good backup to compare the counts with")
    if now is None:
        return Facet("consistent", None, "it could not be counted")
    have, had = sum(now.get(part, 0) for part in before.counts), sum(before.counts.values())
    gone = tuple(part for part, count in before.counts.items() if count >= FEW and not now.get(part))
    said = f"{have:,} records, {had:,} in backup {before.backup}"
    collapsed = had >= FEW and have < had * settings.health_collapsed
    if collapsed or gone:
        named = f"; empty or gone: {', '.join(gone)}" if gone else ""
        minor = not collapsed and store != "vectors"
        return Facet("consistent", False, said + named, minor=minor, problem="count_collapsed", parts=gone)
    return Facet("consistent", True, said)


def _sizes_fit(sizes: Mapping[str, Mapping[str, int]], model: int | None, settings: Settings) -> Facet:
    """The collections that Archon uses, against the settings and against the model's real output."""
    wanted = settings.embedding_dimensions
    ours = {name: sizes[name] for name in ARCHON_COLLECTIONS if name in sizes}
    wrong = {name: found for name, found in ours.items() if any(size != wanted for size in found.values())}
    said = [
        f"vectors of {name} have {', '.join(map(str, found.values()))} dimensions, EMBEDDING_DIMENSIONS is {wanted}"
        for name, found in wrong.items()
    ]
    parts = set(wrong)
    if model is not None and model != wanted:
        said.append(f"{settings.embedding_model} returns {model} numbers, EMBEDDING_DIMENSIONS is {wanted}")
        parts |= {name for name, found in ours.items() if model not in found.values()}
    if said:
        return Facet("consistent", False, "; ".join(said), True, "wrong_dimension", tuple(sorted(parts)))
    return Facet("consistent", True, f"{wanted} dimensions") if ours else Facet("consistent", None, "no collection")


def _model_fits(known: Knowledge, settings: Settings) -> Facet:
    length, wanted = known.model.length, settings.embedding_dimensions
    if length is None:
        return Facet("consistent", None, known.model.detail)
    if length == wanted:
        return Facet("consistent", True, f"{length} dimensions")
    said = f"{settings.embedding_model} returns {length} numbers, EMBEDDING_DIMENSIONS is {wanted}"
    return Facet("consistent", False, said, minor=True, problem="wrong_dimension")


def _merged(facets: list[Facet]) -> Facet:
    """One facet of several: the worst counts, everything that is known is said."""
    failed = sorted((facet for facet in facets if facet.passed is False), key=lambda facet: facet.minor)
    if failed:
        first = failed[0]
        said = "; ".join(facet.detail for facet in failed)
        return Facet("consistent", False, said, first.minor, first.problem, first.parts)
    known = [facet for facet in facets if facet.passed]
    said = "; ".join(facet.detail for facet in known or facets)
    return Facet("consistent", True if known else None, said)
