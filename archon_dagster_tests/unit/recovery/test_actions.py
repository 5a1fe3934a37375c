"""What recovery starts and stops: only whom it may; and what it copies aside. No server is needed for that."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from archon_dagster.health.windows import open_window
from archon_dagster.platform.settings import Settings, load_settings
from archon_dagster.platform.whole_files import replace as replace_file
from archon_dagster.recovery.actions import Hands, Result
from archon_dagster.recovery.incident import Event, Incident, Step, open_incident
from archon_dagster.recovery.tools import recovery_of
from archon_dagster_tests.unit.platform_double import SwitchRuntime
from archon_dagster_tests.unit.recovery.picture import OWN, at, picture


class Host:
    """A platform whose services are switches, and the hands that the automatic recovery has."""

    def __init__(self, home: Path, **values: object):
        # nobody answers a probe here: each wait is over at once
        given = {"ARCHON_HOME": home, "ARCHON_RUNTIME": "processes", "ARCHON_START_PATIENCE": 0.001, **values}
        self.settings: Settings = load_settings(**given)
        self.runtime = SwitchRuntime(OWN)
        hands = recovery_of(self.settings, self.runtime, threading.Event()).hands
        assert isinstance(hands, Hands)
        self.hands = hands
        self.incident: Incident = open_incident("single_service", ("qdrant",), ("qdrant",), at(0))

    def window(self, *services: str) -> None:
        open_window(self.settings.home, 3600, "disk", time.time(), services, who="ann")

    def do(self, step: Step) -> Result:
        return self.hands.do(step, self.incident, picture(), datetime.now(UTC))

    def acted_on(self) -> set[str]:
        return {name for _, names in self.runtime.done for name in names}


@pytest.fixture
def host(tmp_path: Path) -> Host:
    made = Host(tmp_path)
    made.runtime.states |= dict.fromkeys(OWN, "exited")
    return made


def test_what_a_service_needs_is_not_started_while_it_is_in_a_window(host: Host) -> None:
    host.window("qdrant")
    host.do(Step(verb="restart", services=("archon-search",)))
    assert "archon-search" in host.acted_on() and "qdrant" not in host.acted_on()


def test_everything_is_started_but_who_is_in_a_window(host: Host) -> None:
    host.window("qdrant", "archon-agents")
    result = host.do(Step(verb="start_all", services=("qdrant", "memgraph", "postgres")))
    assert {"memgraph", "postgres"} <= host.acted_on() and not {"qdrant", "archon-agents"} & host.acted_on()
    assert "archon-agents is left alone: maintenance until" in result.detail


def test_everything_is_made_anew_where_it_was_started_in_vain(host: Host) -> None:
    """A container whose network was removed runs, and nobody reaches it however often it is started."""
    step = Step(verb="start_all", services=("qdrant", "memgraph", "postgres"))
    done: list[list[str]] = []
    for minute in (1, 2):
        host.incident = host.incident.with_event(Event(at=at(minute), kind="started", step=step))
        host.do(step)
        done.append([verb for verb, names in host.runtime.done if names == step.services])
    assert "recreate" not in done[0] and "recreate" in done[1]


def test_who_was_stopped_to_make_room_is_not_started_with_everything(host: Host) -> None:
    replace_file(host.settings.home / "isolated.json", b'["archon-agents", "archon-frontend"]')
    result = host.do(Step(verb="start_all", services=("qdrant", "memgraph", "postgres")))
    assert {"qdrant", "memgraph", "postgres"} <= host.acted_on()
    assert not {"archon-agents", "archon-frontend"} & host.acted_on()
    assert "archon-frontend is left alone: stopped on purpose" in result.detail


@pytest.mark.parametrize("verb", ["restart", "recreate", "start_all", "set_aside", "restore"])
def test_a_window_that_was_opened_after_the_decision_counts(host: Host, verb: str) -> None:
    host.window()
    step = Step.model_validate({"verb": verb, "services": ("qdrant",), "store": "vectors", "parts": ("a",)})
    result = host.do(step)
    assert not result.ok and "disk" in result.detail and host.runtime.done == []


def test_the_files_of_a_damaged_collection_are_copied_and_stay(tmp_path: Path) -> None:
    damaged = tmp_path / "storage" / "collections" / "papers" / "config.json"
    damaged.parent.mkdir(parents=True)
    damaged.write_text("{damaged")
    host = Host(tmp_path / "home", ARCHON_QDRANT_STORAGE=tmp_path / "storage")
    step = Step(verb="copy_aside", services=("qdrant",), store="vectors", parts=("papers",))
    result = host.do(step)
    copy = host.settings.home / "aside" / f"{host.incident.id}-qdrant" / "papers" / "config.json"
    assert result.ok and str(copy.parent) in result.detail
    assert copy.read_text() == damaged.read_text() == "{damaged"
    assert host.runtime.done == []
    outside = host.do(step.model_copy(update={"parts": ("../..",)}))
    assert not outside.ok and "is no name of a collection" in outside.detail
