"""Which checks of services are told: what is confirmed, what no incident explains, and each once."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from archon_dagster.alerts.alert import Alert
from archon_dagster.alerts.book import Book, Cleared, Event, Policy, Raised, Seen, decide
from archon_dagster.alerts.failures import CHECKS
from archon_dagster.alerts.health_checks import SETTLING, alerts
from archon_dagster.health import FailingCheck, Standing

BEGIN = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
POLICY = Policy(reminder=0)
SLOW = FailingCheck("archon-search", "fast", "3.1 s", BEGIN.timestamp(), minor=True)
WRONG = FailingCheck("qdrant", "consistent", "768 dimensions", BEGIN.timestamp(), minor=True)
DOWN = FailingCheck("qdrant", "reachable", "refused", BEGIN.timestamp(), minor=False, affected=("archon-search",))
AFFECTED = replace(SLOW, check="ready", causes=("qdrant",))


class Story:
    """A book that is told what the monitor believes, second by second."""

    def __init__(self) -> None:
        self.book: Book = {}

    def then(self, seconds: float, *failing: FailingCheck, policy: Policy = POLICY, **more: object) -> list[str]:
        now = BEGIN + timedelta(seconds=seconds)
        standing = Standing(now.timestamp(), (), {}, {}, failing, **more)  # type: ignore[arg-type]
        told, left = alerts(standing, self.book, now, lambda name: f"http://ui/{name}")
        return self.event(seconds, Seen(CHECKS, told, "passed", unsure=left), policy)

    def event(self, seconds: float, event: Event, policy: Policy = POLICY) -> list[str]:
        self.book, notices = decide(self.book, event, BEGIN + timedelta(seconds=seconds), policy)
        return [f"{notice.kind} {notice.alert.severity}: {notice.alert.title}" for notice in notices]


@pytest.fixture
def story() -> Story:
    return Story()


def incident(*services: str) -> Alert:
    return Alert("incident/1", "warning", f"{services[0]} is down", "refused", BEGIN, services=services)


def test_a_degraded_check_is_told_once_after_a_minute_and_so_is_its_end(story: Story) -> None:
    assert story.then(5, WRONG) == []
    assert story.then(SETTLING, WRONG) == ["opened warning: qdrant holds what does not fit"]
    assert story.then(90, replace(WRONG, detail="other words")) == []
    assert story.then(120) == ["resolved warning: qdrant holds what does not fit"]
    assert story.then(150) == []


def test_an_alert_says_what_since_when_what_to_type_and_where_to_look() -> None:
    now = BEGIN + timedelta(seconds=100)
    (alert,), _ = alerts(Standing(now.timestamp(), (), {}, {}, (SLOW,)), {}, now, lambda name: f"http://ui/{name}")
    assert (alert.title, alert.what, alert.since) == ("archon-search is slow", "3.1 s", BEGIN)
    assert (alert.services, alert.link) == (("archon-search",), "http://ui/archon-search")
    assert "archon health history archon-search" in alert.todo[1]
    assert "--service archon-search" in alert.todo[2]


def test_what_recovery_takes_up_is_told_by_its_incident_alone(story: Story) -> None:
    assert story.then(5, DOWN, AFFECTED) == []
    story.event(6, Raised(incident("qdrant", "archon-search")))
    assert story.then(300, DOWN, AFFECTED) == []
    story.event(301, Cleared("incident/1", "restarted"))
    assert story.then(302, DOWN, AFFECTED) == []  # the monitor has not looked again yet
    assert story.then(400) == []


def test_what_recovery_does_not_take_up_is_critical(story: Story) -> None:
    assert story.then(70, DOWN, AFFECTED) == ["opened critical: qdrant cannot be reached"]
    (alert,) = [entry.alert for entry in story.book.values()]
    assert alert.what == "refused; affected by it: archon-search"
    assert "archon incidents" in alert.todo[0]


def test_what_was_told_before_its_service_went_down_is_not_over_because_of_that(story: Story) -> None:
    story.then(70, SLOW)
    story.event(80, Raised(incident("qdrant", "archon-search")))
    assert story.then(90, replace(SLOW, causes=("qdrant",))) == []
    story.event(100, Cleared("incident/1"))
    assert story.then(110) == ["resolved warning: archon-search is slow"]


def test_of_a_service_that_is_unsettled_nothing_is_concluded(story: Story) -> None:
    """In maintenance nothing is known of its checks; that is not the same as passing."""
    story.then(70, WRONG)
    assert story.then(80, unsettled=frozenset({"qdrant"})) == []
    assert story.then(90, SLOW, unsettled=frozenset({"qdrant", "archon-search"})) == []
    assert story.then(100) == ["resolved warning: qdrant holds what does not fit"]


def test_in_a_window_nothing_is_told_of_its_service(story: Story) -> None:
    quiet = Policy(reminder=0, silent={"qdrant": "disk"})
    assert story.then(70, WRONG, SLOW, policy=quiet) == ["opened warning: archon-search is slow"]
    assert story.then(80, WRONG, SLOW) == ["opened warning: qdrant holds what does not fit"]


def test_who_was_stopped_to_make_room_in_an_emergency_is_not_told_of(story: Story) -> None:
    story.event(0, Raised(incident("qdrant")))
    stopped = FailingCheck("archon-frontend", "reachable", "refused", BEGIN.timestamp(), minor=False)
    assert story.then(70, stopped) == []
    essential = FailingCheck("archon-bridge", "reachable", "refused", BEGIN.timestamp(), minor=False)
    assert story.then(80, stopped, essential) == ["opened critical: archon-bridge cannot be reached"]


def test_a_service_that_keeps_changing_is_one_alert(story: Story) -> None:
    flapping = {"archon-search": BEGIN.timestamp()}
    told = [story.then(70 + 10 * turn, *[SLOW] * (turn % 2), flapping=flapping) for turn in range(20)]
    assert [line for lines in told for line in lines] == [
        "opened warning: archon-search keeps changing between well and unwell"
    ]
    assert story.then(400) == ["resolved warning: archon-search keeps changing between well and unwell"]


def test_what_keeps_failing_and_has_an_incident_is_told_by_that_alone(story: Story) -> None:
    story.event(0, Raised(incident("archon-search")))
    assert story.then(70, SLOW, flapping={"archon-search": BEGIN.timestamp()}) == []
