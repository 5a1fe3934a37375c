"""Does what a service holds fit together: vector sizes with the model and the settings, counts with the last backup.

Loss is an error, because it can be undone: a store with less than half of the records of its last good backup (the
share is a setting), a vector collection that is gone or empty, or a database that does not exist any more or has none
of its tables. Everything else only degrades: a single table may well be emptied by its owner, and a wrong dimension is
a mistake in the configuration that no restart mends.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from archon_dagster.health.knowledge import Counts, Expected, Knowledge
from archon_dagster.health.samples import Facet, Sample
from archon_dagster.platform.services import ARCHON_COLLECTIONS, BY_NAME
from archon_dagster.platform.settings import Settings

FEW = 10  # records; a part that had fewer may come and go
DATABASE_GONE = re.compile(r'database ".*" does not exist')
"""What PostgreSQL says of a database that is not there: the server itself is well, and accepts connections."""


def judge(sample: Sample, known: Knowledge, settings: Settings) -> Facet | None:
    """The ``consistent`` of a service, where that applies to it."""
    if sample.service == "ollama":
        return _model_fits(known, settings)
    store = BY_NAME[sample.service].store
    if store is None:
        return None
    if any(facet.name not in ("fast", "consistent") and not facet.minor for facet in sample.failed):
        return Facet("consistent", None, "not compared while it is not well")
    before = known.expected.get(store)
    if store == "vectors":
        seen = sample.facet("functional")
        if seen is not None and seen.passed is None:
            return Facet("consistent", None, f"not compared: {seen.detail}")
        before = _counted(before, sample)
        if before is not None and not before.counts and known.expected[store].counts:
            return Facet("consistent", None, f"not compared: {seen.detail if seen else ''}")
    facets = [_counts_fit(_live(sample, known, store), before, store, settings)]
    if store == "vectors":
        facets.append(_sizes_fit(sample.sizes, known.model.length, settings))
    return _merged(facets)


def _counted(before: Expected | None, sample: Sample) -> Expected | None:
    """Without the collections that this round had no time to count: what was not seen is not gone."""
    seen = sample.facet("functional")
    unseen = set(seen.parts if seen is not None else ()) - sample.counts.keys()
    if before is None or not unseen & before.counts.keys():
        return before
    return replace(before, counts={name: count for name, count in before.counts.items() if name not in unseen})


def _live(sample: Sample, known: Knowledge, store: str) -> Counts:
    if store == "vectors":
        return Counts(sample.counts)
    return known.live.get(store) or Counts(None, "it was not counted yet")


def _counts_fit(live: Counts, before: Expected | None, store: str, settings: Settings) -> Facet:
    if before is None:
        return Facet("consistent", None, "there is no good backup to compare the counts with")
    now, had = live.counts, sum(before.counts.values())
    if now is None and store == "relational" and DATABASE_GONE.search(live.detail):
        said = f"{live.detail}; {had:,} records in backup {before.backup}"
        return Facet("consistent", False, said, problem="database_gone")
    if now is None:
        return Facet("consistent", None, f"it could not be counted: {live.detail}")
    have = sum(now.get(part, 0) for part in before.counts)
    gone = tuple(part for part, count in before.counts.items() if count >= FEW and not now.get(part))
    dropped = tuple(part for part in before.counts if part not in now)
    said = f"{have:,} records, {had:,} in backup {before.backup}"
    collapsed = had >= FEW and have < had * settings.health_collapsed
    all_dropped = had > 0 and len(dropped) == len(before.counts)
    if collapsed or all_dropped or gone:
        named = f"; {_named(gone or dropped, set(dropped))}" if gone or all_dropped else ""
        minor = not (collapsed or all_dropped) and store != "vectors"
        return Facet("consistent", False, said + named, minor=minor, problem="count_collapsed", parts=gone)
    return Facet("consistent", True, said)


def _named(parts: tuple[str, ...], dropped: set[str]) -> str:
    """Which are not there any more, and which are there without a record."""
    empty, gone = [part for part in parts if part not in dropped], [part for part in parts if part in dropped]
    said = [f"gone: {', '.join(gone)}"] if gone else []
    return "; ".join(said + ([f"empty: {', '.join(empty)}"] if empty else []))


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
