"""The autoscaler decides: in its bounds, one step for each cool-down, and never for one bad reading."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from archon_dagster.errors import ConfigurationError
from archon_dagster.scaling.autoscaling import Decision, Memory, Policy, Reading, decide

POLICY = Policy(minimum=1, maximum=4, high=800, low=200, rising=3, falling=4, cool_down=60)


def play(loads: list[float | None], replicas: int = 1, policy: Policy = POLICY, every: float = 10) -> list[Decision]:
    """The decisions for loads read every so many seconds, each carried out at once."""
    memory, made = Memory(), []
    for number, load in enumerate(loads):
        decision, memory = decide(policy, memory, Reading(replicas, load), 1000 + number * every)
        made.append(decision)
        replicas = decision.replicas
    return made


def test_a_load_that_lasts_adds_one_replica() -> None:
    assert [one.action for one in play([900, 900, 900])] == ["hold", "hold", "up"]
    assert play([900, 900, 900])[-1].replicas == 2


def test_a_spike_or_an_unknown_load_between_high_ones_begins_the_count_anew() -> None:
    assert {one.action for one in play([900, 900, 500, 900, 900, None, 900, 900])} == {"hold"}


def test_between_the_thresholds_nothing_happens() -> None:
    assert {one.action for one in play([201, 500, 799, 800, 200] * 10, replicas=2)} == {"hold"}


def test_during_the_cool_down_there_is_no_other_step_and_after_it_there_is() -> None:
    made = play([900] * 10)
    assert [number for number, one in enumerate(made) if one.action == "up"] == [2, 8]
    assert "cool-down" in made[7].why


def test_a_low_load_takes_one_away_and_never_the_last() -> None:
    made = play([10] * 30, replicas=2)
    assert [one.action for one in made].count("down") == 1
    assert made[-1].replicas == 1
    assert "least" in made[-1].why


def test_none_is_taken_away_where_the_others_could_not_carry_its_share() -> None:
    narrow = replace(POLICY, high=250)
    assert {one.action for one in play([190] * 10, replicas=2, policy=narrow)} == {"hold"}
    assert "would have 380" in play([190] * 10, replicas=2, policy=narrow)[-1].why


def test_at_the_maximum_it_says_so() -> None:
    last = play([5000] * 3, replicas=4)[-1]
    assert (last.action, last.replicas) == ("hold", 4)
    assert "most" in last.why


@pytest.mark.parametrize(("have", "want"), [(9, 4), (0, 1)])
def test_outside_of_its_bounds_it_is_brought_back_even_while_cooling_down(have: int, want: int) -> None:
    decision, memory = decide(POLICY, Memory(stepped=999), Reading(have, None), 1000)
    assert decision.replicas == want
    assert memory.stepped == 1000


def test_a_clock_that_was_set_back_starts_the_cool_down_anew_and_no_longer() -> None:
    _, memory = decide(POLICY, Memory(stepped=1_000_000), Reading(1, 900), 1000)
    assert memory.stepped == 1000


@pytest.mark.parametrize("seed", range(50))
def test_whatever_the_load_it_stays_in_bounds_and_never_steps_twice_in_a_cool_down(seed: int) -> None:
    dice = random.Random(seed)
    low = dice.randint(1, 3)
    policy = Policy(
        low, low + dice.randint(0, 5), dice.uniform(300, 900), dice.uniform(0, 299), dice.randint(1, 4),
        dice.randint(1, 4), dice.uniform(0, 120),
    )  # fmt: skip
    memory, now, replicas, stepped = Memory(), 1000.0, policy.minimum, None
    for _ in range(400):
        now += dice.uniform(0.1, 30)
        load = dice.choice([None, dice.uniform(0, 2000), 0.0, 2000.0])
        decision, memory = decide(policy, memory, Reading(replicas, load), now)
        assert policy.minimum <= decision.replicas <= policy.maximum
        assert abs(decision.replicas - replicas) <= 1
        assert (decision.action == "hold") == (decision.replicas == replicas)
        if decision.action != "hold":
            assert stepped is None or now - stepped >= policy.cool_down
            stepped = now
        replicas = decision.replicas


@pytest.mark.parametrize(
    "wrong",
    [{"minimum": 0}, {"minimum": 5}, {"low": 800}, {"low": -1}, {"rising": 0}, {"falling": 0}, {"cool_down": -1},
     {"high": float("nan")}],
)  # fmt: skip
def test_a_policy_that_contradicts_itself_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match="makes no sense"):
        replace(POLICY, **wrong)  # type: ignore[arg-type]
