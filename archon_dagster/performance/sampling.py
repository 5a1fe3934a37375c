"""One question, asked often enough to say something: one at a time, bounded in number and in time.

A single request says next to nothing: the first one pays for the connection, any may meet a pause of the server. So the
first answer's time is not counted, and what counts are quantiles of the others. An answer that is bad is never counted
as a fast one.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from archon_dagster.errors import ArchonError, Cancelled
from archon_dagster.performance.measures import Area, Found, Missing, Reading, Site
from archon_dagster.platform.probes.answer import FAILURES, Unwell, in_words

TIMEOUT = 5.0  # seconds of one answer
QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}

Ask = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Sample:
    """The answers to one question.

    :param times: seconds of each good answer, sorted. :param failed: how many were bad. :param why: the last bad one.
    """

    times: tuple[float, ...]
    failed: int = 0
    why: str = ""

    @property
    def asked(self) -> int:
        """How often it was asked."""
        return len(self.times) + self.failed

    def quantile(self, share: float) -> float:
        """Seconds within which that share of the good answers came (nearest rank)."""
        return self.times[max(0, math.ceil(share * len(self.times)) - 1)]


def take(ask: Ask, count: int, seconds: float, cancel: threading.Event) -> Sample:
    """Ask ``count`` times, or for so many seconds, whichever ends first; :class:`Cancelled` when that is asked for."""
    times: list[float] = []
    failed, why = 0, ""
    until = time.monotonic() + seconds
    for number in range(count + 1):  # the first one's time is that of a connection
        if cancel.is_set():
            raise Cancelled("the measurement was cancelled on request", todo="archon performance measures again")
        begin = time.monotonic()
        try:
            ask()
        except Cancelled:
            raise
        except (Unwell, ArchonError, *FAILURES, KeyError, TypeError) as error:
            failed, why = failed + 1, _reason(error)
        else:
            if number:
                times.append(time.monotonic() - begin)
        if time.monotonic() > until:
            break
    return Sample(tuple(sorted(times)), failed, why)


def asked(site: Site, area: Area, subject: str, ask: Ask) -> Iterator[Found]:
    """The sample that the settings allow, as numbers."""
    yield from told(area, subject, take(ask, site.settings.performance_samples, site.settings.performance_seconds,
                                        site.cancel))  # fmt: skip


def told(area: Area, subject: str, sample: Sample) -> Iterator[Found]:
    """A sample as numbers; without a good answer it says why there are none."""
    if sample.times:
        yield Reading(area=area, subject=subject, name="answers", value=len(sample.times))
        for name, share in QUANTILES.items():
            yield Reading(area=area, subject=subject, name=name, value=round(sample.quantile(share) * 1000, 3))
    if sample.asked:
        yield Reading(area=area, subject=subject, name="failed", value=round(sample.failed / sample.asked, 4))
    if sample.failed or not sample.times:
        why = f"{sample.failed} of {sample.asked} answers were bad, the last one: {sample.why}"
        yield Missing(area=area, subject=subject, why=why if sample.failed else "too slow for a sample within the time")


def _reason(error: Exception) -> str:
    if isinstance(error, ArchonError | Unwell):
        return str(error).partition("\n")[0]
    return in_words(error, TIMEOUT)
