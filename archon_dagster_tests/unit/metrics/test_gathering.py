"""Sources are looked at each at its own pace; one that hangs or fails keeps no scrape waiting, and hides nothing."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator

import pytest
from prometheus_client import Metric, generate_latest

from archon_dagster.metrics.gathering import Facts, Source
from archon_dagster.metrics.gauge import gauge
from archon_dagster.metrics.serving import registry_of
from archon_dagster_tests.eventually import eventually


class Told:
    """A source that tells a number, hangs, or fails, as it is told."""

    def __init__(self) -> None:
        self.looks = 0
        self.broken = ""
        self.goes_on = threading.Event()
        self.goes_on.set()

    def __call__(self, now: float) -> Iterator[Metric]:
        self.looks += 1
        self.goes_on.wait(60)
        if self.broken:
            raise OSError(self.broken)
        yield gauge("archon_looks", "How often.", float(self.looks))


@pytest.fixture
def told() -> Iterator[Told]:
    one = Told()
    yield one
    one.goes_on.set()


def text(facts: Facts) -> str:
    return generate_latest(registry_of(facts)).decode()


def test_nothing_is_claimed_before_anything_was_seen(told: Told) -> None:
    said = text(Facts([Source("one", told, 1.0)]))
    assert 'archon_metrics_source_up{source="one"} 0.0' in said
    assert 'archon_metrics_source_seen_timestamp_seconds{source="one"} 0.0' in said
    assert "archon_looks" not in said


def test_a_source_that_fails_leaves_what_it_said_with_its_age(told: Told, caplog: pytest.LogCaptureFixture) -> None:
    clock = iter(range(100, 200)).__next__
    facts = Facts([Source("one", told, 1.0)], clock)  # type: ignore[arg-type]
    facts.look(5.0)
    told.broken = "the storage is away\nand more"
    with caplog.at_level(logging.WARNING):
        facts.look(5.0)
        facts.look(5.0)
    said = text(facts)
    assert 'archon_metrics_source_up{source="one"} 0.0' in said
    assert 'archon_metrics_source_seen_timestamp_seconds{source="one"} 100.0' in said
    assert "archon_looks 1.0" in said
    assert facts.troubles == {"one": "the storage is away"}
    assert len(caplog.records) == 1, "the same trouble is logged once"
    told.broken = ""
    facts.look(5.0)
    assert facts.troubles == {}


def test_a_source_that_hangs_keeps_neither_the_others_nor_a_scrape(told: Told) -> None:
    hanging, stop = Told(), threading.Event()
    hanging.goes_on.clear()
    facts = Facts([Source("hangs", hanging, 0.01), Source("one", told, 0.01)])
    facts.keep_looking(stop)
    try:
        eventually(lambda: told.looks > 3)
        begin = time.monotonic()
        said = text(facts)
        assert time.monotonic() - begin < 1.0
        assert 'archon_metrics_source_up{source="hangs"} 0.0' in said
        assert 'archon_metrics_source_up{source="one"} 1.0' in said
        assert hanging.looks == 1, "it is not asked again as long as it hangs"
    finally:
        stop.set()
        hanging.goes_on.set()


def test_looking_ends_when_it_is_told_to(told: Told) -> None:
    stop = threading.Event()
    Facts([Source("one", told, 0.01)]).keep_looking(stop)
    eventually(lambda: told.looks > 1)
    stop.set()
    eventually(lambda: not any(thread.name == "metrics one" for thread in threading.enumerate()))


def test_a_look_at_everything_ends_in_time_whatever_hangs(told: Told) -> None:
    told.goes_on.clear()
    begin = time.monotonic()
    Facts([Source("one", told, 1.0)]).look(0.2)
    assert time.monotonic() - begin < 5.0
