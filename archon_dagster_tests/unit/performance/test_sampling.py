"""A sample is bounded, counts no bad answer as a fast one, and gives the quantiles it says."""

from __future__ import annotations

import threading
import time

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archon_dagster.errors import Cancelled, StoreUnavailable
from archon_dagster.performance.measures import Missing, Reading
from archon_dagster.performance.sampling import Sample, take, told
from archon_dagster.platform.probes.answer import Unwell


def never() -> threading.Event:
    return threading.Event()


def test_it_asks_so_often_and_does_not_count_the_time_of_the_first_answer() -> None:
    asked: list[float] = []

    def ask() -> None:
        if not asked:
            threading.Event().wait(0.2)
        asked.append(time.monotonic())

    sample = take(ask, 20, 10.0, never())
    assert (len(asked), len(sample.times)) == (21, 20)
    assert sample.times[-1] < 0.2


def test_it_ends_when_its_time_is_up() -> None:
    begin = time.monotonic()
    sample = take(lambda: threading.Event().wait(0.05), 1000, 0.3, never())
    assert time.monotonic() - begin < 1.0
    assert 1 <= len(sample.times) < 20


def test_a_bad_answer_is_counted_as_bad_and_its_time_is_not_counted() -> None:
    answers = iter([None, None, Unwell("HTTP 200 without a result"), None, httpx.ConnectError("refused"), None,
                    StoreUnavailable("gone")])  # fmt: skip

    def ask() -> None:
        answer = next(answers)
        if answer is not None:
            raise answer

    sample = take(ask, 6, 5.0, never())
    assert (len(sample.times), sample.failed, sample.why) == (3, 3, "gone")
    found = list(told("vectors", "x", sample))
    assert {one.name: one.value for one in found if isinstance(one, Reading)}["failed"] == 0.5
    (missing,) = [one for one in found if isinstance(one, Missing)]
    assert missing.why == "3 of 6 answers were bad, the last one: gone"


def test_without_a_good_answer_there_are_no_times() -> None:
    found = list(told("graph", "x", Sample((), 4, "refused")))
    assert [one.name for one in found if isinstance(one, Reading)] == ["failed"]


def test_it_can_be_cancelled_between_two_questions() -> None:
    cancel, asked = threading.Event(), []

    def ask() -> None:
        asked.append(1)
        if len(asked) == 3:
            cancel.set()

    with pytest.raises(Cancelled):
        take(ask, 100, 60.0, cancel)
    assert len(asked) == 3


@given(st.lists(st.floats(min_value=0, max_value=100), min_size=1), st.sampled_from([0.5, 0.95, 0.99]))
def test_a_quantile_is_an_answer_that_at_least_that_share_was_no_slower_than(times: list[float], share: float) -> None:
    sample = Sample(tuple(sorted(times)))
    quantile = sample.quantile(share)
    assert quantile in times
    assert sum(one <= quantile for one in times) >= share * len(times)
    assert sum(one < quantile for one in times) < share * len(times)
