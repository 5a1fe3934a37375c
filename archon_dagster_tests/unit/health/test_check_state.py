"""Each check of a service is believed as slowly as the service: a check that flips is not news each time."""

from __future__ import annotations

from dataclasses import replace

from archon_dagster.health.evaluation import Policy, ServiceState, advance
from archon_dagster.health.samples import Facet, Sample
from archon_dagster_tests.unit.health.samples import GOOD

POLICY = Policy(failures=3, successes=2)
SLOW = Facet("fast", False, "3.1 s", minor=True, problem="slow")
WRONG = Facet("consistent", False, "768 dimensions", minor=True, problem="wrong_dimension")
FITS = Facet("consistent", True)


class Story:
    """A service, looked at once a second; ``failing`` is what is believed of its checks."""

    def __init__(self) -> None:
        self.state, self.now = ServiceState(), 1000.0

    def see(self, *facets: Facet, times: int = 1, maintenance: str = "") -> Story:
        for _ in range(times):
            self.now += 1.0
            sample = Sample("qdrant", self.now, GOOD, 0.01, maintenance).with_facets(facets)
            self.state, _ = advance(self.state, sample, self.now, POLICY)
        return self

    @property
    def failing(self) -> set[str]:
        return {name for name, check in self.state.checks.items() if check.failing}


def test_a_check_is_confirmed_by_as_many_samples_as_its_service() -> None:
    story = Story().see(FITS)
    assert story.see(WRONG, times=2).failing == set()
    assert story.see(WRONG).failing == {"consistent"}
    check = story.state.checks["consistent"]
    assert (check.since, check.facet) == (1002.0, WRONG)
    assert story.see(FITS).failing == {"consistent"}
    assert story.see(FITS).failing == set()
    assert story.state.checks == {}


def test_what_flips_beside_a_check_that_fails_for_good_is_never_believed() -> None:
    story = Story().see(FITS)
    for _ in range(10):
        story.see(WRONG, SLOW).see(WRONG)
    assert (story.state.state, story.failing) == ("degraded", {"consistent"})


def test_a_second_check_that_fails_in_a_service_that_is_degraded_already_is_believed_too() -> None:
    story = Story().see(FITS).see(WRONG, times=3)
    assert story.see(WRONG, SLOW, times=2).failing == {"consistent"}
    assert story.see(WRONG, SLOW).failing == {"consistent", "fast"}
    assert story.see(SLOW, FITS, times=2).failing == {"fast"}


def test_what_a_sample_does_not_say_changes_nothing_while_the_service_is_not_well() -> None:
    story = Story().see(FITS).see(WRONG, times=3)
    dead = Facet("reachable", False, "refused", problem="unreachable")
    assert story.see(replace(WRONG, passed=None), dead, times=5).failing == {"consistent", "reachable"}


def test_what_is_not_said_of_a_service_that_is_well_is_nothing_against_it() -> None:
    """The collection of the wrong size was deleted: there is nothing to compare."""
    story = Story().see(FITS).see(WRONG, times=3)
    assert story.see(replace(WRONG, passed=None)).failing == {"consistent"}
    assert story.see(replace(WRONG, passed=None)).failing == set()
    story.see(WRONG, times=3)
    assert story.see(times=2).failing == set()


def test_after_maintenance_every_check_is_judged_anew() -> None:
    story = Story().see(FITS).see(WRONG, times=3).see(WRONG, maintenance="disk")
    assert story.failing == set()
    assert story.see(WRONG, times=2).failing == set()
    assert story.see(WRONG).failing == {"consistent"}
