"""The moment a cancelled run has to clean up, and what counts into it."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from archon_dagster.errors import Cancelled
from archon_dagster.stores import leaving
from archon_dagster.stores.base import Work
from archon_dagster.stores.leaving import Leaving, tidying
from archon_dagster_tests.eventually import eventually


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(scratch=tmp_path)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaving, "MOMENT", 0.3)
    monkeypatch.setattr(leaving, "GRACE", 0.15)


def over(found: Leaving) -> bool:
    try:
        found.check()
    except Cancelled:
        return True
    return False


def test_a_run_that_was_not_cancelled_cleans_up_as_long_as_it_takes(work: Work, short: None) -> None:
    found, ended = Leaving(work.check), threading.Event()
    assert not over(found)
    ended.wait(0.4)  # longer than the moment
    assert not over(found)


def test_a_cancelled_run_has_a_moment_for_it(work: Work, short: None) -> None:
    found = Leaving(work.check)
    work.cancel.set()
    assert not over(found)
    assert 0.0 < found.grace() <= 0.15
    began = time.monotonic()
    eventually(lambda: over(found), 5)
    assert time.monotonic() - began > 0.2
    assert found.grace() == 0.0


def test_what_had_to_be_waited_for_does_not_count(work: Work, short: None) -> None:
    found = Leaving(work.check)
    work.cancel.set()
    eventually(lambda: over(found), 5)
    found.anew()
    assert not over(found)
    assert found.grace() > 0.0


def test_the_same_run_for_cleaning_up(work: Work, short: None) -> None:
    work.cancel.set()
    cleaning = tidying(work, 7.0)
    cleaning.check()
    assert (cleaning.deadline, cleaning.scratch) == (7.0, work.scratch)
    eventually(cleaning.cancel.is_set, 5)
    with pytest.raises(Cancelled):
        cleaning.check()


def test_the_promise_of_two_seconds_is_kept_by_the_figures() -> None:
    looks = 2 * 0.2  # to see the cancel, and to see that the moment is over
    assert leaving.GRACE < leaving.MOMENT
    assert leaving.MOMENT + looks <= 2.0
