"""Look at every source at its own pace, and answer a scrape from what was seen.

A repository on a distant storage may take seconds or hang, a scrape must not: each source has a thread of its own, and
what it saw last stands until it sees something else. How old that is, is told too.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from prometheus_client import Metric
from prometheus_client.core import InfoMetricFamily
from prometheus_client.registry import Collector

from archon_dagster import __version__
from archon_dagster.asking import ask_all
from archon_dagster.metrics.gauge import gauge

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Source:
    """One kind of facts.

    :param look: the metrics, given the time now; raises where they cannot be had.
    :param every: seconds between two looks.
    """

    name: str
    look: Callable[[float], Iterable[Metric]]
    every: float


@dataclass(frozen=True, slots=True)
class Seen:
    """What a source showed last. :param at: when; 0: never. :param trouble: why the last look failed; else empty."""

    metrics: tuple[Metric, ...] = ()
    at: float = 0.0
    trouble: str = "it has not been looked at yet"


class Facts(Collector):
    """What all sources have shown, as a collector of ``prometheus_client``."""

    def __init__(self, sources: Sequence[Source], clock: Callable[[], float] = time.time):
        self._sources, self._clock = {source.name: source for source in sources}, clock
        self._seen = {source.name: Seen() for source in sources}

    @property
    def troubles(self) -> dict[str, str]:
        """The sources whose last look failed, and why."""
        return {name: seen.trouble for name, seen in self._seen.items() if seen.trouble}

    def look(self, limit: float) -> None:
        """Look at every source once, side by side, within so many seconds; one that hangs is left behind."""
        ask_all({name: lambda name=name: self._look_at(name) for name in self._sources}, limit)  # type: ignore[misc]

    def keep_looking(self, stop: threading.Event) -> None:
        """Look again and again, each source in a thread, until ``stop`` is set."""
        for source in self._sources.values():
            threading.Thread(
                target=self._follow, args=(source, stop), name=f"metrics {source.name}", daemon=True
            ).start()

    def collect(self) -> Iterator[Metric]:
        """Everything that was seen, and how fresh it is."""
        seen = dict(self._seen)
        yield InfoMetricFamily("archon_build", "The control plane.", value={"version": __version__})
        up = {(name,): not one.trouble for name, one in seen.items()}
        yield gauge("archon_metrics_source_up", "1 if the last look at a source of metrics succeeded.", up, ("source",))
        at = {(name,): one.at for name, one in seen.items()}
        text = "When a source of metrics was seen last; 0: never."
        yield gauge("archon_metrics_source_seen_timestamp_seconds", text, at, ("source",))
        for one in seen.values():
            yield from one.metrics

    def _follow(self, source: Source, stop: threading.Event) -> None:
        while not stop.wait(source.every):
            self._look_at(source.name)

    def _look_at(self, name: str) -> None:
        before, now = self._seen[name], self._clock()
        try:
            after = Seen(tuple(self._sources[name].look(now)), now, "")
        except Exception as error:  # noqa: BLE001 - whatever it is, the other facts are told, and this one's age
            why = (str(error) or type(error).__name__).splitlines()[0]
            after = replace(before, trouble=why)
            if why != before.trouble:  # once, not at every look
                log.warning("the metrics of %s cannot be had, what was seen last stands: %s", name, why)
        self._seen[name] = after
