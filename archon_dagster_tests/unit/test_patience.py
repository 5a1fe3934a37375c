"""When a silent or trickling server is given up, step by step; the other connection is answered by the test."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from archon_dagster.stores.base import Work
from archon_dagster.stores.patience import FLOOR, Life, Patience, Stretch, Wait
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


def ago(seconds: float, moved: int = 0, *, silent: float = 0.0) -> Stretch:
    now = time.monotonic()
    return Stretch(now - seconds, moved, now - silent if moved else 0.0)


def reason_of(patience: Patience, stretch: Stretch) -> str:
    reason: list[str] = []

    def over() -> bool:
        reason[:] = [text for text in [patience.ended(stretch)] if text]
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
    patience, stretch = Patience(work(30, 600), ask), ago(silent_for)
    assert patience.ended(stretch) is None
    eventually(lambda: not any(thread.name == "ask whether it lives" for thread in threading.enumerate()))
    assert ask.asked == 1
    return patience.ended(stretch) is None


def test_a_busy_server_that_answers_is_waited_for_up_to_the_deadline() -> None:
    assert waits_on("answers", 599)
    assert "though a second connection is answered" in reason_of(
        Patience(work(30, 600), Answering("answers")), ago(601)
    )


def test_a_server_seen_to_be_working_for_us_is_never_cut() -> None:
    assert waits_on("working", 100_000)


def test_a_server_is_cut_only_when_it_has_not_worked_for_us_for_the_whole_deadline() -> None:
    """Between two statements, each longer than the deadline, it may be found idle."""
    ask = Answering("working")
    patience, stretch = Patience(work(0.1, 2), ask), ago(100)
    eventually(lambda: patience.ended(stretch) is None and ask.asked == 1)
    ask.life = "answers"
    eventually(lambda: patience.ended(stretch) is None and ask.asked == 2)
    assert patience.ended(stretch) is None
    assert "though a second connection is answered" in reason_of(patience, stretch)


@pytest.mark.parametrize(("life", "waited"), [("silent", 31), ("answers", 601)])
def test_a_trickle_is_given_up_as_silence_is(life: Life, waited: float) -> None:
    assert reason_of(Patience(work(30, 600), Answering(life)), ago(waited, 1234)).startswith(
        f"only 1,234 bytes came in {waited} s, "
    )


@pytest.mark.parametrize(("life", "waited"), [("silent", 33), ("answers", 633)])
def test_what_came_before_a_server_froze_does_not_make_it_a_slow_one(life: Life, waited: float) -> None:
    patience, stretch = Patience(work(30, 600), Answering(life)), ago(waited, 1234, silent=32)
    assert reason_of(patience, stretch).startswith("nothing came for 32 s, ")
    assert not patience.trickles(stretch)


def test_a_slow_server_that_is_seen_at_our_work_is_never_cut() -> None:
    ask = Answering("working")
    patience, stretch = Patience(work(30, 600), ask), ago(100_000, FLOOR - 1)
    eventually(lambda: patience.ended(stretch) is None and ask.asked == 1)
    assert patience.ended(stretch) is None


def test_a_byte_now_and_then_does_not_end_a_wait() -> None:
    wait = Wait()
    wait.began(anew=True)
    first = wait.stretch
    assert first is not None
    for moved in (0, FLOOR - 1):
        wait.ended(moved)
        assert wait.stretch is None
        wait.began()
    assert wait.stretch is not None and wait.stretch.moved == FLOOR - 1
    assert wait.stretch.since == pytest.approx(first.since, abs=0.05)
    wait.ended(1)
    wait.began()
    assert wait.stretch is not None and wait.stretch.moved == 0
    assert wait.stretch.since > first.since


def test_what_whoever_waits_does_in_between_is_not_waited() -> None:
    wait, pause = Wait(), threading.Event()
    wait.began(anew=True)
    began = time.monotonic()
    wait.ended(1)
    pause.wait(0.3)  # the time itself is what is measured
    wait.began()
    assert wait.stretch is not None
    assert wait.stretch.since - began > 0.25


@pytest.mark.parametrize("anew", [True, False])
def test_an_answer_begins_a_new_wait(anew: bool) -> None:
    wait = Wait()
    wait.began(anew=True)
    wait.ended(*(() if anew else (FLOOR,)))
    wait.began(anew=anew)
    assert wait.stretch is not None and wait.stretch.moved == 0


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
