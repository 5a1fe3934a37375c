"""Scaling, step by step, on a runtime of switches: what is refused, what is gated, what is taken back."""

from __future__ import annotations

import dataclasses

import pytest

from archon_dagster.context import Step
from archon_dagster.errors import Cancelled, ConfigurationError, RepositoryBusy, ServiceError
from archon_dagster.platform.limits import Resources
from archon_dagster.repository.repository import Repository
from archon_dagster.scaling.context import ScalingContext
from archon_dagster.scaling.scale import SERVICE, plan, scale
from archon_dagster_tests.unit.scaling.replicas_double import GIB, Scalable


@pytest.mark.parametrize(("have", "want", "steps"), [(1, 4, [2, 3, 4]), (4, 2, [3, 2]), (2, 2, [])])
def test_one_at_a_time_in_both_directions(
    context: ScalingContext, runtime: Scalable, have: int, want: int, steps: list[int]
) -> None:
    runtime.counts[SERVICE] = have
    came = scale(context, want)
    assert runtime.scaled == steps
    assert (came.before, came.after.wanted, came.after.well) == (have, want, want)
    assert runtime.done[0] == ("up", (SERVICE,))  # those that have ended


def test_the_first_that_is_not_well_goes_back_to_the_number_before(context: ScalingContext, runtime: Scalable) -> None:
    runtime.sick_from = 3
    with pytest.raises(ServiceError, match=r"2 of 3 replicas are well[\s\S]*it runs 1 times again, and is well"):
        scale(context, 5)
    assert runtime.scaled == [2, 3, 1]


def test_a_way_back_that_fails_is_told_as_such(context: ScalingContext, runtime: Scalable) -> None:
    runtime.sick_from = 1
    with pytest.raises(ServiceError, match="not well with 1 replicas either"):
        scale(context, 2)


def test_a_cancel_between_two_steps_goes_back(context: ScalingContext, runtime: Scalable) -> None:
    def report(news: object) -> None:
        if isinstance(news, Step) and news.detail == "2 replicas" and news.seconds is not None:
            context.cancel.set()

    with pytest.raises(Cancelled, match="runs 1 times, as before"):
        scale(dataclasses.replace(context, report=report), 3)
    assert runtime.scaled == [2, 1]


@pytest.mark.parametrize("wrong", [0, -3, 9, 10**9])
def test_a_number_out_of_bounds_is_refused(context: ScalingContext, runtime: Scalable, wrong: int) -> None:
    with pytest.raises(ConfigurationError, match="between 1 and 8"):
        scale(context, wrong)
    assert (runtime.scaled, runtime.done) == ([], [])


def test_what_cannot_run_twice_does_not_run_or_has_no_room_is_refused(
    context: ScalingContext, runtime: Scalable
) -> None:
    runtime.fixed = "the compose file publishes a port of it"
    with pytest.raises(ConfigurationError, match="publishes a port"):
        scale(context, 2)
    runtime.fixed = ""
    runtime.given[SERVICE] = Resources(4.0, 8 * GIB, 0.5, 6 * GIB)
    assert plan(context, 5).steps == (2, 3, 4, 5)
    with pytest.raises(ConfigurationError, match=r"6 replicas of archon-search reserve 3 CPUs and 36G"):
        scale(context, 6)
    runtime.states[SERVICE] = "exited"
    with pytest.raises(ServiceError, match="archon-search is exited; nothing was touched"):
        scale(context, 2)
    assert (runtime.scaled, runtime.done) == ([], [])


def test_there_is_room_for_a_replica_where_the_others_have_left_it(context: ScalingContext, runtime: Scalable) -> None:
    runtime.given[SERVICE] = Resources(4.0, 8 * GIB, 0.5, 6 * GIB)
    runtime.given["qdrant"] = Resources(4.0, 16 * GIB, 1.0, 16 * GIB)
    told = "3 replicas of archon-search reserve 1.5 CPUs and 18G beside 1 CPUs and 16G of qdrant, more than this host"
    with pytest.raises(ConfigurationError, match=told):
        scale(context, 3)
    assert plan(context, 2).steps == (2,)
    runtime.counts[SERVICE] = 5
    assert plan(context, 4).steps == (4,)  # still too many, and better than before
    assert (runtime.scaled, runtime.done) == ([], [])


def test_nobody_scales_while_somebody_else_is_at_work(context: ScalingContext, runtime: Scalable) -> None:
    with Repository.open(context.settings.repository, create=True).lock("manual backup"), pytest.raises(RepositoryBusy):
        scale(context, 2)
    assert runtime.scaled == []
