"""When a silent server is given up, step by step; the question on another connection is answered by the test."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from archon_dagster.stores.base import Work
from archon_dagster.stores.patience import Life, Patience
from archon_dagster_tests.eventually import eventually


def work(silence: float, deadline: float) -> Work:
    return Work(scratch=Path(), silence=silence, deadline=deadline)


class Answering:
    """The other connection; counts how often it was asked."""

    def __init__(self, life: Life):
        self.life, self.asked = life, 0

    def __call__(self, limit: float) -> Life:
        self.asked += 1
        return self.life


def ago(seconds: float) -> float:
    return time.monotonic() - seconds


def reason_of(patience: Patience, since: float) -> str:
    reason: list[str] = []

    def over() -> bool:
        reason[:] = [text for text in [patience.ended(since)] if text]
        return bool(reason)

    eventually(over)
    return reason[0]


def test_a_server_that_has_just_said_something_is_not_asked() -> None:
    ask = Answering("silent")
    assert Patience(work(30, 600), ask).ended(ago(29)) is None
    assert ask.asked == 0


def test_a_frozen_server_is_given_up_long_before_the_deadline() -> None:
    reason = reason_of(Patience(work(30, 600), Answering("silent")), ago(31))
    assert reason == "nothing came for 31 s, and a second connection got no answer either"


def waits_on(life: Life, silent_for: float) -> bool:
    ask = Answering(life)
    patience, since = Patience(work(30, 600), ask), ago(silent_for)
    assert patience.ended(since) is None
    eventually(lambda: not any(thread.name == "ask whether it lives" for thread in threading.enumerate()))
    assert ask.asked == 1
    return patience.ended(since) is None


def test_a_busy_server_that_answers_is_waited_for_up_to_the_deadline() -> None:
    assert waits_on("answers", 599)
    assert "though a second connection is answered" in reason_of(
        Patience(work(30, 600), Answering("answers")), ago(601)
    )


def test_a_server_seen_to_be_working_for_us_is_never_cut() -> None:
    assert waits_on("working", 100_000)


def test_what_was_heard_meanwhile_makes_an_earlier_answer_worthless() -> None:
    patience = Patience(work(30, 600), Answering("silent"))
    reason_of(patience, ago(31))
    assert patience.ended(ago(1)) is None


def test_a_question_that_hangs_itself_counts_as_unanswered() -> None:
    release = threading.Event()
    hang: Callable[[float], Life] = lambda limit: "answers" if release.wait(30) else "silent"  # noqa: E731
    try:
        assert "no answer either" in reason_of(Patience(work(0.1, 600), hang), ago(1))
    finally:
        release.set()


@pytest.mark.parametrize(("silent_for", "over"), [(599, False), (601, True)])
def test_a_program_without_a_server_has_only_the_deadline(silent_for: float, over: bool) -> None:
    assert (Patience(work(30, 600)).ended(ago(silent_for)) is not None) is over
