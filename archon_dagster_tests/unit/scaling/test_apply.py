"""Applying a resource profile on a runtime of switches: nothing unasked, one after the other, all of it or nothing."""

from __future__ import annotations

import pytest

from archon_dagster.errors import ConfigurationError, ServiceError
from archon_dagster.health import windows
from archon_dagster.platform.limits import Host, Resources
from archon_dagster.scaling.apply import apply, noted, plan
from archon_dagster.scaling.context import ScalingContext
from archon_dagster.scaling.profiles import PROFILES
from archon_dagster_tests.unit.scaling.replicas_double import GIB, Scalable

SEARCH, THINKING = "archon-search", "archon-intelligence"


def test_one_service_after_the_other_in_the_order_of_their_needs(context: ScalingContext, runtime: Scalable) -> None:
    came = apply(context, "staging")
    names = ("qdrant", THINKING, SEARCH)
    assert runtime.done == [(verb, (name,)) for name in names for verb in ("limit", "recreate")]
    assert runtime.given == PROFILES["staging"].services
    assert [one.service for one in came.changes] == list(names)
    assert noted(context.settings.home).profile == "staging"  # type: ignore[union-attr]
    assert windows.ad_hoc(context.settings.home, 0.0) == []


def test_what_holds_already_is_left_alone(context: ScalingContext, runtime: Scalable) -> None:
    apply(context, "staging")
    runtime.done.clear()
    assert apply(context, "staging").changes == ()
    assert runtime.done == []


def test_the_first_that_is_not_well_puts_back_all_of_them(context: ScalingContext, runtime: Scalable) -> None:
    apply(context, "development")
    before = dict(runtime.given)
    tight = {THINKING: {"cpus": 1, "memory": "3G"}, SEARCH: {"cpus": 1, "memory": "32M", "reserved_memory": "32M"}}
    with pytest.raises(ServiceError, match="archon-intelligence, archon-search are what they were"):
        apply(context, "custom", tight)
    assert runtime.given == before
    assert runtime.sick == set()
    assert noted(context.settings.home).profile == "development"  # type: ignore[union-attr]
    assert windows.ad_hoc(context.settings.home, 0.0) == []


def test_a_way_back_that_fails_names_who_is_not_well(context: ScalingContext, runtime: Scalable) -> None:
    runtime.given[SEARCH] = Resources(1.0, 2 * GIB)
    runtime.least = 1000 * GIB
    with pytest.raises(ServiceError, match=r"the way back failed too: archon-search: .*archon-search: 0 of 1"):
        apply(context, "custom", {SEARCH: {"cpus": 1, "memory": "3G"}})
    assert runtime.given[SEARCH] == Resources(1.0, 2 * GIB)


@pytest.mark.parametrize("name", ["", "prod", "huge"])
def test_an_unknown_profile_touches_nothing(context: ScalingContext, runtime: Scalable, name: str) -> None:
    with pytest.raises(ConfigurationError, match="development, staging, production, custom"):
        apply(context, name)
    assert runtime.done == []


def test_the_reservations_of_all_replicas_count(context: ScalingContext, runtime: Scalable) -> None:
    runtime.counts[SEARCH] = 20
    with pytest.raises(ConfigurationError, match=r"cannot carry the profile production: .*are reserved in all"):
        apply(context, "production")
    assert runtime.done == []


def test_what_the_others_have_reserved_is_not_given_out_again(context: ScalingContext, runtime: Scalable) -> None:
    own = {SEARCH: {"cpus": 4, "memory": "20G", "reserved_memory": "20G"}}
    assert plan(context, "custom", own).changes
    runtime.given[THINKING], runtime.counts[THINKING] = Resources(1.0, 8 * GIB, 0.5, 8 * GIB), 2
    told = "20G are reserved in all beside 1 CPUs and 16G of archon-intelligence; nothing was touched"
    with pytest.raises(ConfigurationError, match=told):
        apply(context, "custom", own)
    assert runtime.done == []
    assert plan(context, "custom", own | {THINKING: {"cpus": 1, "memory": "1G"}}).changes  # it gives them back


def test_the_host_is_the_runtimes(context: ScalingContext, runtime: Scalable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "host", lambda: Host(2, 64 * GIB))
    with pytest.raises(ConfigurationError, match="may use 4 CPUs"):
        apply(context, "production")
    assert plan(context, "development").changes


def test_limits_that_would_not_hold_are_found_before_anything_is_touched(
    context: ScalingContext, runtime: Scalable
) -> None:
    runtime.unread = {SEARCH}  # the last one of the profile
    for what in (plan, apply):
        with pytest.raises(ConfigurationError, match="does not read the limits of archon-search"):
            what(context, "staging")
    assert (runtime.done, runtime.given) == ([], {})


def test_what_is_not_here_is_named_and_what_does_not_run_is_not_started(
    context: ScalingContext, runtime: Scalable
) -> None:
    del runtime.states["qdrant"]
    runtime.states[THINKING] = "exited"
    came = apply(context, "development")
    assert came.absent == ("qdrant",)
    assert runtime.done == [("limit", (THINKING,)), ("limit", (SEARCH,)), ("recreate", (SEARCH,))]
    assert runtime.states[THINKING] == "exited"
