"""A search service on a runtime of switches, and a server that says it is healthy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from archon_dagster.scaling.context import ScalingContext
from archon_dagster_tests.unit.scaling.replicas_double import Scalable, context_of, healthy


@pytest.fixture
def runtime() -> Scalable:
    return Scalable()


@pytest.fixture
def context(tmp_path: Path, runtime: Scalable) -> Iterator[ScalingContext]:
    with healthy() as port:
        yield context_of(tmp_path, port, runtime)
