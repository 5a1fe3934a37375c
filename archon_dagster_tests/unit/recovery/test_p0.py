"""The response to a critical issue: who was stopped always comes back, people are told, the report is written."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from archon_dagster.errors import ConfigurationError, ServiceError
from archon_dagster.health.windows import open_window
from archon_dagster.platform.settings import Settings, load_settings
from archon_dagster.recovery.actions import Result
from archon_dagster.recovery.incident import Incident, Step
from archon_dagster.recovery.isolation import STOPPING, bring_back, isolated, stopped_on_purpose
from archon_dagster.recovery.jobs import tell_people
from archon_dagster.recovery.p0 import Response, p0_response
from archon_dagster_tests.alert_receivers import Post, serving
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


def hows(response: Response) -> list[str]:
    return [one.how for one in response.outcomes]


@pytest.fixture
def emergency(tmp_path: Path) -> Emergency:
    return Emergency(tmp_path, {"qdrant"})


def test_it_recovers_and_everybody_is_back(emergency: Emergency) -> None:
    during: list[tuple[str, set[str]]] = []

    def effect(step: Step) -> Result:
        during.append((step.verb, emergency.states()))
        return emergency.world.mend(step)

    emergency.world.effect = effect
    response = emergency.respond()
    assert during == [("evidence", {"running"}), ("restart", {"exited"})]
    assert emergency.states() == {"running"}
    assert hows(response) == ["recovered"] and response.incident.state == "recovered"
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


@pytest.mark.parametrize("besides", [{"qdrant"}, set()])
def test_of_who_is_stopped_to_make_room_and_is_unwell_there_is_evidence(
    emergency: Emergency, besides: set[str]
) -> None:
    """It hangs, and once it is stopped nobody can see why; who is well after its new start is left at that."""
    world, up = emergency.world, emergency.runtime.up
    world.broken = {"archon-frontend", *besides}

    def started(*names: str) -> None:
        up(*names)
        world.broken -= set(names)

    emergency.runtime.up = started  # type: ignore[method-assign]
    world.unsure = lambda: dict.fromkeys(stopped_on_purpose(emergency.settings.home), "stopped on purpose")
    response = emergency.respond()
    both = ["evidence qdrant,archon-frontend", "restart qdrant"]
    assert world.done == (both if besides else ["evidence archon-frontend"])
    assert hows(response) == ["recovered"] and not world.book.open()


def test_who_does_not_come_back_is_not_forgotten(emergency: Emergency) -> None:
    up = emergency.runtime.up

    def breaks(*names: str) -> None:
        up(*names)
        emergency.world.broken.add("archon-agents")

    emergency.runtime.up = breaks  # type: ignore[method-assign]
    response = emergency.respond()
    assert [(one.incident.roots, one.how) for one in response.outcomes] == [
        (("qdrant",), "recovered"), (("archon-agents",), "elsewhere"),
    ]  # fmt: skip


def test_who_is_in_a_window_is_neither_stopped_nor_started(emergency: Emergency) -> None:
    open_window(emergency.settings.home, 600, "disk", time.time(), ("archon-agents",), who="ann")
    emergency.respond()
    assert emergency.runtime.done == [("stop", ("archon-frontend",)), ("up", ("archon-frontend",))]


def test_who_was_stopped_and_has_a_window_since_is_left_to_whoever_works_there(emergency: Emergency) -> None:
    emergency.runtime.stop(*OTHERS)
    (emergency.settings.home / "isolated.json").write_text('["archon-agents", "archon-frontend"]')
    open_window(emergency.settings.home, 600, "disk", time.time(), ("archon-agents",), who="ann")
    assert bring_back(emergency.settings, emergency.runtime) == ("archon-frontend",)


def test_where_nothing_is_found_people_are_told_that_and_nobody_is_stopped(emergency: Emergency) -> None:
    emergency.world.broken = set()
    response = emergency.respond()
    assert hows(response) == ["recovered"] and response.incident.state == "recovered"
    assert response.incident.title == "reported as critical, and nothing was found that is not well"
    assert "nothing that is not well" in emergency.told[0] and emergency.runtime.done == []


def test_where_nothing_is_found_nobody_is_woken_and_it_is_over_at_once(emergency: Emergency) -> None:
    post = Post()
    urls = f"json://127.0.0.1:{post.port}/alerts"
    settings = load_settings(ARCHON_HOME=emergency.settings.home, ARCHON_RUNTIME="processes", ARCHON_ALERT_URLS=urls)
    emergency.notify = lambda incident, said: tell_people(settings, incident, said, None)  # type: ignore[method-assign]
    emergency.world.broken = set()
    with serving(post):
        assert emergency.respond().notified == "2 sent"
    assert [title.split()[1] for title in post.titles()] == ["WARNING:", "RESOLVED"]
    assert all("nothing was found that is not well" in title for title in post.titles())


def test_for_an_external_service_nobody_is_stopped(emergency: Emergency) -> None:
    emergency.world.broken = {"ollama"}
    assert hows(emergency.respond()) == ["escalated"] and emergency.runtime.done == []


def test_what_cannot_be_recovered_needs_a_person(emergency: Emergency) -> None:
    emergency.world.effect = emergency.world.useless
    assert hows(emergency.respond()) == ["escalated"] and emergency.states() == {"running"}


def test_what_was_handed_to_a_person_before_is_tried_again(emergency: Emergency) -> None:
    emergency.world.note()
    emergency.world.effect = emergency.world.useless
    assert hows(emergency.respond()) == ["escalated"]
    emergency.world.effect = emergency.world.mend
    assert hows(emergency.respond()) == ["recovered"]
    assert emergency.world.kinds().count("asked") == 1


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


def test_while_the_automation_is_paused_it_acts_and_says_so(emergency: Emergency) -> None:
    """A person has launched it: the pause is for what happens by itself."""
    emergency.world.policy = replace(emergency.world.policy, paused="until 04:00 by ann: hands off")
    response = emergency.respond()
    assert hows(response) == ["recovered"]
    assert "paused until 04:00 by ann: hands off; a person has launched this" in response.report.read_text()
