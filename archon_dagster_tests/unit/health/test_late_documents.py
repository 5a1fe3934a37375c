"""When it is swept again for a document that may come after its test."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from archon_dagster.health import late_documents
from archon_dagster.health.late_documents import LONGEST


def sweeps(home: Path, begun: float, until: float, every: float) -> list[float]:
    """Seconds after the test at which a round sweeps."""
    late_documents.expect(home, begun)
    found, now = [], begun
    while now <= until:
        if late_documents.is_due(home, now):
            late_documents.swept(home, now)
            found.append(now - begun)
        now += every
    return found


def test_each_sweep_is_as_long_after_the_one_before_as_that_was_after_the_test(tmp_path: Path) -> None:
    assert sweeps(tmp_path, 1000.0, 1100.0, every=1.0) == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0]


def test_what_comes_late_stays_no_longer_than_as_long_again(tmp_path: Path) -> None:
    swept = sweeps(tmp_path, 0.0, 2 * LONGEST, every=30.0)
    assert len(swept) < 20
    assert all(after <= 2 * before for before, after in pairwise(swept))
    assert swept[-1] > LONGEST
    assert not late_documents.is_due(tmp_path, 10 * LONGEST)


def test_another_test_begins_anew_and_one_that_has_settled_ends_it(tmp_path: Path) -> None:
    sweeps(tmp_path, 0.0, 1000.0, every=30.0)
    late_documents.expect(tmp_path, 1000.0)
    assert late_documents.is_due(tmp_path, 1001.0)
    late_documents.settle(tmp_path)
    assert not late_documents.is_due(tmp_path, 1001.0)


@pytest.mark.parametrize("now", [500.0, 2000.0])
def test_a_clock_that_was_set_keeps_nobody_from_sweeping(tmp_path: Path, now: float) -> None:
    late_documents.expect(tmp_path, 1000.0)
    assert late_documents.is_due(tmp_path, now)
    late_documents.swept(tmp_path, now)
    assert not late_documents.is_due(tmp_path, now + 0.5)
