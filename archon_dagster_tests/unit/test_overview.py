"""What `archon status` concludes from what it was told."""

from __future__ import annotations

import socket
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from archon_dagster.alerts.record import RecordFile
from archon_dagster.cli.advice import STALE, advise
from archon_dagster.cli.asking import ask_all
from archon_dagster.cli.found import IncidentLine, Loss, ServiceLine, Status
from archon_dagster.cli.overview import look, loss_of
from archon_dagster.cli.status import show
from archon_dagster.configuration.journal import Journal as Change
from archon_dagster.configuration.journal import JournalFile as ConfigurationJournal
from archon_dagster.configuration.target import digest
from archon_dagster.platform import automation
from archon_dagster.platform.services import CATALOGUE
from archon_dagster.platform.settings import Settings, load_settings
from archon_dagster.recovery.book import Book
from archon_dagster.recovery.incident import Event, open_incident
from archon_dagster.restore.journal import JournalFile

GOOD = Status(
    services=[ServiceLine("qdrant", "running", True, "ready", 0.1), ServiceLine("postgres", "running", True, "", 0.1)],
    last_good_backup="20261124T030000Z-7f3a",
    last_good_age=60.0,
    newest_backup="newest",
)


def test_a_question_that_hangs_keeps_nobody_waiting() -> None:
    begin, never = time.monotonic(), threading.Event()
    answers = ask_all({"hangs": never.wait, "answers": lambda: True, "fails": lambda: 1 // 0}, 0.2)
    assert time.monotonic() - begin < 5
    assert isinstance(answers["hangs"], TimeoutError)
    assert answers["answers"] is True
    assert isinstance(answers["fails"], ZeroDivisionError)
    never.set()


def test_a_part_that_is_empty_or_gone_is_a_loss() -> None:
    assert loss_of("vectors", {"a": 0, "c": 900}, {"a": 10, "b": 5, "c": 900}) == Loss("vectors", 900, 915, ("a", "b"))


def test_a_store_with_less_than_half_of_its_records_has_lost_them() -> None:
    assert loss_of("graph", {"nodes": 49}, {"nodes": 100}) == Loss("graph", 49, 100, ())


def test_a_store_that_has_grown_or_shrunk_a_little_has_lost_nothing() -> None:
    assert loss_of("graph", {"nodes": 90, "relationships": 7}, {"nodes": 100, "relationships": 0}) is None


def test_a_store_that_was_empty_in_the_backup_cannot_lose_anything() -> None:
    assert loss_of("vectors", {}, {"quality_vectors": 0}) is None


DOWN = [ServiceLine("qdrant", "exited", False, "refused", 0.1), ServiceLine("postgres", "exited", False, "", 0.1)]
FROZEN = [ServiceLine("qdrant", "paused", False, "no answer", 5.0)]
SEARCH_DOWN = [*GOOD.services, ServiceLine("archon-search", "exited", False, "refused", 0.1)]
DEGRADED = [*GOOD.services, ServiceLine("archon-search", "running", False, "degraded: no embedder", 0.1, True)]
OLLAMA_DOWN = [*GOOD.services, ServiceLine("ollama", "external", False, "refused", 0.1)]
LOST = (Loss("graph", 0, 9, ("nodes",)),)
INCIDENT = IncidentLine("20261124T0300", "single service failure: qdrant", "escalated", ("qdrant",), "do this")
RESTORE = "archon restore 20261124T030000Z-7f3a --only graph --plan"
INTERRUPTED: dict[str, object] = {"interrupted_restore": "restore of B", "interrupted_advice": "finish it"}


@pytest.mark.parametrize(
    ("changes", "command"),
    [
        ({}, "nothing"),
        ({"services": []}, "archon sandbox up"),
        ({"services": DOWN[:1]}, "archon sandbox start qdrant"),
        ({"services": DOWN}, "archon sandbox up"),
        ({"services": FROZEN}, "archon sandbox kill qdrant && archon sandbox start qdrant"),
        ({"services": FROZEN, "runtime": "compose"}, "docker compose restart qdrant"),
        ({"services": FROZEN, "runtime": "elsewhere"}, "look at qdrant where it runs (QDRANT_URL)"),
        ({"services": FROZEN, "at_work": "backup"}, "wait: backup is at work"),
        ({"services": OLLAMA_DOWN}, "look at ollama where it runs (OLLAMA_BASE_URL)"),
        ({"services": DEGRADED}, "archon-search: archon health"),
        ({"losses": LOST}, RESTORE),
        ({"last_backup_trouble": "failed"}, "archon backups show newest; then archon backup"),
        ({"last_good_backup": None, "last_good_age": None}, "archon backup"),
        ({"last_good_age": STALE + 1}, "archon backup"),
        ({"alert_troubles": ("refused",)}, "archon alerts list"),
    ],
)
def test_the_next_command(changes: dict[str, object], command: str) -> None:
    assert advise(replace(GOOD, **changes)).endswith(command)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "command"),
    [
        ({"losses": LOST, "services": DEGRADED}, RESTORE),
        ({"losses": LOST, "services": FROZEN, **INTERRUPTED}, RESTORE),
        ({"losses": LOST, **INTERRUPTED, "half_restored": ("graph",)}, "finish it"),  # it is what emptied the graph
        ({"services": DOWN[:1], **INTERRUPTED}, "archon sandbox start qdrant"),
        ({"services": FROZEN, "incidents": (INCIDENT,)}, "needs a person: do this"),  # restarting it was tried
        ({**INTERRUPTED, "incidents": (INCIDENT,)}, "finish it"),
        ({"incidents": (INCIDENT,), "services": SEARCH_DOWN}, "needs a person: do this"),
        ({"incidents": (replace(INCIDENT, state="open"),), "services": SEARCH_DOWN}, "start archon-search"),
        ({"services": [*DEGRADED, *OLLAMA_DOWN[-1:]]}, "look at ollama where it runs (OLLAMA_BASE_URL)"),
        ({"services": DEGRADED, "last_good_age": STALE + 1}, "archon health"),
        ({"last_good_age": STALE + 1, "alert_troubles": ("refused",)}, "archon backup"),
    ],
)
def test_what_is_worse_is_told_first(changes: dict[str, object], command: str) -> None:
    assert advise(replace(GOOD, **changes)).endswith(command)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "broken"),
    [
        ({}, False),
        ({"services": []}, True),
        ({"services": FROZEN}, True),
        ({"losses": LOST}, True),
        ({"interrupted_restore": "restore of …"}, True),
        ({"incidents": (INCIDENT,)}, True),
        ({"incidents": (replace(INCIDENT, state="open"),)}, False),
        ({"last_backup_trouble": "failed"}, False),
        ({"alert_troubles": ("refused",)}, False),
    ],
)
def test_what_counts_as_broken(changes: dict[str, object], broken: bool) -> None:
    assert replace(GOOD, **changes).broken is broken  # type: ignore[arg-type]


# what it looks at ----------------------------------------------------------------------------------------------------


def closed_port() -> int:
    """A port at which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@pytest.fixture
def platform(tmp_path: Path) -> Settings:
    """Servers elsewhere, of which none answers."""
    port = closed_port()
    return load_settings(
        ARCHON_HOME=tmp_path,
        ARCHON_RUNTIME="elsewhere",
        QDRANT_URL=f"http://127.0.0.1:{port}",
        MEMGRAPH_URI=f"bolt://127.0.0.1:{port}",
        POSTGRES_DSN=f"postgresql://127.0.0.1:{port}/archon",
        OLLAMA_BASE_URL=f"http://127.0.0.1:{port}",
    )


def test_external_services_that_are_configured_are_asked_too(platform: Settings) -> None:
    found = {line.service: line for line in look(platform).services}
    assert found["ollama"].state == "external" and not found["ollama"].ready
    assert "supabase" not in found  # nobody has said where it is


def test_open_incidents_are_told_with_their_commands(platform: Settings) -> None:
    now, book = datetime.now(UTC), Book(platform.home)
    over = open_incident("single_service", ("postgres",), ("postgres",), now)
    book.add(over.with_event(Event(at=now, kind="recovered")))
    asked = open_incident("store_lost", ("memgraph",), ("memgraph",), now).with_event(Event(at=now, kind="escalated"))
    book.add(asked.model_copy(update={"commands": ("archon restore B",)}))
    (line,) = look(platform).incidents
    assert (line.state, line.services, line.command) == ("escalated", ("memgraph",), "archon restore B")


def test_the_pause_and_the_troubles_of_alerting_are_told(platform: Settings) -> None:
    automation.pause(platform.home, timedelta(hours=2), "disk is replaced", datetime.now(UTC), "ann")
    (platform.home / "alerts").mkdir(exist_ok=True)
    RecordFile(platform.home).path.write_text("{")
    found = look(platform)
    assert found.automation_paused and "disk is replaced" in found.automation_paused
    assert any("could not be read" in one for one in found.alert_troubles)


def test_a_restore_that_was_killed_is_told_also_where_it_went_elsewhere(platform: Settings) -> None:
    """Into servers that only a file names: there is no home there that could remember it."""
    there = platform.model_copy(update={"home": platform.home / "targets" / "standby-1"})
    JournalFile(there).begin("B", "restore graph", options=("--target", "/etc/standby.env"), by=str(platform.home))
    found = look(platform)
    assert found.interrupted_restore == "restore of B into /etc/standby.env at 'restore graph'"
    assert found.interrupted_advice and "--target /etc/standby.env" in found.interrupted_advice
    assert found.half_restored == ()  # the data of this platform are its own


def test_a_restore_from_another_platform_is_told_with_the_way_back(platform: Settings) -> None:
    file = JournalFile(platform)
    journal = file.begin("B", "restore graph", options=("--target", str(platform.home)), by="/other/home")
    file.settle(file.update(journal, safety="S", touched=("graph",)), ("graph",))
    found = look(platform)
    assert found.interrupted_restore is None
    assert (
        found.last_restore
        and "backup B, " in found.last_restore
        and "from the platform at /other/home" in (found.last_restore)
    )
    assert f"ARCHON_HOME=/other/home archon restore S --confirm RESTORE --target {platform.home}" in found.last_restore


def test_a_change_of_the_configuration_that_was_killed_is_told_with_the_file_in_place(platform: Settings) -> None:
    file = platform.project_dir / ".env"
    before = file.read_bytes() if file.exists() else None
    ConfigurationJournal(platform.home).write(
        Change(record="r", source="/new.env", step="write", before=digest(before), after=digest(b"A=1\n"))
    )
    found = look(platform)
    assert found.interrupted_change is not None
    assert "to /new.env at 'write'; the old file is in place, as a whole" in found.interrupted_change
    assert found.change_advice and "archon config apply /new.env --confirm APPLY" in found.change_advice
    assert advise(replace(GOOD, change_advice=found.change_advice)) == found.change_advice


def test_it_fits_on_one_screen(capsys: pytest.CaptureFixture[str]) -> None:
    """The worst night: everything is down and everything else is wrong as well."""
    names = [service.name for service in CATALOGUE]
    worst = replace(
        GOOD,
        services=[ServiceLine(name, "exited", False, "connection refused", 0.1) for name in names],
        losses=tuple(Loss(name, 0, 9000, ("a", "b", "c")) for name in ("vectors", "graph", "relational")),
        incidents=(INCIDENT,) * 9,
        alert_troubles=("not delivered to json://… " * 20,) * 30,
        automation_paused="until then by ann: disk is replaced",
        last_backup_trouble="failed",
        next="archon restore",
        interrupted_restore="restore of B",
        interrupted_change="a change of the configuration to /new.env",
    )
    show(worst)
    said = capsys.readouterr().out
    assert len(said.splitlines()) <= 30
    assert said.rstrip().endswith("next: archon restore")
    assert "and 7 more: archon incidents" in said and "and 28 more: archon alerts list" in said
