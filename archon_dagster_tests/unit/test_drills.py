"""What a drill makes of what it has seen: a verdict that cannot be better than its worst row."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import StringIO

import httpx
import pytest
from rich.console import Console

from archon_dagster.platform.services import CATALOGUE
from archon_dagster.recovery.incident import Event, Step, Verb, open_incident
from drills import results
from drills.faults import FAULTS, named
from drills.kills import LARGEST_GROWTH, Kills
from drills.letterbox import letterbox
from drills.recovery import evidence_came_first
from drills.results import Row
from drills.waiting import TooLate, wait_for

GOOD = Row("kill -9 qdrant", "single_service", detect=4.0, recover=12.0, objective=30.0, differences=[])


def test_the_last_line_counts_what_was_recovered_in_time_and_whole() -> None:
    assert results.last_line([GOOD, GOOD], 2) == "DRILL recovered=2/2 data=identical within_objective=2/2"


@pytest.mark.parametrize(
    ("row", "line"),
    [
        (replace(GOOD, recover=31.0), "DRILL recovered=2/2 data=identical within_objective=1/2"),
        (replace(GOOD, problems=["taken for store_lost"]), "DRILL recovered=1/2 data=identical within_objective=2/2"),
        (replace(GOOD, differences=["graph: 3 nodes"]), "DRILL recovered=2/2 data=different within_objective=2/2"),
        (replace(GOOD, differences=None), "DRILL recovered=2/2 data=different within_objective=2/2"),
        (Row("not detected"), "DRILL recovered=1/2 data=different within_objective=1/2"),
    ],
)
def test_one_bad_row_is_seen_in_the_last_line_and_named(row: Row, line: str) -> None:
    assert results.last_line([GOOD, row], 2) == line
    assert not row.good
    assert any(row.title in trouble for trouble in results.troubles([GOOD, row]))


def test_what_was_not_come_to_is_not_recovered() -> None:
    assert results.last_line([GOOD], 3) == "DRILL recovered=1/3 data=identical within_objective=1/3"
    assert results.last_line([], 3) == "DRILL recovered=0/3 data=different within_objective=0/3"


def test_the_table_shows_every_failure_with_its_times() -> None:
    screen = StringIO()
    Console(width=160, file=screen).print(results.drawn([GOOD, Row("hung service")]))
    text = screen.getvalue()
    assert "12.0 s" in text and "hung service" in text and "not detected" in text


def test_every_own_service_is_killed_and_every_name_is_one_of_its_own() -> None:
    killed = {fault.root for fault in FAULTS if fault.name.startswith("kill-")}
    assert killed == {service.name for service in CATALOGUE if not service.external}
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
    assert [fault.name for fault in named(["hung"])] == ["hung"] and named([]) == FAULTS


def test_kills_are_good_only_when_all_were_made_and_nothing_is_lost() -> None:
    good = Kills(3, done=3, grown=3 * LARGEST_GROWTH, differences=[])
    assert good.good and good.line == "DRILL kills=3/3 data=identical event_store=within_bound"
    assert not replace(good, done=2).good
    assert not replace(good, differences=["vectors"]).good
    assert "too_large" in replace(good, grown=3 * LARGEST_GROWTH + 1).line


def test_a_wait_says_what_it_has_seen_instead() -> None:
    with pytest.raises(TooLate, match=r"everybody healthy: not within 0 s; qdrant: no answer"):
        wait_for("everybody healthy", lambda: None, 0.0, lambda: "qdrant: no answer", every=0.01)


def test_a_wait_ends_with_the_first_answer() -> None:
    begun, answers = datetime.now(UTC), iter((0, 0, 7))
    assert wait_for("seven", lambda: next(answers), 10.0, every=0.001) == 7
    assert datetime.now(UTC) - begun < timedelta(seconds=5)


def test_the_letterbox_tells_the_notices_of_one_incident() -> None:
    with letterbox() as letters:
        for title, incident in (("WARNING: a", "1"), ("RESOLVED: a", "1"), ("WARNING: b", "2")):
            said = {"title": title, "message": f"Incident: incident/{incident}"}
            httpx.post(letters.url.replace("json:", "http:"), json=said, timeout=5).raise_for_status()
        assert letters.about("1") == ["WARNING: a", "RESOLVED: a"]


@pytest.mark.parametrize(
    ("verbs", "first"),
    [
        (("evidence", "restart"), True),
        (("restart", "evidence"), False),
        (("evidence",), True),
        (("restart",), False),
        ((), False),
    ],
)
def test_evidence_counts_when_it_was_kept_before_the_first_action(verbs: tuple[Verb, ...], first: bool) -> None:
    now = datetime.now(UTC)
    incident = open_incident("single_service", ("qdrant",), ("qdrant",), now)
    for verb in verbs:
        step = Step(verb=verb, services=("qdrant",))
        incident = incident.with_event(Event(at=now, kind="started", step=step))
        incident = incident.with_event(Event(at=now, kind="finished", step=step, ok=True))
    assert evidence_came_first(incident) is first
