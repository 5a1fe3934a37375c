"""The response to a critical issue: who was stopped always comes back, people are told, the report is written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from archon_dagster.errors import ConfigurationError, ServiceError
from archon_dagster.platform.settings import Settings, load_settings
from archon_dagster.recovery.actions import Result
from archon_dagster.recovery.incident import Incident, Step
from archon_dagster.recovery.isolation import STOPPING, bring_back, isolated, stopped_on_purpose
from archon_dagster.recovery.p0 import Response, p0_response
from archon_dagster_tests.unit.platform_double import SwitchRuntime
from archon_dagster_tests.unit.recovery.test_recover import Killed, World

ESSENTIAL = ("qdrant", "memgraph", "postgres", "archon-mcp")
OTHERS = ("archon-agents", "archon-frontend")


class Emergency:
    """A platform with something broken, and a runtime that remembers what was done."""

    def __init__(self, home: Path, broken: set[str]):
        self.settings: Settings = load_settings(ARCHON_HOME=home, ARCHON_RUNTIME="processes")
        self.runtime = SwitchRuntime((*ESSENTIAL, *OTHERS))
        self.world = World(home, set())
        self.world.broken = broken
        self.told: list[str] = []

    def respond(self, description: str = "search returns nothing") -> Response:
        return p0_response(description, self.world.recovery(), self.settings, self.runtime, self.notify)

    def notify(self, incident: Incident, said: str) -> str:
        self.told.append(said)
        return "1 sent"

    def states(self) -> set[str]:
        return {self.runtime.states[name] for name in OTHERS}


@pytest.fixture
def emergency(tmp_path: Path) -> Emergency:
    return Emergency(tmp_path, {"qdrant"})


def test_it_recovers_and_everybody_is_back(emergency: Emergency) -> None:
    during: list[set[str]] = []

    def effect(step: Step) -> Result:
        during.append(emergency.states())
        return emergency.world.mend(step)

    emergency.world.effect = effect
    response = emergency.respond()
    assert during == [{"exited"}, {"exited"}]
    assert emergency.states() == {"running"}
    assert not response.needs_a_person and response.incident.state == "recovered"
    assert emergency.told and "qdrant" in emergency.told[0]
    report = response.report.read_text()
    assert "reported as critical: search returns nothing" in report
    assert "started again: archon-agents, archon-frontend" in report and "notification: 1 sent" in report


def test_who_was_stopped_comes_back_also_when_the_recovery_breaks(emergency: Emergency) -> None:
    def broken() -> None:
        raise ServiceError("the probe machinery is on fire")

    emergency.world.check = broken  # type: ignore[method-assign]
    with pytest.raises(ServiceError):
        emergency.respond()
    assert emergency.states() == {"running"}


def test_a_killed_response_leaves_a_note_and_the_next_one_brings_everybody_back(emergency: Emergency) -> None:
    emergency.runtime.stop(*OTHERS)
    (emergency.settings.home / "isolated.json").write_text('["archon-agents", "archon-frontend"]')
    assert stopped_on_purpose(emergency.settings.home) == OTHERS
    assert bring_back(emergency.settings, emergency.runtime) == OTHERS
    assert emergency.states() == {"running"} and stopped_on_purpose(emergency.settings.home) == ()


def test_who_was_stopped_by_a_response_that_is_long_dead_counts_as_failed(emergency: Emergency) -> None:
    """Else nobody would start them before the next emergency."""
    note = emergency.settings.home / "isolated.json"
    note.write_text('["archon-agents"]')
    later = note.stat().st_mtime + STOPPING + 1
    with emergency.world.book.turn():  # somebody responds
        assert stopped_on_purpose(emergency.settings.home, later) == ("archon-agents",)
    assert stopped_on_purpose(emergency.settings.home, later) == ()


def test_a_note_that_cannot_be_read_brings_back_everybody_that_might_be_meant(emergency: Emergency) -> None:
    emergency.runtime.stop("archon-agents")
    (emergency.settings.home / "isolated.json").write_text("{half")
    assert "archon-agents" in bring_back(emergency.settings, emergency.runtime)
    assert emergency.states() == {"running"}


def test_the_note_is_there_before_anybody_is_stopped(emergency: Emergency) -> None:
    def dies(*names: str) -> None:
        raise Killed

    emergency.runtime.stop = dies  # type: ignore[method-assign]
    noted: list[tuple[str, ...]] = []
    up = emergency.runtime.up
    emergency.runtime.up = lambda *names: (noted.append(stopped_on_purpose(emergency.settings.home)), up(*names))[1]  # type: ignore[method-assign]
    with pytest.raises(Killed), isolated(emergency.settings, emergency.runtime, lambda _: None):
        pass
    assert noted == [OTHERS]


def test_what_fails_after_people_were_told_that_it_is_over_is_another_incident(emergency: Emergency) -> None:
    """Also at once: the alert of the first one is closed, and nobody would hear of a relapse."""
    emergency.world.note()
    first = emergency.respond().incident
    assert first.state == "recovered" and len(emergency.world.book.all()) == 1
    emergency.world.broken = {"qdrant"}
    emergency.world.note()
    assert [one.state for one in emergency.world.book.all()] == ["open", "recovered"]


def test_where_nothing_is_found_people_are_told_that(emergency: Emergency) -> None:
    emergency.world.broken = set()
    response = emergency.respond()
    assert response.outcomes == () and response.incident.state == "recovered"
    assert "nothing was found broken" in emergency.told[0]


def test_what_cannot_be_recovered_needs_a_person(emergency: Emergency) -> None:
    emergency.world.effect = emergency.world.useless
    response = emergency.respond()
    assert response.needs_a_person and emergency.states() == {"running"}


def test_a_notification_that_fails_is_in_the_report_and_ends_nothing(emergency: Emergency) -> None:
    """The runbook's report says "Emergency notifications sent" always."""

    def failing(incident: Incident, said: str) -> str:
        raise ServiceError("the mail server is down")

    emergency.notify = failing  # type: ignore[method-assign]
    assert "notification: failed: the mail server is down" in emergency.respond().report.read_text()


def test_an_issue_is_described(emergency: Emergency) -> None:
    with pytest.raises(ConfigurationError):
        emergency.respond("  ")
    assert emergency.runtime.done == []


def test_a_paused_automation_does_nothing_here_either(emergency: Emergency) -> None:
    emergency.world.policy = replace(emergency.world.policy, paused="by ann: hands off")
    response = emergency.respond()
    assert response.needs_a_person and emergency.world.done == []
