"""The generator streams: ten times the records take no more memory."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from archon_dagster.sandbox.seed.scale.counts import graph_counts

DIMENSION = 16
GROWTH = 16  # MiB that ten times the records may take more; kept, each one would take hundreds of bytes


def generated(scale: int) -> dict[str, Any]:
    """What a process made that generates this scale, for servers that only count, and the memory it took."""
    command = [sys.executable, "-m", "benchmarks.ours", "generate", str(scale), str(DIMENSION)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.timeout(300)
@pytest.mark.parametrize("scale", [2_000, pytest.param(20_000, marks=pytest.mark.long)])
def test_ten_times_the_records_are_generated_in_the_same_memory(scale: int) -> None:
    large = 10 * scale
    small, found = generated(scale), generated(large)
    assert found["memory_mib"] - small["memory_mib"] < GROWTH
    nodes, relationships = graph_counts(large, ())
    assert found["nodes"] == sum(nodes.values()) - 1  # the mark is no record
    assert found["relationships"] == sum(relationships.values())
    assert found["points"] > 1.1 * large and found["rows"] > large
