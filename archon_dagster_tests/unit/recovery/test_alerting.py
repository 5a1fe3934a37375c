"""What is told of an incident: once, with what was tried and what to type."""

from __future__ import annotations

from datetime import timedelta

from archon_dagster.alerts.book import Policy, Raised, Tick, decide
from archon_dagster.platform.automation import Pause
from archon_dagster.recovery.alerting import alert_of, news, pause_alert, subject, unended
from archon_dagster.recovery.incident import Event, Incident, Step, open_incident
from archon_dagster_tests.unit.recovery.picture import at


def incident() -> Incident:
    step = Step(verb="restart", services=("qdrant",))
    made = open_incident("single_service", ("qdrant",), ("qdrant",), at(0), at(-3), "qdrant: no answer")
    made = made.with_event(Event(at=at(1), kind="started", step=step))
    return made.with_event(Event(at=at(3), kind="finished", step=step, ok=False, seconds=2.0))


def nowhere(_: Incident) -> None: ...


def test_every_incident_has_its_own_link() -> None:
    one, other = incident(), incident()
    told = news([one, other], (), at(5), lambda it: f"http://ui/{it.id}", 0)
    assert [event.alert.link for event in told if isinstance(event, Raised)] == [
        f"http://ui/{one.id}",
        f"http://ui/{other.id}",
    ]


def test_an_open_incident_is_a_warning_that_says_what_was_tried() -> None:
    alert = alert_of(incident(), "http://ui/runs/1")
    assert (alert.severity, alert.since, alert.services) == ("warning", at(-3), ("qdrant",))
    assert alert.tried == ("restart qdrant (failed in 2.00 s)",) and alert.link == "http://ui/runs/1"


def test_one_that_needs_a_person_is_critical_and_has_the_command_first() -> None:
    handed = incident().model_copy(update={"commands": ("archon restore x",)}).note(at(9), "escalated", "nothing helps")
    alert = alert_of(handed)
    assert alert.severity == "critical" and alert.todo[0] == "archon restore x" and "nothing helps" in alert.what


def test_it_is_told_once_and_its_end_once() -> None:
    one, book, told = incident(), {}, []  # type: ignore[var-annotated]
    over = one.note(at(20), "recovered", "well")
    for state, seconds in ((one, 5), (one, 10), (over, 21), (over, 30), (over, 36), (over, 40)):
        for event in news([state], unended(book), at(seconds), nowhere, 15):
            book, notices = decide(book, event, at(seconds), Policy())  # type: ignore[assignment]
            told += [(notice.kind, seconds) for notice in notices]
    assert told == [("opened", 5), ("resolved", 36)]


def test_what_fails_again_at_once_is_not_resolved_in_between_and_so_never_silent() -> None:
    """An alert that was resolved stays so: whoever was told that it is over would not hear of the relapse."""
    one, book, told = incident(), {}, []  # type: ignore[var-annotated]
    over = one.note(at(20), "recovered", "well")
    again = over.note(at(30), "relapsed", "it failed again at once").note(at(50), "escalated", "nothing helps")
    for state, seconds in ((one, 5), (over, 25), (again, 55), (again.note(at(90), "recovered", "well"), 105)):
        for event in news([state], unended(book), at(seconds), nowhere, 15):
            book, notices = decide(book, event, at(seconds), Policy())  # type: ignore[assignment]
            told += [notice.kind for notice in notices]
    assert told == ["opened", "worse", "resolved"]


def test_a_lost_store_that_is_handed_to_a_person_is_told_again_and_so_is_another_thing_to_type() -> None:
    """It was critical from the beginning, and the first notice said that nothing has to be done yet."""
    lost = open_incident("store_lost", ("qdrant",), ("qdrant",), at(0), at(-3), "archon_vectors is gone")
    handed = lost.model_copy(update={"commands": ("archon restore x",)}).note(at(9), "escalated", "not allowed to")
    other = handed.model_copy(update={"commands": ("archon restore y",)})
    book, told = {}, []  # type: ignore[var-annotated]
    for state, seconds in ((lost, 5), (handed, 10), (handed, 15), (other, 20)):
        for event in news([state], unended(book), at(seconds), nowhere, 15):
            book, notices = decide(book, event, at(seconds), Policy())  # type: ignore[assignment]
            told += [(notice.kind, notice.alert.todo[0]) for notice in notices]
    assert told[0] == ("opened", "nothing yet: the automatic recovery is at it")
    assert told[1:] == [("handed", "archon restore x"), ("handed", "archon restore y")]


def test_an_end_is_told_however_long_ago_it_was_and_once() -> None:
    """The control plane was down for a night: without it the alert would be repeated until somebody closes it."""
    one, told = incident(), []
    book, _ = decide({}, *news([one], (), at(5), nowhere, 15), at(5), Policy())
    over, morning = one.note(at(20), "recovered", "well"), at(20) + timedelta(hours=9)
    for seconds in range(2):
        later = morning + timedelta(seconds=seconds)
        for event in news([over], unended(book), later, nowhere, 15):
            book, notices = decide(book, event, later, Policy())
            told += [(notice.kind, notice.outcome) for notice in notices]
    assert told == [("resolved", "recovered 20.0 s after it was confirmed, by: restart qdrant (failed in 2.00 s)")]
    assert news([over], (), morning, nowhere, 15) == [], "nobody was told of it"


def test_the_alert_of_an_incident_that_cannot_be_read_any_more_ends() -> None:
    book, _ = decide({}, *news([incident()], (), at(5), nowhere, 15), at(5), Policy())
    (event,) = news([], unended(book), at(10), nowhere, 15)
    book, (notice,) = decide(book, event, at(10), Policy())
    assert notice.kind == "resolved" and "nothing is known of it any more" in notice.outcome
    assert unended(book) == []


def test_a_pause_is_told_even_though_everything_else_is_silent() -> None:
    pause = Pause(since=at(0), until=at(7200), why="disk", who="ann")
    _, notices = decide({}, Raised(pause_alert(pause, at(1))), at(1), Policy(silent={"*": "paused"}))
    assert len(notices) == 1 and "disk" in notices[0].alert.what


def test_every_pause_is_told_once_the_second_one_too() -> None:
    book, told = {}, []  # type: ignore[var-annotated]
    for begin in (0, 10_000):
        pause = Pause(since=at(begin), until=at(begin + 7200), why="disk", who="ann")
        for seconds in (begin + 1, begin + 6):
            event = Raised(pause_alert(pause, at(seconds)))
            book, notices = decide(book, event, at(seconds), Policy(silent={"*": "paused"}))  # type: ignore[assignment]
            told += [notice.kind for notice in notices]
    assert told == ["note", "note"]


def test_one_that_lasts_is_told_again_each_interval_and_its_end_once() -> None:
    one, policy = incident(), Policy(reminder=60)
    over = one.note(at(200), "recovered", "well")
    events = [*((event, 0) for event in news([one], (), at(0), nowhere, 0)), (Tick(), 59), (Tick(), 61), (Tick(), 62)]
    events += [(event, 201) for event in news([over], [subject(one)], at(201), nowhere, 0)] + [(Tick(), 500)]
    book, told = {}, []  # type: ignore[var-annotated]
    for event, seconds in events:
        book, notices = decide(book, event, at(seconds), policy)  # type: ignore[assignment]
        told += [(notice.kind, seconds) for notice in notices]
    assert told == [("opened", 0), ("reminder", 61), ("resolved", 201)]
