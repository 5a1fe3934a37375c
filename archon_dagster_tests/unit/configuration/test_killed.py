"""A change that was killed at any moment leaves one whole file, and both ways open."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from archon_dagster.configuration.apply import undo
from archon_dagster.configuration.history import History
from archon_dagster.configuration.status import standing
from archon_dagster.configuration.watching import note_by_hand
from archon_dagster.errors import ConfigurationError
from archon_dagster_tests.unit.configuration import killed
from archon_dagster_tests.unit.configuration.platform import EnvPlatform
from archon_dagster_tests.unit.configuration.sample import BAD, NEW, OLD, READERS, with_
from archon_dagster_tests.unit.configuration.test_apply import apply_

STEPS = [
    ("save the current file", "begin"), ("save the current file", "end"), ("write the new file", "begin"),
    ("write the new file", "end"), ("archon-intelligence", "end"), ("look whether all is well", "begin"),
    ("look whether all is well", "end"),
]  # fmt: skip


def killed_at(platform: EnvPlatform, content: bytes, step: str, when: str) -> None:
    file = platform.home.parent / "killed.env"
    file.write_bytes(content)
    command = [sys.executable, "-m", killed.__name__, str(platform.home), str(file), step, when]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.parametrize(("step", "when"), STEPS)
def test_killed_at_any_step_there_is_one_whole_file_and_both_ways_are_open(
    platform: EnvPlatform, step: str, when: str
) -> None:
    killed_at(platform, NEW, step, when)
    found = platform.env_file.read_bytes()
    assert found in (OLD, NEW)
    now = standing(platform.settings)
    if now.interrupted:
        assert now.says.startswith("the new file" if found == NEW else "the old file")
        assert "archon config undo --confirm APPLY" in now.interrupted.advice
        undo(platform.context(), "APPLY")
        assert platform.env_file.read_bytes() == OLD
        assert set(platform.reads("BATCH_SIZE").values()) == {"25"}
    else:
        assert found == OLD
    assert standing(platform.settings).interrupted is None
    apply_(platform, NEW)
    assert platform.env_file.read_bytes() == NEW
    assert platform.reads("BATCH_SIZE")["archon-search"] == "10"
    assert not list(platform.env_file.parent.glob("..env.*"))


def test_killed_while_it_goes_back_the_next_one_finishes(platform: EnvPlatform) -> None:
    killed_at(platform, BAD, "take it back", "begin")
    assert platform.env_file.read_bytes() == BAD
    assert "archon-search" not in platform.instances()
    undo(platform.context(), "APPLY")
    assert platform.env_file.read_bytes() == OLD


def test_a_killed_change_is_undone_although_somebody_has_written_the_file_since(platform: EnvPlatform) -> None:
    note_by_hand(platform.settings)  # as the sensor remembers it at its first look
    killed_at(platform, NEW, "archon-intelligence", "end")
    by_hand = with_("BATCH_SIZE=10", "VECTOR_SEARCH_TIMEOUT=7000")
    platform.env_file.write_bytes(by_hand)
    change = undo(platform.context(), "APPLY")
    assert platform.env_file.read_bytes() == OLD
    assert [one.key for one in change.difference.changes] == ["BATCH_SIZE", "VECTOR_SEARCH_TIMEOUT"]
    assert set(platform.reads("BATCH_SIZE").values()) == {"25"}
    assert [one.kind for one in History(platform.home).all()] == ["undo", "by hand", "apply"]
    undo(platform.context(), "APPLY")
    assert platform.env_file.read_bytes() == by_hand


def test_an_undo_of_a_killed_change_says_so_where_the_file_before_it_is_gone(platform: EnvPlatform) -> None:
    killed_at(platform, NEW, "archon-intelligence", "end")
    (record,) = History(platform.home).all()
    (History(platform.home).folder / record.id / "before.env").unlink()
    platform.env_file.write_bytes(with_("BATCH_SIZE=11"))
    with pytest.raises(ConfigurationError, match=f"{record.id}, which was killed, is not kept; nothing was touched"):
        undo(platform.context(), "APPLY")
    assert platform.env_file.read_bytes() == with_("BATCH_SIZE=11")


def test_a_killed_change_is_followed_by_another_one(platform: EnvPlatform) -> None:
    killed_at(platform, NEW, "archon-intelligence", "end")
    other = with_("VECTOR_SEARCH_TIMEOUT=7000")
    change = apply_(platform, other)
    assert platform.env_file.read_bytes() == other
    assert platform.reads("BATCH_SIZE")["archon-intelligence"] == "25"  # which had the killed one's
    assert set(change.replaced) == set(READERS)
    assert any("killed at" in note for note in change.notes)
    undo(platform.context(), "APPLY")
    assert platform.env_file.read_bytes() == OLD
