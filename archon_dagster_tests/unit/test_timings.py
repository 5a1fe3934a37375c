"""Durations as Prometheus reads them, and as a baseline."""

from __future__ import annotations

from archon_dagster.sandbox.services.timings import Timings


def test_buckets_are_cumulative_and_end_with_all() -> None:
    timings = Timings()
    for seconds in (0.001, 0.02, 0.02, 99.0):
        timings.add("GET", "/health", seconds)
    lines = timings.exposition().splitlines()
    buckets = [int(line.rsplit(" ", 1)[1]) for line in lines if "_bucket" in line]
    assert buckets == sorted(buckets) and buckets[0] == 1 and buckets[-2:] == [3, 4]
    assert 'archon_http_request_duration_seconds_count{method="GET",path="/health"} 4' in lines
    assert lines[1] == "# TYPE archon_http_request_duration_seconds histogram"


def test_a_baseline_orders_its_percentiles_and_is_zero_before_the_first_request() -> None:
    timings = Timings()
    assert timings.summary() == {
        "average_response_time_ms": 0.0, "p50_ms": 0.0, "p95_ms": 0.0, "p99_ms": 0.0, "sample_size": 0}  # fmt: skip
    for milliseconds in range(1, 101):
        timings.add("GET", "/x", milliseconds / 1000)
    summary = timings.summary()
    assert (summary["p50_ms"], summary["p95_ms"], summary["p99_ms"]) == (51.0, 96.0, 100.0)
    assert (summary["average_response_time_ms"], summary["sample_size"]) == (50.5, 100)


def test_strange_paths_neither_break_the_format_nor_fill_the_memory() -> None:
    timings = Timings()
    for number in range(1000):
        timings.add("GET", f'/{number}"\n\\', 0.1)
    counts = [line for line in timings.exposition().splitlines() if "_count" in line]
    assert len(counts) <= 101
    assert '/0\\"\\n\\\\' in counts[0]
