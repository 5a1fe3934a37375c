"""`archon incidents` and `archon automation` as a user types them: words, exit codes, what is written."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from archon_dagster.cli.main import run
from archon_dagster.platform import automation
from archon_dagster.recovery.book import Book
from archon_dagster.recovery.incident import EventKind, Incident, open_incident

NOW = datetime.now(UTC)


class Shell:
    """A shell with a home and nothing else."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
        self.home, self.book = home, Book(home)
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def archon(self, *words: str) -> tuple[int, str, str]:
        """Exit code and what was printed; the program's entry point in this process."""
        self._monkeypatch.setenv("ARCHON_HOME", str(self.home))
        self._monkeypatch.setenv("COLUMNS", "200")
        self._monkeypatch.setattr(sys, "argv", ["archon", *words])
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            run()
        out, err = self._capsys.readouterr()
        return int(ended.value.code or 0), out, err

    def incident(self, end: EventKind | None = None, *commands: str) -> Incident:
        """:param end: how it ended, if it has."""
        services = ("qdrant", "archon-search")
        made = open_incident("single_service", services[:1], services, NOW, NOW - timedelta(seconds=8))
        if end is not None:
            made = made.note(NOW, end, "as the test says").model_copy(update={"commands": commands})
        return self.book.add(made)


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(tmp_path, monkeypatch, capsys)


def test_without_incidents_there_is_nothing_to_do(shell: Shell) -> None:
    code, out, _ = shell.archon("incidents")
    assert (code, out.strip()) == (0, "no incidents")


def test_an_open_incident_is_listed_and_exit_code_1(shell: Shell) -> None:
    made = shell.incident()
    code, out, _ = shell.archon("incidents")
    assert code == 1
    assert made.id in out and "open" in out and "8.00 s" in out
    (told,) = json.loads(shell.archon("incidents", "--json")[1])
    assert (told["id"], told["state"], told["seconds to detect"]) == (made.id, "open", 8.0)


def test_one_that_needs_a_person_says_what_to_type(shell: Shell) -> None:
    made = shell.incident("escalated", "archon start qdrant")
    code, out, _ = shell.archon("incidents")
    assert code == 1 and f"{made.id} needs a person: archon start qdrant" in out
    code, out, _ = shell.archon("incidents", "show", made.id[:15])
    assert code == 0
    assert f"incident {made.id}" in out and "qdrant, archon-search" in out and "what to do: archon start qdrant" in out
    assert str(shell.book.directory / made.id) in out


def test_a_recovered_one_is_no_reason_for_an_exit_code(shell: Shell) -> None:
    made = shell.incident("recovered")
    code, out, _ = shell.archon("incidents")
    assert code == 0 and made.id in out and "needs a person" not in out


def test_an_unknown_incident_is_told(shell: Shell) -> None:
    shell.incident()
    code, _, err = shell.archon("incidents", "show", "19990101")
    assert code == 2 and "19990101" in err


def test_a_damaged_file_is_named_and_the_others_are_listed(shell: Shell) -> None:
    made, broken = shell.incident(), shell.incident()
    (file,) = (shell.book.directory / broken.id).glob("*.json")
    file.write_text("{")
    _, out, _ = shell.archon("incidents")
    assert made.id in out
    assert "damaged, and set aside" in out.replace("\n", " ")


def test_a_pause_is_written_shown_and_ended(shell: Shell) -> None:
    code, out, _ = shell.archon("automation", "pause", "--for", "2h", "--why", "new disks")
    assert code == 0 and "new disks" in out and "archon automation resume" in out
    pause = automation.paused(shell.home, datetime.now(UTC))
    assert pause is not None and pause.until is not None
    assert timedelta(minutes=119) < pause.until - datetime.now(UTC) <= timedelta(hours=2)
    assert "the automation is paused" in shell.archon("incidents")[1]
    code, out, _ = shell.archon("automation", "resume")
    assert code == 0 and "it was paused" in out
    assert automation.paused(shell.home, datetime.now(UTC)) is None
    assert "it was not paused" in shell.archon("automation", "resume")[1]


@pytest.mark.parametrize("lasts", ["", "soon", "0m", "8d", "-1h"])
def test_a_pause_of_no_length_is_refused(shell: Shell, lasts: str) -> None:
    code, _, err = shell.archon("automation", "pause", "--for", lasts, "--why", "new disks")
    assert code == 2 and err
    assert automation.paused(shell.home, datetime.now(UTC)) is None


def test_a_pause_without_a_reason_is_refused(shell: Shell) -> None:
    assert shell.archon("automation", "pause", "--for", "2h")[0] == 2
    assert automation.paused(shell.home, datetime.now(UTC)) is None
