"""A service that keeps failing and coming back: one alert and one end, not twenty; on a clock of its own."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from archon_dagster.alerts import book as alerts
from archon_dagster.health.evaluation import Policy, ServiceState, advance
from archon_dagster.health.samples import Facet, Sample
from archon_dagster.recovery.alerting import news, unended
from archon_dagster.recovery.book import Book
from archon_dagster.recovery.incident import Incident
from archon_dagster.recovery.noting import note
from archon_dagster_tests.unit.recovery.picture import CAUTIOUS, at, picture

NAME, EVERY, RELAPSE = "archon-mcp", 5, 15.0  # seconds


class Watch:
    """The monitor's own state machine, the incidents and the alerts, one look after the other."""

    def __init__(self, home: Path):
        self.book, self.state, self.alerts = Book(home), ServiceState("healthy"), dict[str, alerts.Entry]()
        self.seconds, self.told = 0, list[tuple[str, int]]()

    def look(self, *, up: bool) -> None:
        self.seconds += EVERY
        facet = Facet("reachable", up, "" if up else "connection refused", problem="" if up else "unreachable")
        self.state, _ = advance(self.state, Sample(NAME, self.seconds, (facet,)), self.seconds, Policy())
        unwell, flapping = ([NAME] if yes else [] for yes in (self.state.state == "unhealthy", self.state.flapping))
        note(self.book, picture(unwell, now=self.seconds, flapping=flapping), CAUTIOUS, at(self.seconds), RELAPSE)
        for event in news(self.book.all(), unended(self.alerts), at(self.seconds), _nowhere, RELAPSE):
            page, notices = alerts.decide(self.alerts, event, at(self.seconds), alerts.Policy())
            self.alerts = dict(page)
            self.told += [(notice.kind, self.seconds) for notice in notices]

    def cycles(self, count: int) -> None:
        """Half a minute down, a minute up: longer than what counts as failing again at once."""
        for _ in range(count):
            for second in range(0, 90, EVERY):
                self.look(up=second >= 30)

    def kinds(self, since: int = 0) -> Counter[str]:
        return Counter(kind for kind, at_ in self.told if at_ > since)


def _nowhere(_: Incident) -> None: ...


def test_twenty_failures_are_one_incident_from_when_it_is_known_to_flap(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    watch.cycles(3)
    assert watch.state.flapping
    known, incidents = watch.seconds, len(watch.book.all())
    (incident,) = watch.book.open()
    watch.cycles(17)
    assert watch.kinds(since=known) == {}, "told again of what everybody knows"
    assert len(watch.book.all()) == incidents <= 3
    assert watch.book.get(incident.id).is_open
    assert sum("keeps failing" in event.text for event in watch.book.get(incident.id).events) == 1


def test_when_it_has_been_calm_its_end_is_told_once(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    watch.cycles(5)
    flapped, (incident,) = watch.seconds, watch.book.open()
    while watch.state.flapping:
        watch.look(up=True)
        assert watch.seconds - flapped < 1000
    for _ in range(20):
        watch.look(up=True)
    assert watch.kinds(since=flapped) == {"resolved": 1}
    assert watch.book.get(incident.id).state == "recovered" and watch.book.open() == []
    assert watch.kinds()["opened"] == watch.kinds()["resolved"]


def test_what_fails_twice_an_hour_apart_is_two_incidents(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    for _ in range(2):
        watch.cycles(1)
        for _ in range(3600 // EVERY):
            watch.look(up=True)
    assert watch.kinds() == {"opened": 2, "resolved": 2}
