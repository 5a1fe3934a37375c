"""What scaling has written into the ``.env``: no change by hand, and it stays when the rest of the file changes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from archon_dagster.configuration.apply import plan, undo
from archon_dagster.configuration.carrying import carried, rest, undone
from archon_dagster.configuration.history import History
from archon_dagster.configuration.status import standing
from archon_dagster.configuration.watching import contents, note_by_hand
from archon_dagster.platform.runtime import compose_variables
from archon_dagster_tests.unit.configuration.platform import EnvPlatform
from archon_dagster_tests.unit.configuration.sample import GOOD, with_
from archon_dagster_tests.unit.configuration.test_apply import apply_

OLD, NEW = GOOD.encode(), with_("BATCH_SIZE=10")


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[EnvPlatform]:
    """Nothing of it runs: what is looked at is the file."""
    platform = EnvPlatform(tmp_path / "home", OLD)
    yield platform
    platform.runtime.down()


def scaled(platform: EnvPlatform, count: int) -> None:
    compose_variables.write(platform.env_file, {"SEARCH_REPLICAS": str(count)})


def test_the_rest_of_a_file_is_what_scaling_never_writes() -> None:
    assert rest(b"# kept\nA=1\nSEARCH_REPLICAS=3\nQDRANT_MEMORY_RESERVED=1G") == b"# kept\nA=1\n"
    assert rest(b"A=1") == rest(b"A=1\nSEARCH_CPUS=2\n")
    assert rest(b"A=1\n") != rest(b"A=2\n")
    assert rest(b"SEARCH_IMAGE=a\n") != rest(b"SEARCH_IMAGE=b\n")
    assert rest(None) == rest(b"SEARCH_REPLICAS=3\n") == b""
    assert rest(b"A=\xff") == b"A=\xff"


def test_a_file_that_names_none_of_them_is_given_those_there_are() -> None:
    assert carried(b"A=2\n", b"X=4\nA=1\nSEARCH_REPLICAS=${X}\n") == (
        b"A=2\nSEARCH_REPLICAS=4\n", {"SEARCH_REPLICAS": "4"},
    )  # fmt: skip
    for named in (b"SEARCH_REPLICAS=1\n", b"SEARCH_REPLICAS=\n"):
        assert carried(named, b"SEARCH_REPLICAS=3\n") == (named, {})
    assert carried(b"A=2", b"A=1\n") == (b"A=2", {})


def test_going_back_takes_back_what_the_change_has_set_and_not_what_scaling_has_set_since() -> None:
    before, after = b"A=1\nSEARCH_REPLICAS=1\n", b"A=2\nSEARCH_REPLICAS=3\n"
    assert undone(before, after, after) == before
    assert undone(before, after, b"A=2\nSEARCH_REPLICAS=4\n") == b"A=1\nSEARCH_REPLICAS=4\n"
    assert undone(b"A=1\n", b"A=2\n", b"A=2\nSEARCH_CPUS=2\n") == b"A=1\nSEARCH_CPUS=2\n"
    assert undone(before, b"A=2\nSEARCH_REPLICAS=1\n", b"A=2\n") == b"A=1\n"


def test_scaling_is_not_by_hand_and_pushes_no_change_out_of_the_history(platform: EnvPlatform) -> None:
    note_by_hand(platform.settings)
    found = contents(platform.env_file.parent)
    for count in range(2, 40):
        scaled(platform, count)
        assert standing(platform.settings).known
        assert note_by_hand(platform.settings) is None
    assert contents(platform.env_file.parent) == found
    assert History(platform.home).all() == []


def test_a_change_by_hand_beside_it_is_one(platform: EnvPlatform) -> None:
    note_by_hand(platform.settings)
    platform.env_file.write_bytes(NEW)
    scaled(platform, 3)
    assert not standing(platform.settings).known
    seen = note_by_hand(platform.settings)
    assert seen is not None
    assert "BATCH_SIZE: '25' -> '10'" in seen.changed


def test_what_a_service_may_use_is_backed_up_and_not_by_hand_either(platform: EnvPlatform) -> None:
    note_by_hand(platform.settings)
    found = contents(platform.env_file.parent)
    compose_variables.write(platform.env_file, {"SEARCH_MEMORY": "3G"})
    assert note_by_hand(platform.settings) is None
    assert contents(platform.env_file.parent) != found


def test_undo_takes_back_the_last_change_and_the_number_of_replicas_stays(platform: EnvPlatform) -> None:
    apply_(platform, NEW)
    scaled(platform, 3)
    undo(platform.context(), "APPLY")
    assert platform.env_file.read_bytes() == OLD + b"SEARCH_REPLICAS=3\n"
    scaled(platform, 2)
    undo(platform.context(), "APPLY")
    assert platform.env_file.read_bytes() == NEW + b"SEARCH_REPLICAS=2\n"
    assert [one.kind for one in History(platform.home).all()] == ["undo", "undo", "apply"]


def test_apply_keeps_them_where_the_new_file_does_not_name_them_and_says_so(platform: EnvPlatform) -> None:
    platform.env_file.write_bytes(OLD + b"SEARCH_REPLICAS=3\nSEARCH_CPUS=2\n")
    new = platform.home.parent / "new.env"
    new.write_bytes(NEW + b"SEARCH_CPUS=1.5\n")
    told = "SEARCH_REPLICAS=3 stays as scaling has set it; a file that is to change it names it"
    assert plan(platform.context(), new, offline=True).notes == (told,)
    change = apply_(platform, new.read_bytes())
    assert platform.env_file.read_bytes() == NEW + b"SEARCH_CPUS=1.5\nSEARCH_REPLICAS=3\n"
    assert change.notes == (told,)
    assert [one.key for one in change.difference.changes] == ["BATCH_SIZE", "SEARCH_CPUS"]
    assert apply_(platform, NEW + b"SEARCH_REPLICAS=1\n").notes == (
        "SEARCH_CPUS=1.5 stays as scaling has set it; a file that is to change it names it",
    )
    undo(platform.context(), "APPLY")
    assert platform.env_file.read_bytes() == NEW + b"SEARCH_CPUS=1.5\nSEARCH_REPLICAS=3\n"


def test_the_file_that_is_in_place_but_for_them_is_nothing_to_do(platform: EnvPlatform) -> None:
    scaled(platform, 3)
    change = apply_(platform, OLD)
    assert change.headline.startswith("nothing to do")
    assert platform.env_file.read_bytes() == OLD + b"SEARCH_REPLICAS=3\n"
