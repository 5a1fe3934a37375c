"""What restores mean for what is known.

One that has succeeded makes every earlier count worthless: it is counted anew at once, not a minute later. One that was
interrupted has left the stores it had begun to replace neither as they were nor as the backup has them, however well
their servers answer. (While a restore is at work, everything is in maintenance: :mod:`.at_work`.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from archon_dagster.health.knowledge import Knowledge
from archon_dagster.health.samples import Facet, Sample
from archon_dagster.platform.services import BY_NAME
from archon_dagster.platform.settings import Settings
from archon_dagster.restore.journal import Journal, JournalFile


def forget_what_was_before(known: Knowledge, settings: Settings) -> Knowledge:
    """Without the counts from before the last restore, which are due again then."""
    last = JournalFile(settings).last()
    if last is None or known.live_at > last.at.timestamp():
        return known
    return replace(known, live={}, live_at=0.0, claims={}, expected_at=0.0)


def mark_half_restored(samples: Mapping[str, Sample], settings: Settings) -> dict[str, Sample]:
    """The samples; those of stores that an interrupted restore had begun to replace are not consistent."""
    journal = JournalFile(settings).read()
    touched = journal.touched if journal else ()
    return {
        name: _marked(sample, journal) if journal and BY_NAME[name].store in touched else sample
        for name, sample in samples.items()
    }


def _marked(sample: Sample, journal: Journal) -> Sample:
    """A loss that is seen stays what it is, with the reason beside it."""
    said = f"half restored: the {journal.what} was interrupted; {journal.advice}"
    seen = sample.facet("consistent")
    if seen is not None and seen.passed is False and not seen.minor:
        return sample.with_facets((replace(seen, detail=f"{seen.detail}; {said}"),))
    return sample.with_facets((Facet("consistent", False, said, problem="half_restored", parts=_parts(journal)),))


def _parts(journal: Journal) -> tuple[str, ...]:
    """The collection, where the restore concerned no more than one."""
    words = journal.options
    return (words[words.index("--collection") + 1],) if "--collection" in words else ()
