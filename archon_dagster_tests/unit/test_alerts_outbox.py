"""Notices on their way: when they are tried again, in which order, and when they are given up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from archon_dagster.alerts.alert import Alert, Kind, Notice
from archon_dagster.alerts.alerting import troubles
from archon_dagster.alerts.heartbeat import due as beat_due
from archon_dagster.alerts.outbox import Delivery, Pace, Undelivered, claimed, due, failed
from archon_dagster.alerts.record import Beat, Record

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
PACE = Pace(first=5, longest=60, deadline=600, attempt=20)


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def delivery(number: int, incident: str = "a", channel: str = "mail", kind: Kind = "opened") -> Delivery:
    said = Notice(kind, Alert(incident, "critical", "qdrant is down", "refused", NOW), NOW)
    return Delivery(str(number), channel, said, queued=NOW, next_try=NOW)


def test_pauses_grow_up_to_the_longest_and_end_at_the_deadline() -> None:
    one: Delivery | Undelivered = delivery(1)
    now, pauses = NOW, []
    while isinstance(one, Delivery):
        one = failed(one, now, "refused", PACE, final=False)
        if isinstance(one, Delivery):
            pauses.append((one.next_try - now).total_seconds())
            now = one.next_try
    assert pauses == [5, 10, 20, 40, *[60] * 9]
    assert (one.attempts, one.error, one.at) == (14, "refused", later(615))


def test_what_can_never_succeed_is_given_up_at_once() -> None:
    assert isinstance(failed(delivery(1), NOW, "no such channel", PACE, final=True), Undelivered)


def test_the_end_waits_for_the_beginning_on_the_same_channel() -> None:
    begun = failed(delivery(1), NOW, "refused", PACE, final=False)
    assert isinstance(begun, Delivery)
    box = [begun, delivery(2, kind="resolved"), delivery(3, "b"), delivery(4, "a", "slack", "resolved")]
    assert [one.id for one in due(box, NOW)] == ["3", "4"]
    assert [one.id for one in due(box, later(5))] == ["1", "3", "4"]


def test_what_somebody_tries_nobody_else_tries_until_he_must_be_dead() -> None:
    taken = claimed(delivery(1), NOW, PACE)
    assert due([taken], later(2 * PACE.attempt)) == []
    assert due([taken], later(2 * PACE.attempt + 10)) == [taken]


def test_the_heart_beats_when_it_is_time_and_again_at_once_after_a_failure() -> None:
    assert beat_due(None, NOW, 60)
    assert not beat_due(Beat(NOW, NOW), later(59), 60)
    assert beat_due(Beat(NOW, NOW), later(60), 60)
    assert beat_due(Beat(NOW, NOW, "refused"), later(1), 60)
    assert beat_due(Beat(NOW, later(3600)), NOW, 60)  # the clock was set back


def test_what_is_wrong_with_alerting_itself_is_told_for_a_day() -> None:
    waiting, lost = (
        failed(delivery(1), NOW, "refused", PACE, final=False),
        failed(delivery(2), NOW, "550", PACE, final=True),
    )
    assert isinstance(waiting, Delivery)
    assert isinstance(lost, Undelivered)
    record = Record(outbox=(waiting, delivery(3)), undelivered=(lost,), beat=Beat(NOW, None, "HTTP 500"))
    assert troubles(record, (), later(60)) == [
        "not delivered to mail since 2026-11-24 03:00 UTC, tried 1 times: refused",
        "never delivered to mail: 'qdrant is down' (550)",
        "the heartbeat is not answered: HTTP 500",
    ]
    assert len(troubles(record, (), later(90_000))) == 2
    assert troubles(Record(outbox=(delivery(3),)), (), NOW) == []
