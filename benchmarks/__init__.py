"""Measurements against peers, in the same run: ``make bench`` writes ``docs/benchmarks.md``, its JSON and its plot."""
