from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from archon_dagster.platform.runtime.process_spec import ProcessSpec, write_spec
from archon_dagster.platform.runtime.processes import ProcessesRuntime
from archon_dagster.sandbox import claims
from archon_dagster.sandbox.layout import Layout, layout_of


@pytest.fixture(autouse=True)
def own_notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.fixture
def one(tmp_path: Path) -> Layout:
    return layout_of(tmp_path / "one")


@pytest.fixture
def two(tmp_path: Path) -> Layout:
    return layout_of(tmp_path / "two")


def age(seconds: float) -> None:
    """Make every note look older."""
    for note in claims._directory().glob("*.json"):
        then = note.stat().st_mtime - seconds
        os.utime(note, (then, then))


def test_a_sandbox_avoids_the_ports_of_another_and_not_its_own(one: Layout, two: Layout) -> None:
    claims.note(one, [1, 2])
    claims.note(two, [3])
    assert claims.of_others(one) == {3}
    assert claims.of_others(two) == {1, 2}


def test_ports_of_a_sandbox_that_is_down_are_free(one: Layout, two: Layout) -> None:
    claims.note(one, [1])
    claims.withdraw(one)
    assert claims.of_others(two) == set()


def test_ports_of_a_sandbox_that_has_died_are_free_after_a_while(one: Layout, two: Layout) -> None:
    claims.note(one, [1])
    age(3600)
    assert claims.of_others(two) == set()


def test_ports_of_a_sandbox_are_kept_as_long_as_something_of_it_lives(one: Layout, two: Layout, tmp_path: Path) -> None:
    sleeper = [sys.executable, "-c", "import time; time.sleep(600)"]
    write_spec(one.services / "qdrant", ProcessSpec(command=sleeper, cwd=tmp_path))
    runtime = ProcessesRuntime(one.services)
    runtime.up()
    claims.note(one, [1])
    age(3600)
    kept = claims.of_others(two)
    runtime.kill("qdrant")
    assert kept == {1}
    assert claims.of_others(two) == set()


def test_a_damaged_note_is_no_obstacle(one: Layout, two: Layout) -> None:
    claims.note(one, [1])
    for note in claims._directory().glob("*.json"):
        note.write_text("{")
    assert claims.of_others(two) == set()


def test_the_notes_are_their_users_only() -> None:
    mode = subprocess.run(["ls", "-ld", claims._directory()], capture_output=True, text=True, check=True).stdout
    assert mode.startswith("drwx------")
