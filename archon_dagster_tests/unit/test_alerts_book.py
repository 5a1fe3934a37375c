"""One alert per incident: what is told when, step by step, then for every order of events."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archon_dagster.alerts.alert import SEVERITIES, Alert, Notice, Severity, rank
from archon_dagster.alerts.book import (
    EVERYBODY,
    REMEMBERED,
    Book,
    Cleared,
    Event,
    Policy,
    Raised,
    Seen,
    Tick,
    decide,
)

BEGIN = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
POLICY = Policy(reminder=3600)
MAINTENANCE = Policy(reminder=3600, silent={EVERYBODY: "maintenance"})


def alert(incident: str = "a", severity: Severity = "warning", **changes: object) -> Alert:
    return replace(Alert(incident, severity, f"{incident} is wrong", "seen", BEGIN), **changes)  # type: ignore[arg-type]


class Story:
    """A book to which one thing happens after the other; ``told`` is what was told last, ``all`` everything."""

    def __init__(self) -> None:
        self.book: Book = {}
        self.all: list[Notice] = []

    def then(self, minutes: float, event: Event, policy: Policy = POLICY) -> list[tuple[str, str]]:
        self.book, notices = decide(self.book, event, BEGIN + timedelta(minutes=minutes), policy)
        self.all += notices
        return [(notice.kind, notice.alert.incident) for notice in notices]


@pytest.fixture
def story() -> Story:
    return Story()


def test_an_incident_is_told_once_and_so_is_its_end(story: Story) -> None:
    assert story.then(0, Raised(alert())) == [("opened", "a")]
    assert story.then(1, Raised(alert())) == []
    assert story.then(2, Tick()) == []
    assert story.then(3, Cleared("a", "restarted")) == [("resolved", "a")]
    assert story.all[-1].outcome == "restarted"
    assert story.then(4, Cleared("a")) == []
    assert story.then(600, Tick()) == []


def test_a_reminder_comes_when_the_interval_has_passed_and_not_before(story: Story) -> None:
    story.then(0, Raised(alert()))
    assert story.then(59.9, Tick()) == []
    assert story.then(60, Tick()) == [("reminder", "a")]
    assert story.then(119, Tick()) == []
    assert story.then(120, Tick()) == [("reminder", "a")]


def test_without_an_interval_there_are_no_reminders(story: Story) -> None:
    story.then(0, Raised(alert()), Policy(reminder=0))
    assert story.then(10_000, Tick(), Policy(reminder=0)) == []


def test_a_clock_that_was_set_back_reminds_nobody(story: Story) -> None:
    story.then(100, Raised(alert()))
    assert story.then(0, Tick()) == []


def test_what_gets_worse_is_told_again_what_gets_better_is_not(story: Story) -> None:
    story.then(0, Raised(alert()))
    assert story.then(1, Raised(alert(severity="critical"))) == [("worse", "a")]
    assert story.then(2, Raised(alert(severity="warning"))) == []
    story.then(3, Cleared("a"))
    assert story.all[-1].alert.severity == "critical"  # so that the end reaches whom the alarm has reached


def test_what_is_handed_to_a_person_is_told_though_it_was_as_bad_before(story: Story) -> None:
    story.then(0, Raised(alert(severity="critical")))
    assert story.then(1, Raised(alert(severity="critical", asks="archon restore"))) == [("handed", "a")]
    assert story.then(2, Raised(alert(severity="critical", asks="archon restore"))) == []
    assert story.then(3, Raised(alert(severity="critical"))) == []  # it is tried again
    assert story.then(4, Raised(alert(severity="critical", asks="archon restore"))) == []
    assert story.then(5, Raised(alert(severity="critical", asks="archon start"))) == [("handed", "a")]
    assert story.then(64, Tick()) == []
    assert story.then(65, Tick()) == [("reminder", "a")]


def test_news_of_an_incident_change_what_the_reminder_says_but_not_when_it_began(story: Story) -> None:
    story.then(0, Raised(alert()))
    story.then(5, Raised(alert(tried=("restarted it",), since=BEGIN + timedelta(minutes=5))))
    story.then(60, Tick())
    assert (story.all[-1].alert.tried, story.all[-1].alert.since) == (("restarted it",), BEGIN)


def test_late_news_of_an_incident_that_is_over_say_nothing(story: Story) -> None:
    story.then(0, Raised(alert()))
    story.then(1, Cleared("a"))
    assert story.then(2, Raised(alert(severity="critical"))) == []


def test_the_end_of_what_never_began_says_nothing(story: Story) -> None:
    assert story.then(0, Cleared("a")) == []


def test_what_is_good_to_know_is_told_once_and_done(story: Story) -> None:
    assert story.then(0, Raised(alert(severity="info"))) == [("note", "a")]
    assert story.then(1, Raised(alert(severity="info"))) == []
    assert story.then(600, Tick()) == []
    assert story.then(601, Cleared("a")) == []


def test_what_comes_and_goes_in_maintenance_is_never_heard_of(story: Story) -> None:
    assert story.then(0, Raised(alert()), MAINTENANCE) == []
    assert story.then(5, Cleared("a"), MAINTENANCE) == []
    assert story.then(10, Tick()) == []


def test_what_is_still_there_after_maintenance_is_told_then(story: Story) -> None:
    story.then(0, Raised(alert()), MAINTENANCE)
    assert story.then(90, Tick(), MAINTENANCE) == []
    assert story.then(91, Tick()) == [("opened", "a")]


def test_what_ended_in_maintenance_is_told_afterwards_if_its_beginning_was(story: Story) -> None:
    story.then(0, Raised(alert()))
    assert story.then(5, Cleared("a", "well"), MAINTENANCE) == []
    assert story.then(10, Tick()) == [("resolved", "a")]


def test_what_ended_in_maintenance_and_came_back_has_never_ended(story: Story) -> None:
    story.then(0, Raised(alert()))
    story.then(5, Cleared("a"), MAINTENANCE)
    story.then(6, Raised(alert()), MAINTENANCE)
    assert story.then(10, Tick()) == []
    assert story.then(11, Cleared("a")) == [("resolved", "a")]


def test_that_the_automation_is_paused_is_told_while_it_is(story: Story) -> None:
    paused = Policy(3600, {EVERYBODY: "the automation is paused"})
    assert story.then(0, Raised(alert()), paused) == []
    assert story.then(1, Raised(alert("paused", always=True)), paused) == [("opened", "paused")]
    assert story.then(2, Cleared("paused", "resumed")) == [("opened", "a"), ("resolved", "paused")]


def test_maintenance_of_one_service_silences_what_is_about_it_alone(story: Story) -> None:
    qdrant = Policy(3600, {"qdrant": "moving to a new disk"})
    assert story.then(0, Raised(alert("q", services=("qdrant",))), qdrant) == []
    assert story.then(1, Raised(alert("both", services=("qdrant", "memgraph"))), qdrant) == [("opened", "both")]
    assert story.then(2, Raised(alert("platform")), qdrant) == [("opened", "platform")]


def test_a_source_opens_what_it_sees_and_closes_what_it_no_longer_sees(story: Story) -> None:
    opened = story.then(0, Seen("check", (alert("check/x"), alert("check/y"))))
    assert [kind for kind, _ in opened] == ["opened", "opened"]
    assert story.then(1, Seen("check", (alert("check/x"), alert("check/y")))) == []
    ended = story.then(2, Seen("check", (alert("check/y"),), "passed again"))
    assert [kind for kind, _ in ended] == ["resolved"]
    assert ended[0][1] == opened[0][1]


def test_what_goes_wrong_again_is_a_new_incident(story: Story) -> None:
    first = story.then(0, Seen("check", (alert("check/x"),)))
    story.then(1, Seen("check", ()))
    again = story.then(2, Seen("check", (alert("check/x"),)))
    assert again[0][0] == "opened"
    assert again[0][1] != first[0][1]


def test_a_source_closes_nothing_of_another(story: Story) -> None:
    story.then(0, Seen("run/backup", (alert("run/backup/failed"),)))
    story.then(0, Raised(alert("20261124T030000Z-qdrant")))
    assert story.then(1, Seen("run/back", ())) == []
    assert story.then(2, Seen("check", ())) == []


def test_the_book_stays_small(story: Story) -> None:
    for number in range(REMEMBERED + 50):
        story.then(number, Raised(alert(f"n{number}", severity="info")))
    assert len(story.book) == REMEMBERED


NAMES = ("a",)  # one is enough: what matters is what happens to it, again and again
ALERTS = st.builds(
    alert,
    st.sampled_from(NAMES),
    st.sampled_from(SEVERITIES),
    always=st.booleans(),
    services=st.sampled_from([(), ("q",)]),
    asks=st.sampled_from(["", "archon restore", "archon start"]),
)
SEEN = st.lists(
    st.builds(alert, st.sampled_from(["s/x", "s/y"]), st.sampled_from(SEVERITIES)), unique_by=lambda one: one.incident
)
EVENTS = st.one_of(
    st.builds(Raised, ALERTS),
    st.builds(Cleared, st.sampled_from(NAMES)),
    st.builds(lambda alerts: Seen("s", tuple(alerts)), SEEN),
    st.just(Tick()),
)
POLICIES = st.sampled_from([POLICY, POLICY, MAINTENANCE, Policy(3600, {"q": "why"})])
MOMENTS = st.lists(st.tuples(EVENTS, st.integers(0, 90), POLICIES), max_size=60)


@given(MOMENTS)
def test_whatever_the_order_nobody_is_told_too_much(moments: list[tuple[Event, int, Policy]]) -> None:
    story, minutes, silenced = Story(), 0, 0
    for event, later, policy in moments:
        minutes += later
        before = len(story.all)
        story.then(minutes, event, policy)
        silenced += sum(policy.silences(notice.alert) for notice in story.all[before:])
    assert silenced == 0
    told: dict[str, list[Notice]] = defaultdict(list)
    for notice in story.all:
        told[notice.alert.incident].append(notice)
    for notices in told.values():
        _in_order(notices)


def _in_order(notices: list[Notice]) -> None:
    """One beginning, first; at most one end, last; reminders apart; only what is really worse is told as such."""
    kinds = Counter(notice.kind for notice in notices)
    assert notices[0].kind in ("opened", "note")
    assert kinds["opened"] + kinds["note"] == 1
    assert kinds["resolved"] <= 1
    assert kinds["resolved"] == 0 or notices[-1].kind == "resolved"
    for before, after in itertools.pairwise(notices):
        if after.kind == "reminder":
            assert (after.at - before.at).total_seconds() >= POLICY.reminder
        if after.kind == "worse":
            assert rank(after.alert.severity) > rank(before.alert.severity)
        if after.kind == "handed":
            assert after.alert.asks and after.alert.asks != before.alert.asks


@given(MOMENTS)
def test_whatever_the_order_everything_that_lasts_is_told_once_silence_is_over(
    moments: list[tuple[Event, int, Policy]],
) -> None:
    story, minutes = Story(), 0
    for event, later, policy in moments:
        minutes += later
        story.then(minutes, event, policy)
    story.then(minutes, Tick())
    assert {entry.state for entry in story.book.values()} <= {"open", "closed"}


def test_of_what_a_source_is_unsure_nothing_is_opened_and_nothing_is_over(story: Story) -> None:
    story.then(0, Seen("check", (alert("check/a/fast"),)))
    unsure = ("check/a/", "check/b/")
    assert story.then(1, Seen("check", (alert("check/b/fast"),), unsure=unsure)) == []
    assert [kind for kind, _ in story.then(2, Seen("check", (), unsure=unsure))] == []
    assert [kind for kind, _ in story.then(3, Seen("check", ()))] == ["resolved"]
    assert len(story.book) == 1


def test_what_somebody_has_closed_is_told_again_only_when_it_begins_again(story: Story) -> None:
    story.then(0, Seen("check", (alert("check/a"),)))
    (incident,) = story.book
    assert story.then(1, Cleared(incident, "accepted")) == [("resolved", incident)]
    for minute in range(2, 400):
        assert story.then(minute, Seen("check", (alert("check/a"),))) == []
    assert story.then(400, Seen("check", ())) == []
    again = alert("check/a", since=BEGIN + timedelta(minutes=401))
    assert [kind for kind, _ in story.then(402, Seen("check", (again,)))] == ["opened"]


def test_what_somebody_closes_during_maintenance_is_not_told_afterwards(story: Story) -> None:
    story.then(0, Seen("check", (alert("check/a"),)), MAINTENANCE)
    (incident,) = story.book
    story.then(1, Cleared(incident), MAINTENANCE)
    assert story.then(2, Seen("check", (alert("check/a"),))) == []
