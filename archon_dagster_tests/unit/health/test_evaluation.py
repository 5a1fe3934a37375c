"""The state machine of one service, step by step on plain values."""

from __future__ import annotations

import pytest

from archon_dagster.health.evaluation import Change, Policy, ServiceState, advance
from archon_dagster.health.monitor import policy_of
from archon_dagster.platform.settings import load_settings
from archon_dagster_tests.unit.health.samples import sample

POLICY = Policy(failures=3, successes=2, flap_changes=4, flap_window=100.0, unknown_after=50.0)


class Story:
    """A service and everything that was said of it, a second apart."""

    def __init__(self, policy: Policy = POLICY) -> None:
        self.state, self.now, self.policy = ServiceState(), 1000.0, policy
        self.changes: list[Change] = []

    def see(self, *kinds: str, maintenance: str = "", after: float = 1.0) -> Story:
        for kind in kinds:
            self.now += after
            self.state, change = advance(
                self.state, sample(kind, self.now, maintenance=maintenance), self.now, self.policy
            )
            if change is not None:
                self.changes.append(change)
        return self

    @property
    def told(self) -> list[tuple[str, str]]:
        return [(change.old, change.new) for change in self.changes]


def healthy() -> Story:
    story = Story().see("good")
    story.changes.clear()
    return story


def test_what_is_good_at_first_sight_is_believed_at_once() -> None:
    assert Story().see("good").told == [("unknown", "healthy")]


def test_what_is_bad_at_first_sight_has_to_be_confirmed() -> None:
    assert Story().see("dead", "dead").told == []
    assert Story().see("dead", "dead", "dead").told == [("unknown", "unhealthy")]


def test_a_service_with_numbers_of_its_own_is_confirmed_by_them_and_no_other() -> None:
    settings = load_settings(ARCHON_HEALTH_POLICIES={"archon-search": {"failures": 1, "successes": 4}})
    search, qdrant = (Story(policy_of(name, settings)).see("good") for name in ("archon-search", "qdrant"))
    for story in (search, qdrant):
        story.see("dead")
    assert (search.state.state, qdrant.state.state) == ("unhealthy", "healthy")
    qdrant.see("dead", "dead")
    for story in (search, qdrant):
        story.see("good", "good", "good")
    assert (search.state.state, qdrant.state.state) == ("unhealthy", "healthy")
    assert search.see("good").state.state == "healthy"


@pytest.mark.parametrize("lost", [1, 2])
def test_lost_samples_wake_nobody(lost: int) -> None:
    story = healthy().see(*["dead"] * lost, "good", *["dead"] * lost)
    assert story.told == []
    assert story.state.state == "healthy" and story.state.in_doubt


def test_a_failure_is_confirmed_and_says_when_it_was_first_seen() -> None:
    story = healthy().see("dead", "dead", "dead", "dead")
    (change,) = story.changes
    assert (change.old, change.new, change.detail) == ("healthy", "unhealthy", "refused")
    assert change.at - change.first_seen == 2.0
    assert not change.reached and change.failed[0].problem == "unreachable"


def test_one_good_sample_is_no_recovery_and_two_are() -> None:
    story = healthy().see("dead", "dead", "dead", "good", "dead", "good")
    assert story.state.state == "unhealthy"
    assert story.see("good").told[-1] == ("unhealthy", "healthy")


def test_different_bad_samples_count_as_the_mildest() -> None:
    story = healthy().see("dead", "slow", "dead")
    assert story.told == [("healthy", "degraded")]
    assert story.see("dead", "dead", "dead").told[-1] == ("degraded", "unhealthy")


def test_better_but_not_good_is_a_recovery_half_way() -> None:
    story = healthy().see("dead", "dead", "dead", "slow", "good")
    assert story.told[-1] == ("unhealthy", "degraded")
    assert story.see("good", "good").told[-1] == ("degraded", "healthy")


def test_hysteresis_is_what_the_policy_says() -> None:
    assert Story(Policy(failures=1, successes=1)).see("good", "dead", "good").told == [
        ("unknown", "healthy"), ("healthy", "unhealthy"), ("unhealthy", "healthy"),
    ]  # fmt: skip


def test_a_sample_that_says_nothing_changes_nothing() -> None:
    story = healthy().see("dead", "dead", "nothing", "dead")
    assert story.told == [("healthy", "unhealthy")]


def test_after_a_long_silence_nothing_is_known() -> None:
    story = healthy().see("nothing", after=60.0)
    assert story.told == [("healthy", "unknown")]
    assert story.see("good").told[-1] == ("unknown", "healthy")


def test_in_maintenance_nothing_is_counted_and_afterwards_everything_is_judged_anew() -> None:
    story = healthy().see("dead", "dead").see("dead", "dead", "dead", maintenance="disk")
    assert story.told == [("healthy", "maintenance")]
    assert story.changes[0].failed == () and story.state.detail == "disk"
    story.see("dead", "dead")
    assert story.told[-1] == ("maintenance", "unknown")
    assert story.see("dead").told[-1] == ("unknown", "unhealthy")


def test_maintenance_that_ends_well_ends_at_once() -> None:
    assert healthy().see("dead", maintenance="disk").see("good").told[-1] == ("maintenance", "healthy")


def test_a_service_that_keeps_changing_flaps_until_it_rests() -> None:
    story = healthy()
    for _ in range(2):
        story.see("dead", "dead", "dead", "good", "good")
    assert [change.flapping for change in story.changes] == [False, False, False, True]
    story.see("good", "good", after=50.0)
    last = story.changes[-1]
    assert (last.old, last.new, last.flapping) == ("healthy", "healthy", False)


def test_coming_out_of_maintenance_is_no_flapping() -> None:
    story = healthy()
    for _ in range(6):
        story.see("good", maintenance="disk").see("good")
    assert not story.state.flapping
